"""What is said: faster-whisper over the sound track, window by window, in constant memory."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentkit import models
from agentkit.instruments.weights import once, require_extra, weight_folder, weights_version
from agentkit.types import Note, VideoInfo

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

logger = logging.getLogger(__name__)

KIND = "speech"
MODELS = ("whisper-base", "whisper-tiny.en")  # the first that is there is taken
RATE_HZ = 16_000

Samples = NDArray[np.float32]  # [n] mono, 16 kHz
Block = tuple[float, Samples]  # where it starts in s, and the sound


@dataclass(frozen=True, slots=True)
class SpeechConfig:
    """How sound is cut and what of the transcript is kept.

    Temperature 0 alone and no conditioning on earlier text: the same sound gives the same words.
    Without the retries at higher temperatures, loops and words heard into noise are left out by
    the limits under which the model's authors retry (Radford et al., 2022, section 4.5).
    """

    window_s: float = 120.0
    search_s: float = 30.0  # the end of a window in which the quietest place is looked for
    quiet_s: float = 0.2
    max_gap_s: float = 0.1  # blocks further apart do not belong together
    beam_size: int = 5
    max_compression: float = 2.4
    min_logprob: float = -1.0
    max_no_speech: float = 0.6
    sure_language: float = 0.7  # share from which a language holds for the rest of the track


class Speech:
    """Notes of kind "speech", one a segment, with its own times; the score is the words' mean."""

    name = "speech"

    def __init__(
        self,
        model: Callable[[], "WhisperModel"],
        config: SpeechConfig | None = None,
        version: str = "",
    ) -> None:
        self._model = model
        self._config = config or SpeechConfig()
        self.version = f"1 {self._config} {version}"

    def listen(self, video: VideoInfo, progress: Callable[[float], None]) -> list[Note]:
        from agentkit.video import audio

        return self.transcribe(audio(video), video.duration_s, progress)

    def prepare(self) -> None:
        """Load the model now, not with the first sound."""
        self._model()

    def transcribe(
        self, blocks: Iterable[Block], duration_s: float, progress: Callable[[float], None]
    ) -> list[Note]:
        """Return what is said in the blocks up to `duration_s`, in order of time."""
        notes: list[Note] = []
        language: str | None = None
        for start_s, samples in windows(blocks, self._config):
            segments, info = self._model().transcribe(
                samples,
                language=language,
                beam_size=self._config.beam_size,
                temperature=0.0,
                condition_on_previous_text=False,
                vad_filter=True,
            )
            for segment in segments:
                end_s = min(round(start_s + segment.end, 3), duration_s)
                note = Note(
                    min(round(start_s + segment.start, 3), end_s),
                    end_s,
                    KIND,
                    " ".join(segment.text.split()),
                    round(math.exp(min(segment.avg_logprob, 0.0)), 3),
                )
                if note.text and note.end_s > note.start_s and self._is_speech(segment):
                    notes.append(note)
                progress(end_s)
            if notes and info.language_probability >= self._config.sure_language:
                language = info.language
            progress(min(start_s + len(samples) / RATE_HZ, duration_s))
        return notes

    def _is_speech(self, segment: object) -> bool:
        config = self._config
        compression, logprob, no_speech = (
            float(getattr(segment, name))
            for name in ("compression_ratio", "avg_logprob", "no_speech_prob")
        )
        is_noise = no_speech > config.max_no_speech and logprob < config.min_logprob
        return compression <= config.max_compression and not is_noise


def load_speech(threads: int) -> Speech:
    """Return the instrument on the first of `MODELS` that is there.

    Raises:
        InstrumentMissingError: the extra is not installed, or neither model is there.
    """
    require_extra("audio", "faster_whisper")
    name = next((name for name in MODELS if models.available(name)), MODELS[0])
    folder = weight_folder(name)
    return Speech(once(lambda: _whisper(folder, threads)), version=weights_version(name))


def _whisper(folder: Path, threads: int) -> "WhisperModel":
    from faster_whisper import WhisperModel

    return WhisperModel(
        str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
    )


def windows(blocks: Iterable[Block], config: SpeechConfig) -> Iterator[Block]:
    """Join blocks and cut them anew where it is quiet, into windows of at most `window_s`.

    No sample is lost or doubled, and how the sound was cut into blocks makes no difference.
    """
    longest = round(config.window_s * RATE_HZ)
    held = np.zeros(0, dtype=np.float32)
    held_s = 0.0
    for start_s, samples in blocks:
        if len(held) and abs(held_s + len(held) / RATE_HZ - start_s) > config.max_gap_s:
            yield held_s, held
            held = held[:0]
        if not len(held):
            held_s = start_s
        held = np.concatenate([held, samples])
        while len(held) > longest:
            cut = _quietest(held[:longest], config)
            yield held_s, held[:cut]
            held_s, held = held_s + cut / RATE_HZ, held[cut:]
    if len(held):
        yield held_s, held


def _quietest(samples: Samples, config: SpeechConfig) -> int:
    """Return the middle of the quietest stretch in the last `search_s`, as an index."""
    width = max(round(config.quiet_s * RATE_HZ), 1)
    first = max(len(samples) - round(config.search_s * RATE_HZ), 0)
    count = (len(samples) - first) // width
    if count == 0:
        return len(samples)
    stretches = samples[first : first + count * width].reshape(count, width)
    loudness = np.square(stretches, dtype=np.float64).mean(axis=1)
    return first + int(loudness.argmin()) * width + width // 2
