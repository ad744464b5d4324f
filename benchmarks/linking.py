"""Are the right tracks of two cameras linked, how often by chance, and are the clocks found?

Drawn: streets of two cameras that share no ground, some people seen by both and some by one, with
the boxes that the drawing knows, so that clothes, times and clocks are what is measured. Views:
two parts of a clip of pedestrians, one of them 7.4 s late, with real detections and tracks.

Chance is a table of as many random one-to-one links: of each pair it has the same share, so its
expected precision is the share of right pairs among all pairs. Recall is of the most links that a
one-to-one table can have right. AP is of all pairs ordered by probability. Under `calibration`:
of pairs said to be as likely, the share that is right.

    python benchmarks/linking.py
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from common import Ratio, bench_dir, clip, show, write_results
from linking_drawn import Scene
from linking_views import APART, FPS, LATE, OVERLAP, WHOLE, View, session_of
from numpy.typing import NDArray

from agentkit.testing import RecordedSession, stored_video
from agentkit.types import SessionView, StoredVideo
from agentkit_security.linking.cameras import camera_of, link_cameras
from agentkit_security.linking.links import clues
from agentkit_security.linking.matching import one_to_one
from agentkit_security.linking.offsets import Camera, peaks
from agentkit_security.linking.options import LinkOptions
from agentkit_security.linking.results import SURE, LinkResult
from agentkit_security.tracking import tracks_of
from agentkit_security.tracks import Track

BINS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
OFFSET_LIMIT_S = 0.5
OPTIONS = LinkOptions()
WAY_S = 8.0  # the longest on the way between the views that are apart
VIEWS = (  # name, views, whether the user gives the clocks
    ("same scene", WHOLE, False),
    ("overlap", OVERLAP, False),
    ("apart", APART, False),
    ("apart, clocks given", APART, True),
)

Owners = Mapping[str, Mapping[int, int]]  # by video and track: who it is


@dataclass(frozen=True, slots=True)
class Score:
    """How good one table is; `chance_*` are of random one-to-one tables of its size."""

    pairs: int
    right_pairs: int
    most_right: int  # that a one-to-one table can have
    linked: int
    right: int
    average_precision: float

    @property
    def precision(self) -> float:
        return self.right / self.linked if self.linked else float("nan")

    @property
    def recall(self) -> float:
        return self.right / self.most_right

    @property
    def chance_precision(self) -> float:
        return self.right_pairs / self.pairs

    @property
    def chance_recall(self) -> float:
        return self.linked * self.chance_precision / self.most_right

    def as_json(self) -> dict[str, float | None]:
        names = ("precision", "recall", "chance_precision", "chance_recall")
        return {**asdict(self), **{name: _plain(getattr(self, name)) for name in names}}


@dataclass(frozen=True, slots=True)
class Case:
    """Two cameras compared: the table as users get it, and all pairs' probabilities."""

    name: str
    score: Score
    clothes_only: Score
    probability: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    offset: dict[str, object]


def case_of(
    name: str,
    videos: Sequence[StoredVideo],
    session: RecordedSession,
    follow: Callable[[SessionView, StoredVideo], list[Track]],
    owners: Owners,
    offset_s: float,
) -> Case:
    """Link two cameras; `offset_s` is the true one of the second."""
    options = LinkOptions.read(session.options)
    result = link_cameras(videos, session, follow)
    a, b = (camera_of(video, session, follow) for video in videos)
    is_right = np.array([[_same(owners, x, y) for y in b.side.tracks] for x in a.side.tracks])
    clock_s = None
    if len(result.clock_s) == 2:
        clock_s = result.clock_s[videos[1].video_id] - result.clock_s[videos[0].video_id]
    told = clues(a.side, b.side, clock_s, options).probability
    blind = clues(a.side, b.side, None, options).probability
    right = [_same(owners, link.a, link.b) for link in result.links]
    pairs = one_to_one(blind, OPTIONS.min_probability)
    return Case(
        name,
        _score(is_right, told, right),
        _score(is_right, blind, [bool(is_right[pair]) for pair in pairs]),
        told,
        is_right,
        _offset(result, a, b, offset_s),
    )


def _plain(value: float) -> float | None:
    """Return a value as JSON has it: what is not defined is null."""
    return value if math.isfinite(value) else None


def _same(owners: Owners, one: Track, other: Track) -> bool:
    who = owners[one.video_id].get(one.number)
    return who is not None and who == owners[other.video_id].get(other.number)


def _score(
    is_right: NDArray[np.bool_], probability: NDArray[np.float64], right: Sequence[bool]
) -> Score:
    from sklearn.metrics import average_precision_score

    most = len(one_to_one(is_right.astype(float), 0.5))
    precision = average_precision_score(is_right.ravel(), probability.ravel())
    return Score(is_right.size, int(is_right.sum()), most, len(right), sum(right), float(precision))


def _offset(result: LinkResult, a: Camera, b: Camera, true_s: float) -> dict[str, object]:
    found = result.offsets[0]
    if found.a != a.video.video_id:
        found = found.turned()
    ways = {
        how: {"error_s": _plain(abs(peak.lag_s - true_s)), "sure": peak.confidence >= SURE}
        for how, peak in peaks(a, b, OPTIONS)
    }
    return {
        "true_s": true_s,
        "found_s": _plain(found.seconds),
        "error_s": _plain(abs(found.seconds - true_s)),
        "how": found.how,
        "confidence": found.confidence,
        "sure": found.is_sure,
        "ways": ways,
    }


