"""Video-XL-2: frames and a question in, text out. Knows no video file, no store.

model = VideoXL2.from_pretrained(folder)
kv = model.prefill(model.encode_stream(frames))
print(model.ask(kv, "What happens?", dense=[3, 4]))
"""

import json
import logging
import math
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from videoxl2_model import checkpoint, pixels, published
from videoxl2_model.config import (
    FRAMES_PER_GROUP,
    GenerationSettings,
    PrefillConfig,
    SparseRule,
    StepWeights,
    VideoXL2Config,
    WeightKind,
)
from videoxl2_model.connector import Connector
from videoxl2_model.decoder import Decoder
from videoxl2_model.errors import CheckpointError, SettingError
from videoxl2_model.frames import Batch, Picture, Pictures, Uploader, batches
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.model import LanguageModel
from videoxl2_model.prefill import Prefill, TokenGroup
from videoxl2_model.prompting import (
    SYSTEM_TEXT,
    VIDEO_MARKER,
    seconds_for_clock_times,
    time_text,
)
from videoxl2_model.tokenizing import load_tokenizer
from videoxl2_model.vision import VisionTower
from videoxl2_model.weights import VideoModules, load_modules

logger = logging.getLogger(__name__)

BATCH_FRAMES = 32
MAX_SHARD_BYTES = 5 * 2**30
HUB_FILES = ["*.json", "*.safetensors", "*.txt"]  # weights, settings, words: no code, no pickle


