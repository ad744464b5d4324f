"""Video-XL-2 under the names that people know it by: AutoConfig, AutoModel and `chat`.

    import videoxl2_model.hf
    model = AutoModel.from_pretrained(folder, dtype=torch.bfloat16, device_map="cuda")
    model.load_video = my_reader
    model.config.enable_chunk_prefill = True
    print(model.chat("talk.mp4", None, "Who speaks?", max_num_frames=150))

Names and defaults are those of the public model card and evaluation; what runs is `VideoXL2`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedConfig

from videoxl2_model.config import (
    FRAMES_PER_GROUP,
    Budget,
    GenerationSettings,
    PrefillConfig,
    Relevance,
    SparseRule,
    StepWeights,
    WeightKind,
    whole,
)
from videoxl2_model.encoding import BATCH_FRAMES
from videoxl2_model.errors import SettingError
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.processor import LoadVideo, Processor, known
from videoxl2_model.prompting import VIDEO_MARKER
from videoxl2_model.published import MODEL_TYPE
from videoxl2_model.sampling import SamplingRule
from videoxl2_model.videoxl2 import VideoXL2

logger = logging.getLogger(__name__)

History = list[dict[str, str]]  # {"role": "user" or "assistant", "content": text}

SWITCHES = "enable_sparse sparse_mode sparse_config enable_chunk_prefill prefill_config".split()
SPARSE = (
    "block_size_chosed",  # groups in a prefill block
    "prev_blocks_num",  # blocks that a block looks back
    "selected_chunk_size",  # groups in a block that is dense or pooled as one
    "compression",  # pooling step
    "selected_unit_indices",  # units of 8 frames to keep dense
    "selected_topk",  # else: how many blocks stay dense, by what the question looks at
)
PREFILL = (
    "chunk_prefill_mode",
    "chunk_size",  # groups in a prefill block
    "step_size",  # 1
    "offload",  # keys and values to host memory after the prefill
    "chunk_size_for_vision_tower",  # frames at a time
)
GENERATION = (
    "do_sample temperature top_p num_beams use_cache max_new_tokens repetition_penalty seed"
).split()
MODES = ("streaming", "mask")  # upstream's two ways to the same numbers
# What from_pretrained of other models takes; nothing depends on it here.
WITHOUT_EFFECT = (
    "attn_implementation low_cpu_mem_usage trust_remote_code revision cache_dir local_files_only"
    " force_download token adapter_kwargs _from_auto"
).split()


class VideoXL2ChatConfig(PreTrainedConfig):  # type: ignore[misc]  # transformers is untyped here
    """The fields of config.json, and the switches that upstream's users set on it."""

    model_type = MODEL_TYPE
    enable_sparse = False
    sparse_mode = "streaming"
    sparse_config: ClassVar[Mapping[str, Any] | None] = None
    enable_chunk_prefill = False
    prefill_config: ClassVar[Mapping[str, Any] | None] = None


