"""What does it spare to have a video stored: the first token, and the peak of memory?

With the notes encoder and its models loaded. Fresh: ingest and the first token of a first
question; stored: the first token of further questions to the same video. Once for a clip and once
for the same clip joined several times, packet by packet. Memory is that of processes of their own.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ask import FIRST, SECOND, WARM_UP, first_token_s
from common import (
    PeakMemory,
    Ratio,
    clip,
    parse_overrides,
    release_memory,
    show,
    timed,
    tree_rss_bytes,
)
from ingest import joined
from store_drawn import scratch

from agentkit import Session, Settings

AIM_FIRST_TOKEN = 10.0
AIM_GROWTH = 1.0
LIMIT_MEMORY = 1.0


def measure(
    times: int = 8, rounds: int = 3, given: Sequence[str] = (), path: Path | None = None
) -> tuple[dict[str, Any], list[Ratio]]:
    """Return figures and ratios for a clip, and for the clip joined so many times."""
    path = path or clip("vtest.avi")
    with scratch() as folder:
        long = joined(path, times, folder)
        short_s, long_s = (seconds(each, rounds, given) for each in (path, long))
        memory = peaks(path, given)
    short, grown = (_ratio(figures) for figures in (short_s, long_s))
    growth = Ratio("the same, long over short", grown.value, short.value, "x", aim=AIM_GROWTH)
    stored, fresh = (memory[kind]["above_bytes"] / 1e6 for kind in ("stored", "fresh"))
    name = "peak memory above the loaded models: asking the stored video over ingest and asking"
    room = Ratio(name, stored, fresh, "MB", limit=LIMIT_MEMORY)
    figures = {"short": short_s, "long": long_s, "memory": memory}
    return figures, [show(ratio) for ratio in (short, grown, growth, room)]


def seconds(path: Path, rounds: int, given: Sequence[str]) -> dict[str, Any]:
    """Return the seconds of ingest, first question and further ones, each round from nothing."""
    done: list[dict[str, Any]] = []
    with scratch() as folder, open_session(folder, given) as session:
        first_token_s(session, WARM_UP, session.ingest(clip("obama_speech.mp4")))
        for _ in range(rounds):
            with timed() as ingest:
                video = session.ingest(path)
            first_s = first_token_s(session, FIRST, video)
            later_s = [first_token_s(session, question, video) for question in SECOND]
            done.append({"ingest_s": ingest.wall_s, "first_s": first_s, "later_s": later_s})
            session.remove(video)
    return {"file": path.name, "video_s": video.duration_s, "rounds": done}


def _ratio(figures: Mapping[str, Any]) -> Ratio:
    fresh_s = statistics.median(each["ingest_s"] + each["first_s"] for each in figures["rounds"])
    stored_s = statistics.median(s for each in figures["rounds"] for s in each["later_s"])
    name = f"first token, {figures['video_s']:.0f} s of video: fresh over stored"
    return Ratio(name, fresh_s, stored_s, "s", aim=AIM_FIRST_TOKEN)


def open_session(folder: Path, given: Sequence[str]) -> Session:
    """Open a session over a store in `folder`; `encoder=notes` unless something else is given."""
    overrides = {"encoder": "notes", **parse_overrides(given)}
    return Session.open(Settings.load(store=folder / "store", **overrides))


def peaks(path: Path, given: Sequence[str]) -> dict[str, Any]:
    """Return the peak memory of asking a fresh and then, in another process, a stored video."""
    with scratch() as folder:
        return {kind: _peak_elsewhere(kind, path, folder, given) for kind in ("fresh", "stored")}


def _peak_elsewhere(kind: str, path: Path, folder: Path, given: Sequence[str]) -> dict[str, int]:
    words = [sys.executable, __file__, kind, str(path), str(folder), *given]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def peak(kind: str, path: Path, folder: Path, given: Sequence[str]) -> dict[str, int]:
    """Return resident bytes with models loaded, and the most above them; in this process."""
    with open_session(folder, given) as session:
        first_token_s(session, WARM_UP, session.ingest(clip("obama_speech.mp4")))
        release_memory()
        loaded_bytes = tree_rss_bytes()
        with PeakMemory() as memory:
            video = session.ingest(path) if kind == "fresh" else session.video(str(path))
            first_token_s(session, FIRST, video)
    return {"loaded_bytes": loaded_bytes, "above_bytes": memory.peak_bytes - loaded_bytes}


def main() -> None:
    """Print the peak of one process: this is how `peaks` starts it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("fresh", "stored"))
    parser.add_argument("path", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("given", nargs="*", metavar="SECTION.NAME=VALUE")
    args = parser.parse_args()
    print(json.dumps(peak(args.kind, args.path, args.folder, args.given)))


if __name__ == "__main__":
    main()