class VideoXL2:
    """The tower, the connector and the language model of one checkpoint.

    `settings` are the checkpoint's own generation defaults, greedy.
    """

    def __init__(
        self,
        config: VideoXL2Config,
        tower: VisionTower,
        connector: Connector,
        language: LanguageModel,
        settings: GenerationSettings | None = None,
    ) -> None:
        self.config = config
        self.tower = tower
        self.connector = connector
        self.language = language
        self.settings = settings or GenerationSettings()

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "auto",
        weights: WeightKind = "model",
        embedding_on_cpu: bool = False,
        steps: StepWeights = "auto",
    ) -> "VideoXL2":
        """Load a folder in the public layout, or a model id of the Hugging Face hub.

        `dtype` None: the checkpoint's own on a GPU, float32 on a CPU. `weights` packs the linear
        maps of the language model's layers while they are read. Nothing is read before everything
        has been checked.

        Raises:
            CheckpointError: files are missing, damaged, pickled or of another model; tensors are
                missing, of another shape or type. All are named at once.
        """
        folder = _folder(source)
        where = _device(device)
        config = published.read_config(folder)
        tokenizer = load_tokenizer(folder)
        settings = _settings(folder)
        modules = load_modules(
            folder,
            config,
            dtype=dtype,
            device=where,
            weights=weights,
            embedding_on_cpu=embedding_on_cpu,
        )
        packed = weights != "model"  # packed again they would be coarser and twice there
        decoder = Decoder(modules.language, "model" if packed and steps == "auto" else steps)
        language = LanguageModel(decoder, tokenizer)
        language.stop_ids = tuple(dict.fromkeys((*language.stop_ids, *settings.stop_ids)))
        return cls(config, modules.tower, modules.connector, language, settings)

    @property
    def device(self) -> torch.device:
        return self._weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self._weight.dtype

    @property
    def _weight(self) -> Tensor:
        return self.tower.vision_model.embeddings.patch_embedding.weight

    # Frames to rows

    def encode(self, images: Pictures, times_s: Sequence[float]) -> list[TokenGroup]:
        """Return one group per 4 frames, the last filled up by its last frame.

        images: [T, H, W, 3] RGB uint8, of any size; times_s: T times in seconds. A group has its
        first frame's time and 144 rows.

        Raises:
            SettingError: there is no frame, shapes or types are others, or rows are not finite.
        """
        _check_pictures(images)
        if len(times_s) != len(images):
            raise SettingError(f"{len(images)} frames have {len(times_s)} times")
        return list(self.encode_stream(zip(images, times_s, strict=True)))

    def encode_rows(self, images: Pictures) -> Tensor:
        """Return the rows of frames [T, H, W, 3], [G, 144, hidden], on the model's device."""
        groups = self.encode(images, [0.0] * len(images))
        return torch.stack([group.rows for group in groups if group.rows is not None])

    def encode_stream(
        self, frames: Iterable[tuple[Picture, float]], *, batch_frames: int = BATCH_FRAMES
    ) -> Iterator[TokenGroup]:
        """Yield groups of (frame [H, W, 3] RGB uint8, time in seconds) as frames come.

        A batch of pixels is alive at a time; frames may differ in size. On CUDA a batch's groups
        are given once the next batch has been sent, so that the device does not wait for frames.

        Raises:
            SettingError: as `encode`.
        """
        if batch_frames < FRAMES_PER_GROUP:
            raise SettingError(f"batch_frames is {batch_frames}; it must be 4 or more")
        size = batch_frames // FRAMES_PER_GROUP * FRAMES_PER_GROUP
        ahead = 1 if self.device.type == "cuda" else 0
        sent: deque[tuple[Tensor, list[float]]] = deque()
        done = 0
        for rows, times_s in self._sent(batches(frames, size)):
            sent.append((rows, times_s))
            if len(sent) > ahead:
                done += yield from self._groups(*sent.popleft(), done)
        if not sent and not done:
            raise SettingError("no frames: give one or more")
        while sent:
            done += yield from self._groups(*sent.popleft(), done)

    def _sent(self, source: Iterator[Batch]) -> Iterator[tuple[Tensor, list[float]]]:
        """Yield rows [G, 144, hidden] and group times of batches, perhaps still being computed."""
        upload = Uploader(self.device)
        for batch in source:
            rows = self._rows(upload.runs(batch.frames))
            times_s = batch.times_s[::FRAMES_PER_GROUP]
            del batch
            yield rows, times_s

    @torch.no_grad()
    def _rows(self, runs: Iterator[Tensor]) -> Tensor:
        size = self.config.vision.image_size
        frames = torch.cat([pixels.resize(images, size) for images in runs])  # [T, 3, S, S]
        rows: Tensor = self.connector(self.tower(pixels.normalise(frames, self.dtype)))
        return rows

    def _groups(
        self, rows: Tensor, times_s: Sequence[float], first: int
    ) -> Generator[TokenGroup, None, int]:
        for index, finite in enumerate(rows.isfinite().flatten(1).all(1).tolist()):
            if not finite:
                raise _not_finite(first + index, self.dtype)
            yield self.group(times_s[index], rows[index])
        return len(rows)

    def group(self, time_s: float, rows: Tensor) -> TokenGroup:
        """Return a group of rows [n, hidden] at a time in seconds."""
        return TokenGroup(tuple(self.language.encode(time_text(time_s))), rows=rows)

    # Rows to a cache

    def start(
        self,
        *,
        system: str = SYSTEM_TEXT,
        config: PrefillConfig | None = None,
        kv: VideoKV | None = None,
        kv_dtype: torch.dtype | None = None,
    ) -> Prefill:
        """Return a prefill to add groups to, new or after the groups of `kv`.

        The default settings are the reference's: blocks of 4 groups that see 3 blocks back.
        """
        ids = self.language.system_ids(seconds_for_clock_times(system))
        return Prefill(self.language.decoder, ids, config or PrefillConfig(), kv, kv_dtype=kv_dtype)

    def prefill(
        self,
        groups: Iterable[TokenGroup],
        *,
        system: str = SYSTEM_TEXT,
        config: PrefillConfig | None = None,
        kv_dtype: torch.dtype | None = None,
    ) -> VideoKV:
        """Run all groups after the system text and return the cache, for any number of questions.

        Raises:
            SettingError: there is no group, or a group's rows are not finite numbers.
        """
        run = self.start(system=system, config=config, kv_dtype=kv_dtype)
        finite: list[Tensor | bool] = []
        for group in groups:
            finite.append(group.rows is None or group.rows.isfinite().all())
            run.add(group)
        run.flush()
        if not run.kv.num_groups:
            raise SettingError("no groups: give the frames of a video")
        # Looked at once and last: every look would make the device wait.
        bad = [index for index, each in enumerate(finite) if not each]
        if bad:
            raise _not_finite(bad[0], self.dtype)
        self._tell_long(run.kv.num_tokens)
        return run.kv

    def _tell_long(self, positions: int) -> None:
        native = self.language.max_positions
        if positions > native:
            logger.warning(
                "%d positions are more than the %d that the language model was trained for;"
                " the reference runs there too, but answers may suffer",
                positions,
                native,
            )

    # Questions

    def question_ids(self, text: str, history: Iterable[tuple[str, str]] = ()) -> list[int]:
        """Return what stands after the video, as the reference writes it: MM:SS in seconds.

        Earlier questions and answers come first. Control words of ChatML in a text stay text.

        Raises:
            SettingError: a question places the video elsewhere than before itself.
        """
        turns = [(_question(question), answer) for question, answer in history]
        spoken = [(seconds_for_clock_times(a), seconds_for_clock_times(b)) for a, b in turns]
        return self.language.question_ids(seconds_for_clock_times(_question(text)), spoken)

    def stream(
        self,
        kv: VideoKV,
        question: str,
        dense: Collection[int] | None = None,
        *,
        settings: GenerationSettings | None = None,
        chunk_groups: int = 4,
        sparse: SparseRule | None = None,
        keep_ends: bool = True,
        history: Iterable[tuple[str, str]] = (),
    ) -> Iterator[str]:
        """Yield the answer's text as it comes; `dense` None keeps every chunk whole.

        The other settings are those of `VideoKV.assemble`. Positions beyond the model's native
        range are told in the log and run.

        Raises:
            UnknownChunkError, AbsentGroupsError: see `VideoKV.assemble`.
        """
        settings = settings or self.settings
        ids = self.question_ids(question, history)
        chunks = range(math.ceil(kv.num_groups / max(chunk_groups, 1)))
        cache = kv.assemble(
            chunks if dense is None else dense,
            room=len(ids) + settings.max_new_tokens,
            chunk_groups=chunk_groups,
            sparse=sparse,
            keep_ends=keep_ends,
        )
        self._tell_long(cache.length + len(ids) + settings.max_new_tokens)
        yield from self.language.answer(cache, ids, settings)

    def ask(
        self,
        kv: VideoKV,
        question: str,
        dense: Collection[int] | None = None,
        *,
        settings: GenerationSettings | None = None,
        chunk_groups: int = 4,
        sparse: SparseRule | None = None,
        keep_ends: bool = True,
        history: Iterable[tuple[str, str]] = (),
    ) -> str:
        """Return the whole answer; see `stream`."""
        pieces = self.stream(
            kv,
            question,
            dense,
            settings=settings,
            chunk_groups=chunk_groups,
            sparse=sparse,
            keep_ends=keep_ends,
            history=history,
        )
        return "".join(pieces)

    def save_pretrained(
        self, folder: str | Path, *, max_shard_bytes: int = MAX_SHARD_BYTES
    ) -> None:
        """Write the model in the public layout, so that `from_pretrained` gives it back exactly.

        Raises:
            SettingError: weights are packed, or the folder holds a checkpoint already.
        """
        folder = Path(folder)
        modules = VideoModules(self.tower, self.connector, self.language.decoder.model)
        tensors = modules.tensors()
        checkpoint.write(folder, tensors, checkpoint.shards_of(tensors, max_shard_bytes))
        generation = {
            "eos_token_id": list(self.language.stop_ids),
            "repetition_penalty": self.settings.repetition_penalty,
        }
        fields = published.config_fields(self.config, str(self.dtype).removeprefix("torch."))
        for name, value in (("config", fields), ("generation_config", generation)):
            text = json.dumps(value, indent=1)
            (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        self.language.tokenizer.save(str(folder / "tokenizer.json"))


def _folder(source: str | Path) -> Path:
    """Return the folder itself, or that of a hub id, downloaded without code or pickles."""
    folder = Path(source)
    if folder.exists() or isinstance(source, Path) or str(source).count("/") != 1:
        if not folder.is_dir():
            raise CheckpointError(f"{source}: no folder of a checkpoint, nor a hub id (owner/name)")
        return folder
    # Imported here: only a hub id needs it.
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=HUB_FILES))
    except Exception as error:  # network, account, cache: many kinds
        raise CheckpointError(
            f"{source}: no such folder, and the hub did not give it: {error}; give the folder of a"
            " checkpoint on this disk"
        ) from error


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def _settings(folder: Path) -> GenerationSettings:
    """Return the defaults of generation_config.json: its penalty and its end tokens.

    Answers are greedy whatever it says of sampling, as in the reference's evaluation.
    """
    path = folder / "generation_config.json"
    raw = checkpoint.read_json(path) if path.is_file() else {}
    ends = raw.get("eos_token_id") or []
    try:
        return GenerationSettings(
            repetition_penalty=float(raw.get("repetition_penalty") or 1.0),
            stop_ids=tuple(int(each) for each in (ends if isinstance(ends, list) else [ends])),
        )
    except (SettingError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def _check_pictures(images: Pictures) -> None:
    if len(images.shape) != 4:
        raise SettingError(f"frames of shape {list(images.shape)}; [T, H, W, 3] is needed")


def _not_finite(group: int, dtype: torch.dtype) -> SettingError:
    return SettingError(
        f"group {group} (frames {4 * group} to {4 * group + 3}) gave rows that are no finite"
        f" numbers in {dtype}; load with dtype=torch.bfloat16 or float32, or check the weights"
    )


def _question(text: str) -> str:
    """Return a question without the video's place in front of it, which is where it stands."""
    text = text.removeprefix(f"{VIDEO_MARKER}\n")
    if VIDEO_MARKER in text:
        raise SettingError(f"{VIDEO_MARKER} inside a question; the video stands before it")
    return text
