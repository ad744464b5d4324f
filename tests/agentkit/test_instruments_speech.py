"""Windows of sound, and what is kept of a transcript."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agentkit.instruments.speech import RATE_HZ, Block, Samples, Speech, SpeechConfig, windows
from agentkit.types import Note

SMALL = SpeechConfig(window_s=0.05, search_s=0.02, quiet_s=0.005)


def blocks_of(sound: Samples, cuts: list[int], start_s: float = 0.0) -> Iterator[Block]:
    edges = sorted({0, len(sound), *cuts})
    for first, after in itertools.pairwise(edges):
        yield start_s + first / RATE_HZ, sound[first:after]


@given(st.integers(1, 4000), st.integers(0, 9), st.lists(st.integers(0, 4000), max_size=8))
def test_windows_keep_every_sample_whatever_the_blocks(
    length: int, seed: int, cuts: list[int]
) -> None:
    sound = np.random.default_rng(seed).normal(size=length).astype(np.float32)
    whole = list(windows(blocks_of(sound, []), SMALL))
    parted = list(windows(blocks_of(sound, [c for c in cuts if c < length]), SMALL))
    assert [len(w) for _, w in parted] == [len(w) for _, w in whole]
    np.testing.assert_array_equal(np.concatenate([w for _, w in parted]), sound)
    assert max(len(w) for _, w in parted) <= SMALL.window_s * RATE_HZ
    lengths = [len(window) for _, window in parted]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]) / RATE_HZ
    np.testing.assert_allclose([start_s for start_s, _ in parted], starts)


def test_a_window_ends_where_it_is_quiet() -> None:
    sound = np.ones(1600, dtype=np.float32)
    sound[640:720] = 0.0  # 5 ms of silence from 40 ms on, on the grid of stretches
    first = next(windows(blocks_of(sound, []), SMALL))
    assert len(first[1]) == 680


def test_a_gap_in_the_track_keeps_the_times_right() -> None:
    tone = np.ones(100, dtype=np.float32)
    parts = [(0.0, tone), (100 / RATE_HZ, tone), (9.0, tone)]
    assert [(s, len(w)) for s, w in windows(parts, SpeechConfig())] == [(0.0, 200), (9.0, 100)]


@dataclass
class FakeWhisper:
    """Says one good and two bad things in each window, and a language it is sure of."""

    asked: list[str | None]

    def transcribe(
        self, samples: Samples, language: str | None, **options: object
    ) -> tuple[list[SimpleNamespace], SimpleNamespace]:
        assert options["temperature"] == 0.0
        assert options["condition_on_previous_text"] is False
        self.asked.append(language)
        good = {"compression_ratio": 1.2, "avg_logprob": -0.1, "no_speech_prob": 0.1}
        loop = good | {"compression_ratio": 5.0}
        noise = good | {"avg_logprob": -1.5, "no_speech_prob": 0.9}
        said = [
            SimpleNamespace(start=1.0, end=2.0, text="  well\n said ", **good),
            SimpleNamespace(start=2.0, end=3.0, text="la la la la la la", **loop),
            SimpleNamespace(start=3.0, end=4.0, text="thanks for watching", **noise),
        ]
        return said, SimpleNamespace(language="de", language_probability=0.9)


def test_segments_carry_the_tracks_times_and_loops_and_noise_are_left_out() -> None:
    whisper = FakeWhisper([])
    config = SpeechConfig(window_s=5.0, search_s=0.1, quiet_s=0.1)
    speech = Speech(lambda: whisper, config)  # type: ignore[arg-type,return-value] # the model's part that is used
    heard: list[float] = []
    sound = np.zeros(9 * RATE_HZ, dtype=np.float32)
    notes = speech.transcribe(blocks_of(sound, [], start_s=0.5), 6.9, heard.append)
    assert notes == [
        Note(1.5, 2.5, "speech", "well said", 0.905),
        Note(6.45, 6.9, "speech", "well said", 0.905),
    ]
    assert whisper.asked == [None, "de"]
    assert heard[-1] == 6.9
    assert heard == sorted(heard)


def test_no_sound_no_notes() -> None:
    speech = Speech(lambda: FakeWhisper([]))  # type: ignore[arg-type,return-value] # never called
    assert speech.transcribe(iter(()), 5.0, lambda s: None) == []
