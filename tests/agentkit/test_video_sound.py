from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agentkit.testing import SOUND_RATE_HZ, make_video, tone
from agentkit.types import VideoInfo
from agentkit.video import audio, probe
from agentkit.video_open import VideoLimits
from agentkit.video_sound import RATE_HZ, sound_blocks


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path / "home"))


def heard(info: VideoInfo) -> NDArray[np.float32]:
    """Return the whole track on the video's clock, [n] at RATE_HZ; silence where there is none."""
    track = np.zeros(round((info.duration_s + 1) * RATE_HZ), np.float32)
    for start_s, samples in audio(info):
        at = round(start_s * RATE_HZ)
        track[at : at + len(samples)] = samples
    return track


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_tone_is_heard_when_it_sounds(tmp_path: Path, suffix: str) -> None:
    sound = tone(440, 12, start_s=7.0)
    info = probe(make_video(tmp_path / f"t{suffix}", seconds=12, sound=sound))
    assert info.has_sound
    track = heard(info)
    onset_s = int(np.argmax(np.abs(track) > 0.1)) / RATE_HZ
    assert onset_s == pytest.approx(7.0, abs=0.03)
    spectrum = np.abs(np.fft.rfft(track[8 * RATE_HZ : 9 * RATE_HZ]))
    assert int(spectrum.argmax()) == 440


def test_blocks_are_short_and_follow_each_other(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "t.mp4", seconds=12, sound=tone(440, 12)))
    blocks = list(audio(info))
    assert len(blocks) == 3
    due_s = 0.0
    for start_s, samples in blocks:
        assert start_s == pytest.approx(due_s, abs=1e-6)
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert len(samples) < 6 * RATE_HZ
        due_s = start_s + len(samples) / RATE_HZ
    assert due_s == pytest.approx(12.0, abs=0.1)


def test_sound_has_the_frames_clock_where_the_picture_starts_late(tmp_path: Path) -> None:
    times_ms = range(1500, 5500, 100)  # picture from 1.5 s on, sound from 0
    path = make_video(tmp_path / "l.mkv", times_ms=times_ms, sound=tone(440, 5.5, start_s=3.5))
    info = probe(path)
    assert info.duration_s == pytest.approx(4.0)
    blocks = list(audio(info))
    assert blocks[0][0] == pytest.approx(0.0, abs=0.03)
    onset_s = int(np.argmax(np.abs(heard(info)) > 0.1)) / RATE_HZ
    assert onset_s == pytest.approx(2.0, abs=0.03)


def test_without_a_track_there_is_no_block(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "silent.mp4"))
    assert not info.has_sound
    assert list(audio(info)) == []


def test_sound_beyond_the_length_limit_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "t.mp4", seconds=4, sound=tone(440, 4))
    with pytest.raises(OSError, match="its sound is longer than 2 s"):
        list(sound_blocks(path, 0.0, VideoLimits(max_duration_s=2.0)))


def test_a_gap_in_the_track_keeps_later_sound_at_its_time(tmp_path: Path) -> None:
    from fractions import Fraction

    import av

    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SOUND_RATE_HZ)
        stream.layout = "mono"
        for start in (0, 1600, 3 * SOUND_RATE_HZ):  # 0.0, 0.1, then 3.0 s
            samples = np.full((1, 1600), 9000, np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = SOUND_RATE_HZ, start
            frame.time_base = Fraction(1, SOUND_RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    blocks = list(sound_blocks(path, 0.0, VideoLimits()))
    assert [(round(start_s, 3), len(samples)) for start_s, samples in blocks] == [
        (0.0, 3200),
        (3.0, 1600),
    ]
