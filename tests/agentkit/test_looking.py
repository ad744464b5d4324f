"""What a session shows of a stored video to plugins: chunks, frames of a plan, sound, analyses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import Session
from agentkit.checks import language_of
from agentkit.errors import StaleVideoError, TimeRangeError, UnknownNameError
from agentkit.testing import frame_number, make_video, tone
from agentkit.types import SamplingPlan, SessionView
from agentkit.video import group_span, plan_times, probe

Open = Callable[..., Session]
FPS = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "numbered.mp4"
    return make_video(path, seconds=20, fps=FPS, sound=tone(440, 20))


@pytest.fixture
def session(open_session: Open, clip: Path) -> Session:
    session = open_session(plugins={"general": {"zones": "z.toml"}})
    session.ingest(clip)
    return session


def test_a_session_is_what_plugins_are_promised(session: Session) -> None:
    promised = {name for name in vars(SessionView) if not name.startswith("_")}
    assert {name for name in promised if not hasattr(session, name)} == set()


def test_frames_of_a_plan_between_two_times(session: Session, clip: Path) -> None:
    batches = list(session.sample(clip, SamplingPlan(fps=2.0), 5.0, 9.0))
    seen = [frame_number(image) for batch in batches for image in batch.images]
    times_s = [time_s for batch in batches for time_s in batch.times_s.tolist()]
    assert [round(time_s * FPS) for time_s in times_s] == seen
    assert times_s[0] <= 5.0
    assert times_s[-1] >= 8.5


@given(start=st.floats(0, 20), length=st.floats(0, 20), fps=st.sampled_from([0.3, 1.0, 7.0]))
def test_a_span_has_the_groups_that_touch_it(
    clip: Path, start: float, length: float, fps: float
) -> None:
    info, plan, end = probe(clip), SamplingPlan(fps=fps), min(start + length, 20.0)
    times_s = plan_times(info, plan).tolist()
    ends_s = [*times_s[1:], info.duration_s]
    first, stop = group_span(info, plan, start, end)
    touching = [
        index // 4
        for index, (shown_s, gone_s) in enumerate(zip(times_s, ends_s, strict=True))
        if shown_s < end and start < gone_s
    ]
    assert set(touching) <= set(range(first, stop))
    if touching:
        assert set(range(first, stop)) <= set(range(min(touching), max(touching) + 1))
    else:
        assert stop - first <= 1


def test_a_span_outside_the_video_is_one_line(session: Session, clip: Path) -> None:
    with pytest.raises(TimeRangeError, match=r"20\.000 s long"):
        session.sample(clip, SamplingPlan(), 5.0, 50.0)


def test_sound_comes_whole(session: Session, clip: Path) -> None:
    blocks = list(session.sound(clip))
    assert blocks[0][0] == pytest.approx(0.0, abs=0.1)
    assert sum(len(samples) for _, samples in blocks) == pytest.approx(20 * 16_000, rel=0.01)
    assert max(float(np.abs(samples).max()) for _, samples in blocks) > 0.3


def test_an_analysis_is_made_once_a_version_and_kept(
    session: Session, clip: Path, open_session: Open
) -> None:
    made: list[int] = []

    def make() -> dict[str, list[int]]:
        made.append(1)
        return {"tracks": [1, 2]}

    for view in (session, session, open_session()):
        assert view.analysis(clip, "test/tracks", "1", make) == {"tracks": [1, 2]}
    assert len(made) == 1
    session.analysis(clip, "test/tracks", "2", make)
    session.ingest(clip, anew=True)
    session.analysis(clip, "test/tracks", "2", make)
    assert len(made) == 3


def test_an_analysis_of_a_part_is_not_taken_for_the_whole(
    session: Session, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report on a video that is not finished keeps what it found; once finished it looks anew."""
    whole, chunks = session.video(clip), session.chunks(clip)
    monkeypatch.setattr(session, "video", lambda name: replace(whole, state="partial"))
    seen: list[int] = []
    for known in (1, 1, len(chunks)):
        monkeypatch.setattr(session, "chunks", lambda name, known=known: chunks[:known])
        made = session.analysis(clip, "test/steps", "1", lambda n=known: seen.append(n) or n)
        assert made == known
    monkeypatch.undo()
    assert session.analysis(clip, "test/steps", "1", lambda: seen.append(0) or "whole") == "whole"
    assert seen == [1, len(chunks), 0]


def test_options_and_language_are_the_settings(session: Session, open_session: Open) -> None:
    assert (session.options, session.language) == ({"zones": "z.toml"}, "en")
    assert open_session(language="zh").language == "zh"
    assert open_session().options == {}


def test_nothing_detects_what_nobody_knows(session: Session) -> None:
    with pytest.raises(UnknownNameError, match="faces"):
        session.detect([np.zeros((8, 8, 3), np.uint8)], "face")  # type: ignore[arg-type]  # misspelt


def test_a_file_that_changed_shows_nothing(session: Session, tmp_path: Path) -> None:
    path = make_video(tmp_path / "b.mp4", seconds=4)
    video = session.ingest(path)
    make_video(path, seconds=6)
    for look in (lambda: session.frames(video, [1.0]), lambda: session.sound(video)):
        with pytest.raises(StaleVideoError, match="changed"):
            look()


@pytest.mark.parametrize(
    ("text", "language"),
    [("Who?", "en"), ("谁在说话", "zh"), ("What does 禁止 mean?", "zh"), ("", "en")],
)
def test_the_language_of_a_question(text: str, language: str) -> None:
    assert language_of(text) == language