def drawn(seed: int, folder: Path, is_hard: bool) -> Case:
    """Draw a street; every second one has lamps that change, every third one sounds.

    In a hard one people wear five colours, and some take three times as long as others.
    """
    scene = Scene(
        seed,
        people=30,
        alone=8,
        seconds=240.0,
        transit_s=(12.0, 4.0) if is_hard else (9.0, 1.0),
        wardrobe=5 if is_hard else 12,
        lamps=seed % 2 == 1,
        sounds=seed % 3 == 2,
    )
    videos = [stored_video(path) for path in scene.make(folder)]
    known = {
        video.video_id: scene.tracks(camera, video.video_id) for camera, video in enumerate(videos)
    }
    owners = {
        name: {track.number: who for track, who in zip(tracks, people, strict=True)}
        for name, (tracks, people) in known.items()
    }
    clues_there = [
        word for word, is_on in (("lamps", scene.lamps), ("sound", scene.sounds)) if is_on
    ]
    name = f"{'hard' if is_hard else 'drawn'} {seed}" + (
        f" ({', '.join(clues_there)})" if clues_there else ""
    )
    session = RecordedSession(videos)
    return case_of(
        name, videos, session, lambda _, video: known[video.video_id][0], owners, scene.offset_s
    )


def views(
    name: str, pair: tuple[View, View], folder: Path, whole: Sequence[Track], is_told: bool
) -> Case:
    """Cut two views out of the clip and follow people through each.

    Where `is_told`, the user gives the clocks and the longest time on the way.
    """
    source = clip("vtest.avi")
    videos = [stored_video(view.make(source, folder)) for view in pair]
    session = session_of(videos)
    if is_told:
        given = {videos[0].video_id: 0.0, videos[1].video_id: LATE / FPS}
        session.options = {"offsets": given, "max_transit_s": WAY_S}
    owners = {
        video.video_id: view.owners(tracks_of(session, video), whole)
        for video, view in zip(videos, pair, strict=True)
    }
    return case_of(name, videos, session, tracks_of, owners, LATE / FPS)


def calibration(cases: Iterable[Case]) -> list[dict[str, float]]:
    """Return for pairs of about the same probability how many of them are right."""
    some = list(cases)
    told = np.concatenate([case.probability.ravel() for case in some])
    right = np.concatenate([case.is_right.ravel() for case in some])
    rows = []
    for low, high in pairwise(BINS):
        inside = (told >= low) & (told < high if high < 1 else told <= 1)
        if inside.any():
            rows.append(
                {
                    "from": low,
                    "to": high,
                    "pairs": int(inside.sum()),
                    "said": float(told[inside].mean()),
                    "right": float(right[inside].mean()),
                }
            )
    return rows


def show_case(case: Case) -> None:
    for name, score in ((case.name, case.score), ("  clothes only", case.clothes_only)):
        print(
            f"{name:26} {score.right:3d} of {score.linked:3d} right, "
            f"{score.most_right:3d} to find: "
            f"precision {score.precision:.2f} (chance {score.chance_precision:.3f}), "
            f"recall {score.recall:.2f} (chance {score.chance_recall:.3f}), "
            f"AP {score.average_precision:.2f} (chance {score.chance_precision:.3f})"
        )
    offset = case.offset
    found_s = "nothing" if offset["found_s"] is None else f"{offset['found_s']:+.2f} s"
    print(
        f"{'  offset':26} {found_s} of {offset['true_s']:+.2f} s by "
        f"{offset['how']}, confidence {offset['confidence']:.2f}",
        flush=True,
    )


def show_calibration(name: str, rows: Sequence[Mapping[str, float]]) -> None:
    print(f"calibration, {name}:")
    for row in rows:
        print(f"  said {row['said']:.2f}: right {row['right']:.2f} of {row['pairs']} pairs")


def ratios_of(case: Case) -> tuple[Ratio, ...]:
    """Return the case's figures over chance, and the offset's error against its limit."""
    score, found = case.score, []
    if score.linked:
        found.append(
            Ratio(
                f"{case.name}: precision over chance", score.precision, score.chance_precision, ""
            )
        )
    found.append(
        Ratio(f"{case.name}: AP over chance", score.average_precision, score.chance_precision, "")
    )
    if case.offset["sure"]:
        error_s = float(str(case.offset["error_s"]))
        found.append(
            Ratio(
                f"{case.name}: offset's error over 0.5 s", error_s, OFFSET_LIMIT_S, "s", limit=1.0
            )
        )
    return tuple(show(ratio) for ratio in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seeds", type=int, default=6, help="drawn streets")
    parser.add_argument("--no-views", action="store_true", help="leave the clip out")
    arguments = parser.parse_args()
    folder = bench_dir() / "linking"
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[str, list[Case]] = {"drawn": [], "drawn, hard": [], "views": []}
    with tempfile.TemporaryDirectory() as drawings:
        for seed in range(arguments.seeds):
            for name, is_hard in (("drawn", False), ("drawn, hard", True)):
                groups[name].append(drawn(seed, Path(drawings), is_hard))
                show_case(groups[name][-1])
    if not arguments.no_views:
        source = stored_video(clip("vtest.avi"))
        whole = tracks_of(session_of([source]), source)
        for name, pair, is_told in VIEWS:
            groups["views"].append(views(f"views, {name}", pair, folder, whole, is_told))
            show_case(groups["views"][-1])
    told = {name: calibration(cases) for name, cases in groups.items() if cases}
    for name, rows in told.items():
        show_calibration(name, rows)
    every = [case for cases in groups.values() for case in cases]
    ratios = tuple(ratio for case in every for ratio in ratios_of(case))
    figures = {
        "threshold": OPTIONS.min_probability,
        "cases": {
            case.name: {
                "links": case.score.as_json(),
                "clothes_only": case.clothes_only.as_json(),
                "offset": case.offset,
            }
            for case in every
        },
        "calibration": told,
    }
    print(write_results("linking", figures, ratios))


if __name__ == "__main__":
    main()
