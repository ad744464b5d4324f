"""What domains find out about a video: kept beside it, gone with it, made again where in doubt."""

import pytest
import sqlalchemy as sa

from agentkit_storage import Store, testing
from agentkit_storage.errors import RecordError, UnknownVideoError
from agentkit_storage.schema import AnalysisRow

A, B = "a1" * 32, "b2" * 32
TRACKS = "security/tracks"


@pytest.fixture
def kept(store: Store) -> Store:
    for video_id in (A, B):
        testing.ingest(store, video_id, 1)
    store.put_analysis(A, TRACKS, "1", '{"tracks": [1, 2]}')
    return store


def test_what_was_found_out_is_there_under_its_version_alone(kept: Store) -> None:
    assert kept.analysis(A, TRACKS, "1") == '{"tracks": [1, 2]}'
    assert kept.analysis(A, TRACKS, "2") is None
    assert kept.analysis(A, "security/zones", "1") is None
    assert kept.analysis(B, TRACKS, "1") is None


def test_another_version_takes_its_place(kept: Store) -> None:
    kept.put_analysis(A, TRACKS, "2", "[]")
    assert (kept.analysis(A, TRACKS, "1"), kept.analysis(A, TRACKS, "2")) == (None, "[]")


def test_it_goes_with_the_video_and_where_the_video_is_made_anew(kept: Store) -> None:
    kept.put_analysis(B, TRACKS, "1", "[]")
    kept.add_video(testing.draw_video(A), "another making", anew=True)
    kept.remove_video(B)
    assert kept.analysis(A, TRACKS, "1") is None
    with pytest.raises(UnknownVideoError):
        kept.analysis(B, TRACKS, "1")
    with kept._db.read() as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(AnalysisRow)) == 0


def test_what_is_damaged_is_not_there_and_is_named(kept: Store) -> None:
    with kept._db.write("test") as conn:
        conn.execute(sa.update(AnalysisRow).values(body='{"tracks": [1, 3]}'))
    assert kept.analysis(A, TRACKS, "1") is None
    (problem,) = kept.verify()
    assert problem.video_id == A
    assert problem.what == f"the analysis {TRACKS!r} is damaged (checksum differs)"
    kept.put_analysis(A, TRACKS, "1", "[]")
    assert kept.verify() == []


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_a_name_that_is_none_is_refused(kept: Store, name: str) -> None:
    with pytest.raises(RecordError):
        kept.put_analysis(A, name, "1", "[]")
    with pytest.raises(RecordError):
        kept.put_analysis(A, TRACKS, name, "[]")
