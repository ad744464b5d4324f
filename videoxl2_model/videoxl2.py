"""Video-XL-2: frames and a question in, text out. Knows no video file, no store.

model = VideoXL2.from_pretrained(folder)
kv = model.prefill(model.encode_stream(frames))
print(model.ask(kv, "What happens?", dense=[3, 4]))
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from videoxl2_model import checkpoint, published
from videoxl2_model.config import (
    GenerationSettings,
    PrefillConfig,
    Relevance,
    SparseRule,
    StepWeights,
    VideoXL2Config,
    WeightKind,
    whole,
)
from videoxl2_model.connector import Connector
from videoxl2_model.decoder import Decoder
from videoxl2_model.encoding import BATCH_FRAMES, FrameEncoder, not_finite
from videoxl2_model.errors import SettingError
from videoxl2_model.frames import Pictures, TimedFrame, timed
from videoxl2_model.hub import local_folder
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.model import LanguageModel
from videoxl2_model.prefill import Prefill, TokenGroup
from videoxl2_model.prompting import SYSTEM_TEXT, VIDEO_MARKER, seconds_for_clock_times, time_text
from videoxl2_model.relevance import dense_chunks_for
from videoxl2_model.tokenizing import load_tokenizer
from videoxl2_model.vision import VisionTower
from videoxl2_model.weights import VideoModules, load_modules

logger = logging.getLogger(__name__)

MAX_SHARD_BYTES = 5 * 2**30


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
        self._encoder = FrameEncoder(tower, connector)

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
            SettingError: the device is not there, or `dtype`, `weights` or `steps` is none that is
                run.
        """
        if steps not in get_args(StepWeights):
            raise SettingError(f"unknown steps {steps!r}; {', '.join(get_args(StepWeights))}")
        folder = local_folder(source)
        config = published.read_config(folder)
        tokenizer = load_tokenizer(folder)
        settings = published.read_generation(folder)
        modules = load_modules(
            folder,
            config,
            dtype=dtype,
            device=device,
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
        return self._encoder.device

    @property
    def dtype(self) -> torch.dtype:
        return self._encoder.dtype

    @property
    def image_size(self) -> int:
        """The side of the squares that pictures are resized to, in pixels."""
        return self.tower.config.image_size

    # Frames to rows

    def encode(self, images: Pictures, times_s: Sequence[float]) -> list[TokenGroup]:
        """Return one group per 4 frames, the last filled up by its last frame.

        images: [T, H, W, 3] RGB uint8, of any size; times_s: T times in seconds. A group has its
        first frame's time and 144 rows.

        Raises:
            SettingError: there is no frame, shapes or types are others, or rows are not finite.
        """
        return list(self.encode_stream(timed(images, times_s)))

    def encode_rows(self, images: Pictures) -> Tensor:
        """Return the rows of frames [T, H, W, 3], [G, 144, hidden], on the model's device."""
        stream = self._encoder.stream(timed(images), BATCH_FRAMES)
        return torch.stack([group.rows for group in stream])

    def encode_stream(
        self, frames: Iterable[TimedFrame], *, batch_frames: int = BATCH_FRAMES
    ) -> Iterator[TokenGroup]:
        """Yield groups of (frame [H, W, 3] RGB uint8, time in seconds) as frames come.

        A batch of pixels is alive at a time; frames may differ in size, and are copied: a reader
        may fill one buffer again and again.

        Raises:
            SettingError: as `encode`.
        """
        for each in self._encoder.stream(frames, batch_frames):
            yield self.group(each.time_s, each.rows)

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
            raise not_finite(bad[0], self.dtype)
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
            SettingError: a question places the video elsewhere than before itself, or the history
                is no list of pairs of texts.
        """
        return self.language.question_ids(_spoken(text), [_turn(turn) for turn in history])

    def stream(
        self,
        kv: VideoKV,
        question: str,
        dense: Collection[int] | Relevance | None = None,
        *,
        settings: GenerationSettings | None = None,
        chunk_groups: int = 4,
        sparse: SparseRule | None = None,
        keep_ends: bool = True,
        history: Iterable[tuple[str, str]] = (),
    ) -> Iterator[str]:
        """Yield the answer's text as it comes.

        `dense` names the chunks that stay whole, or how to choose them; None keeps every chunk
        whole. The other settings are those of `VideoKV.assemble`. Positions beyond the model's
        native range are told in the log and run.

        Raises:
            UnknownChunkError, AbsentGroupsError: see `VideoKV.assemble`.
        """
        settings = settings or self.settings
        ids = self.question_ids(question, history)
        whole("chunk_groups", chunk_groups, 1)
        if isinstance(dense, str):  # a collection too, but of no chunks
            raise SettingError(f"dense is {dense!r}; name chunks, or give Relevance({dense!r})")
        if dense is None or isinstance(dense, Relevance):
            dense = dense_chunks_for(
                dense or Relevance("all"),
                kv,
                chunk_groups=chunk_groups,
                keep_ends=keep_ends,
                decoder=self.language.decoder,
                question=self.language.encode(_spoken(question)),
            )
        cache = kv.assemble(
            dense,
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
        dense: Collection[int] | Relevance | None = None,
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
        stop_ids = self.language.stop_ids
        published.write_settings(folder, self.config, self.dtype, self.settings, stop_ids)
        self.language.tokenizer.save(str(folder / "tokenizer.json"))


def _turn(turn: tuple[str, str]) -> tuple[str, str]:
    # A text of two letters and a mapping of two keys come apart into two as well.
    if not isinstance(turn, tuple | list) or len(turn) != 2:
        raise SettingError(f"{turn!r} in the history; (question, answer) pairs are needed")
    return _spoken(turn[0]), _spoken(turn[1])


def _spoken(text: str) -> str:
    """Return a text with MM:SS in seconds, without the video's marker in front of it."""
    if not isinstance(text, str):
        raise SettingError(f"a text is {text!r}; words are needed")
    text = seconds_for_clock_times(text).removeprefix(f"{VIDEO_MARKER}\n")
    if VIDEO_MARKER in text:
        raise SettingError(f"{VIDEO_MARKER} inside a text; the video stands before the question")
    return text