class VideoXL2ForCausalLM:
    """Upstream's interface to a `VideoXL2`; the model itself is `.model`."""

    config_class = VideoXL2ChatConfig

    def __init__(
        self, model: VideoXL2, config: VideoXL2ChatConfig, load_video: LoadVideo | None = None
    ) -> None:
        self.model = model
        self.config = config
        self.load_video = load_video

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        config: VideoXL2ChatConfig | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device_map: str | torch.device | None = None,
        quantization_config: None = None,
        load_video: LoadVideo | None = None,
        weights: WeightKind = "model",
        embedding_on_cpu: bool = False,
        steps: StepWeights = "auto",
        **others: Any,
    ) -> "VideoXL2ForCausalLM":
        """Load as `VideoXL2.from_pretrained`; `dtype` "auto" is the checkpoint's own.

        Raises:
            CheckpointError: see `VideoXL2.from_pretrained`.
            SettingError: an argument is unknown.
        """
        known(others, WITHOUT_EFFECT, "argument")
        if quantization_config is not None:
            raise SettingError("quantization_config is not read; weights='int8' or 'int4' packs")
        if not isinstance(device_map, str | torch.device | None):
            raise SettingError(f"device_map is {device_map}; name one device, such as 'cuda'")
        model = VideoXL2.from_pretrained(
            source,
            dtype=_dtype(dtype if dtype is not None else torch_dtype),
            device="auto" if device_map is None else device_map,
            weights=weights,
            embedding_on_cpu=embedding_on_cpu,
            steps=steps,
        )
        if config is None:
            config = AutoConfig.from_pretrained(str(source))
        return cls(model, config, load_video)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    def eval(self) -> "VideoXL2ForCausalLM":
        return self

    def chat(
        self,
        video_path: Any,
        tokenizer: object,
        user_prompt: str,
        chat_history: Sequence[Mapping[str, str]] | None = None,
        return_history: bool = False,
        max_num_frames: int = 512,
        sample_fps: float | None = 1,
        max_sample_fps: float | None = 4,
        generation_config: Mapping[str, Any] | None = None,
        load_video: LoadVideo | None = None,
    ) -> str | tuple[str, History]:
        """Return the answer to a prompt about a video, and the history where it is asked for.

        `video_path` is anything that `Processor.frames` takes; a path needs `load_video`, here or
        on the model. `sample_fps` None spreads `max_num_frames` evenly. `tokenizer` may be None:
        the checkpoint's own is used. The video is encoded anew at every call; `VideoXL2` keeps
        a prefilled one for any number of questions.

        Raises:
            SettingError: a name in `generation_config`, `config.sparse_config` or
                `config.prefill_config` is unknown, or a value cannot be used.
        """
        plan = _Plan(self.config)
        settings = generation_settings(generation_config or {}, self.model.settings)
        rule = sampling_rule(max_num_frames, sample_fps, max_sample_fps)
        history = _pairs(chat_history or ())
        frames = Processor(load_video or self.load_video, rule).frames(video_path)
        groups = self.model.encode_stream(frames, batch_frames=plan.batch_frames)
        kv = self.model.prefill(groups, config=plan.prefill)
        if plan.offload:
            kv.offload()
        answer = self.model.ask(
            kv,
            user_prompt,
            plan.relevance(kv),
            settings=settings,
            chunk_groups=plan.chunk_groups,
            sparse=plan.sparse,
            history=history,
        )
        if not return_history:
            return answer
        told = [dict(turn) for turn in chat_history or ()]
        told.append({"role": "user", "content": user_prompt})
        return answer, [*told, {"role": "assistant", "content": answer}]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model in the public layout."""
        self.model.save_pretrained(folder)


class _Plan:
    """How a video is prefilled and read, from the switches of a configuration."""

    def __init__(self, config: VideoXL2ChatConfig) -> None:
        switches = {
            name: value
            for name, value in vars(config).items()
            if name.startswith(("enable_", "sparse_", "prefill_"))
        }
        known(switches, SWITCHES, "switch")
        sparse, chunked = config.sparse_config or {}, config.prefill_config or {}
        self._sparse: dict[str, Any] = dict(sparse) if config.enable_sparse else {}
        chunked = dict(chunked) if config.enable_chunk_prefill else {}
        known(self._sparse, SPARSE, "name in sparse_config")
        known(chunked, PREFILL, "name in prefill_config")
        for mode in (config.sparse_mode, chunked.get("chunk_prefill_mode", MODES[0])):
            if mode not in MODES:
                raise SettingError(f"unknown mode {mode!r}; {' or '.join(MODES)}")
        if chunked.get("step_size", 1) != 1:
            raise SettingError(f"step_size is {chunked['step_size']}; only 1 is computed")
        masked = config.enable_sparse or config.enable_chunk_prefill
        plain = _count(chunked, "chunk_size", 4)
        block = _count(self._sparse, "block_size_chosed", plain)
        back = _count(self._sparse, "prev_blocks_num", 3)
        self.prefill = PrefillConfig(block, back if masked else None)
        self.offload = bool(chunked.get("offload", False))
        batch = _count(chunked, "chunk_size_for_vision_tower", BATCH_FRAMES)
        self.batch_frames = max(batch, FRAMES_PER_GROUP)
        self.chunk_groups = _count(self._sparse, "selected_chunk_size", 4)
        step = _count(self._sparse, "compression", 4)
        self.sparse = SparseRule("pooled", step, keep_remainder=False)

    def relevance(self, kv: VideoKV) -> Relevance:
        """Return which blocks stay dense: units that were given, else the best few, else all.

        A unit beyond the end selects nothing, and an empty list keeps every block whole, as in
        the reference.
        """
        units = self._sparse.get("selected_unit_indices")
        if units:
            last = -(-kv.num_groups // self.chunk_groups) * self.chunk_groups // 2
            return Relevance("units", tuple(int(each) for each in units if each < last))
        if units is None and self._sparse.get("selected_topk") is not None:
            budget = Budget(top_k=int(self._sparse["selected_topk"]))
            return Relevance("attention", budget=budget)
        return Relevance("all")


def _count(given: Mapping[str, Any], name: str, default: int) -> int:
    return whole(name, given.get(name, default), 1)


def sampling_rule(
    max_num_frames: int, sample_fps: float | None, max_sample_fps: float | None
) -> SamplingRule:
    """Return upstream's sampling: without `sample_fps` frames are spread evenly.

    Raises:
        SettingError: a rate is not positive, or the number of frames is none.
    """
    whole("max_num_frames", max_num_frames, 0)
    for rate in (sample_fps, max_sample_fps):
        if rate is not None and not 0 < rate < inf:
            raise SettingError(f"{rate} frames a second; sample_fps and max_sample_fps are above 0")
    if sample_fps is None:
        return SamplingRule(fps=0, max_frames=max_num_frames)
    return SamplingRule(fps=sample_fps, max_frames=max_num_frames, max_fps=max_sample_fps)


def generation_settings(
    given: Mapping[str, Any], defaults: GenerationSettings
) -> GenerationSettings:
    """Return settings in upstream's names; without `do_sample` answers are greedy."""
    known(given, GENERATION, "name in generation_config")
    if given.get("num_beams", 1) != 1 or not given.get("use_cache", True):
        raise SettingError("one beam and the cache are what is computed here")
    drawn = bool(given.get("do_sample", False))
    names = ("max_new_tokens", "repetition_penalty", "seed", *(("top_p",) if drawn else ()))
    plain = {name: given[name] for name in names if given.get(name) is not None}
    temperature = given.get("temperature")
    warmth = (1.0 if temperature is None else float(temperature)) if drawn else 0.0
    return replace(defaults, temperature=warmth, **plain)


