"""A small report written by hand, and a session of a drawn film that reports are made from."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agentkit.testing import RecordedSession, make_video, stored_video
from agentkit.types import (
    Citation,
    Curve,
    Exhibit,
    Finding,
    Lane,
    Note,
    Report,
    ReportedVideo,
    Row,
    Section,
    Span,
    Table,
    Timeline,
)

FILM = "ab" * 32
INSTRUMENTS = ("objects", "speech", "ocr", "shots", "motion", "scene")
SAYS = "A person is left of 2 cars. The ship sinks."


def jpeg(colour: tuple[int, int, int] = (40, 90, 160)) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((90, 160, 3), colour, np.uint8)).save(out, "JPEG")
    return out.getvalue()


SEEN = Citation(FILM, 2.0, 6.0, "2 cars left", 4.0)
SAID = Citation(FILM, 8.0, 9.5, "Stop here.")
REPORT = Report(
    title="Report on film.mp4",
    videos=(
        ReportedVideo(
            *(FILM, "film.mp4", 20.0, 20, 500, 1.0, ("objects", "crowd")),
            ("ocr: extra 'ocr' is not installed",),
            path="/films/film.mp4",
        ),
    ),
    sections=(
        Section(
            "Summary",
            "First paragraph.\n\nSecond one.",
            findings=(
                Finding("Two cars stand.", "supported", (SEEN,)),
                Finding("A ship sinks.", "unsupported"),
                Finding("Nobody speaks.", "contradicted", (SAID, SEEN)),
            ),
            figures=(SEEN,),
        ),
        Section(
            "Events",
            tables=(
                Table("In order", ("When", "What"), (Row(("00:02", "cars"), (SEEN,)), Row(("?",)))),
            ),
            timelines=(
                Timeline(
                    "When",
                    20.0,
                    (
                        Lane("cars", (Span(2.0, 6.0, "2 cars", "things"),), FILM),
                        Lane("speech", (Span(8.0, 9.5, "Stop here.", "sound"),), FILM),
                        Lane("nothing", ()),
                    ),
                    (Curve("motion", 5.0, (0.0, 1.0, float("nan"), 0.5), FILM),),
                ),
            ),
        ),
    ),
    exhibits=(
        Exhibit(SEEN, ("Things: 2 cars left",), jpeg(), "Key frame of film.mp4 at 00:04"),
        Exhibit(SAID, (), b"", "No key frame: the file is gone."),
    ),
    notices=("No medical device.",),
    engine="tiny",
    made_at="2026-02-03T04:05:06+00:00",
    details={"agentkit": "0.1.0", "redaction": "off", "zones": "zones.toml"},
)


@pytest.fixture
def report() -> Report:
    return REPORT


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s that change a little all the time."""
    return make_video(tmp_path_factory.mktemp("films") / "film.mp4", seconds=20, fps=5)


def noted() -> tuple[Note, ...]:
    """Return what was noted of the film."""
    return (
        Note(0.0, 4.0, "motion", "some motion", 0.5),
        Note(0.0, 4.0, "objects", "1 person left", 0.8),
        Note(1.0, 3.0, "speech", "Stop here."),
        Note(3.5, 5.0, "speech", "Then go on."),
        Note(4.0, 8.0, "motion", "still", 0.1),
        Note(4.0, 8.0, "objects", "2 cars left and right", 0.7),
        Note(4.0, 8.0, "objects", "1 person left", 0.9),
        Note(8.0, 8.0, "shot", "cut"),
        Note(12.0, 16.0, "objects", "2 people across", 0.6),
        Note(12.0, 16.0, "ocr", "EXIT | <b>now</b>", 0.95),
    )


@pytest.fixture
def session(film: Path) -> RecordedSession:
    """Return a session that knows the film, and says one true sentence of it and a false one."""
    video = stored_video(film, instruments=INSTRUMENTS)
    return RecordedSession(
        [video], {video.video_id: noted()}, say=lambda question, video, chunks: SAYS
    )
