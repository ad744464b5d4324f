"""A plugin that workers can import, films with something odd in them, and stores to compare."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from agentkit import Session
from agentkit.testing import long_gop, make_video, tone

ENTRY_POINTS = "[agentkit]\nscale = scale_plugin:scale\nfalls = scale_plugin:falls\n"
SECONDS = 72
Stored = dict[str, object]


@pytest.fixture(scope="session", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the plugin for this process and, by its search path, for its workers."""
    folder = tmp_path_factory.mktemp("plugin")
    info = folder / "scale_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scale-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        patch.syspath_prepend(str(folder))
        yield
    sys.modules.pop("scale_plugin", None)


@pytest.fixture(scope="session")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five chunks with a tone that starts in the middle."""
    path = tmp_path_factory.mktemp("sounding") / "sounding.mp4"
    sound = tone(440, SECONDS, start_s=SECONDS / 2)
    return make_video(path, seconds=SECONDS, fps=5, size_px=(128, 96), sound=sound)


@pytest.fixture(scope="session")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five chunks; some packets in the third are overwritten."""
    path = tmp_path_factory.mktemp("damaged") / "damaged.mp4"
    make_video(path, seconds=SECONDS, fps=5, size_px=(128, 96), options=long_gop(25, b_frames=0))
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for at, size in places[205:207]:
        data[at : at + size] = b"\xff" * size
    path.write_bytes(data)
    return path


@pytest.fixture
def stored() -> Callable[[Session, str], Stored]:
    """Return all that an ingest leaves of a video but the KV's numbers, to be compared whole."""

    def look(session: Session, video_id: str) -> Stored:
        store, video = session._store, session.video(video_id)
        assert store.verify() == []
        assert store.jobs(video_id) == []
        return {
            "digest": store.digest(video_id),
            "chunks": store.chunks(video_id),
            "notes": store.notes(video_id),
            "video": video,
        }

    return look


@pytest.fixture
def same_kv() -> Callable[[Session, Session, str], None]:
    """Hold the stored KV of a video in two stores to each other."""

    def parts(session: Session, video_id: str) -> dict[int, dict[str, np.ndarray]]:
        kv = session._kv.of(session.video(video_id))
        indices = session._store.kv_indices(video_id, kv.fingerprint)
        return {i: dict(session._store.kv(video_id, kv.fingerprint, i)) for i in indices}

    def compare(one: Session, other: Session, video_id: str) -> None:
        here, there = parts(one, video_id), parts(other, video_id)
        assert here.keys() == there.keys()
        assert len(here) == one.video(video_id).chunks + 1
        for index, part in here.items():
            for name, array in part.items():
                np.testing.assert_allclose(array, there[index][name], atol=1e-5, rtol=0)

    return compare