def _pairs(history: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Return questions and answers of a history as `chat` returns it."""
    turns = [turn if isinstance(turn, Mapping) else {} for turn in history]
    roles = [turn.get("role") for turn in turns]
    texts = [turn.get("content") for turn in turns]
    plain = [text.removeprefix(f"{VIDEO_MARKER}\n") for text in texts if isinstance(text, str)]
    if roles != ["user", "assistant"] * (len(roles) // 2) or len(plain) != len(texts):
        raise SettingError(
            "chat_history is a list of {'role', 'content'}, user and assistant in turn, as chat"
            " returns it with return_history=True"
        )
    return list(zip(plain[::2], plain[1::2], strict=True))


def _dtype(given: torch.dtype | str | None) -> torch.dtype | None:
    if given is None or given == "auto":
        return None
    found = getattr(torch, given, None) if isinstance(given, str) else given
    if not isinstance(found, torch.dtype):
        raise SettingError(f"unknown type {given!r}; float32, bfloat16 or float16")
    return found


AutoConfig.register(MODEL_TYPE, VideoXL2ChatConfig, exist_ok=True)
AutoModel.register(VideoXL2ChatConfig, VideoXL2ForCausalLM, exist_ok=True)
AutoModelForCausalLM.register(VideoXL2ChatConfig, VideoXL2ForCausalLM, exist_ok=True)
