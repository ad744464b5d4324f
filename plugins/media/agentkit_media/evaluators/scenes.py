"""Scenes found: how much of each stays together, how much of others slips in, and boundaries."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from agentkit.types import Evaluation, Examples, Pair, UsageError, pair_files, read_lines

MEASURES = ("coverage", "overflow", "f", "boundary_precision", "boundary_recall", "boundary_f1")


@dataclass(frozen=True, slots=True)
class Scene:
    """A run of shots (or of frames), `end` being the one after its last."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start

    def shared(self, other: "Scene") -> int:
        return max(min(self.end, other.end) - max(self.start, other.start), 0)


class SceneSegmentation:
    """Coverage, overflow and their F (Vendrig and Worring 2002), and exact boundaries.

    Coverage of a scene is the share of it in the predicted scene that has most of it. Overflow is
    what the predicted scenes that touch it hold besides it, by the size of its two neighbours; it
    is bounded by 1 here, so that F, the harmonic mean of coverage and 1 - overflow, is defined. A
    video's value is the mean over its scenes, weighted by their sizes; the metric is the mean over
    videos. Boundaries, the first shots of scenes but the first, are counted over all videos.
    """

    name = "scene-segmentation"
    source = "Vendrig and Worring 2002, Systematic Evaluation of Logical Story Unit Segmentation"
    ranges: Mapping[str, tuple[float, float]] = {
        name: (1.0, 0.0) if name == "overflow" else (0.0, 1.0) for name in MEASURES
    }

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        videos = {pair.video: _read(pair) for pair in pair_files(predictions, ground_truth)}
        bounds = {video: _boundaries(*scenes) for video, scenes in videos.items()}
        per_video = {
            video: _grouping(found, true) | _boundary_values(*bounds[video])
            for video, (found, true) in videos.items()
        }
        correct = {
            f"{video}:{start}": start in found
            for video, (found, true) in bounds.items()
            for start in sorted(true)
        }
        means = {
            name: sum(values[name] for values in per_video.values()) / len(per_video)
            for name in ("coverage", "overflow", "f")
        }
        everywhere = [
            {(video, start) for video, pair in bounds.items() for start in pair[side]}
            for side in (0, 1)
        ]
        return Evaluation(means | _boundary_values(*everywhere), per_video, correct)

    def examples(self, folder: Path) -> Examples:
        files = Examples(folder / "truth.txt", folder / "perfect.txt", folder / "bad.txt")
        files.ground_truth.write_text("0 4\n5 11\n12 19\n", encoding="utf-8")
        files.perfect.write_text("0 4\n5 11\n12 19\n", encoding="utf-8")
        files.bad.write_text("0 0\n1 3\n4 6\n7 9\n10 14\n15 17\n18 19\n", encoding="utf-8")
        return files


def coverage(scene: Scene, found: Sequence[Scene]) -> float:
    """Return the share of a true scene that one predicted scene holds together."""
    return max(scene.shared(other) for other in found) / scene.size


def overflow(place: int, true: Sequence[Scene], found: Sequence[Scene]) -> float:
    """Return how far predicted scenes that touch a true one reach beyond it, at most 1."""
    scene = true[place]
    neighbours = sum(other.size for other in true[max(place - 1, 0) : place + 2]) - scene.size
    beyond = sum(other.size - scene.shared(other) for other in found if scene.shared(other) > 0)
    return min(beyond / neighbours, 1.0) if neighbours else 0.0  # alone, nothing lies beyond it


def read_scenes(path: Path) -> list[Scene]:
    """Return the scenes of a video, from lines of its first and last shot (or frame).

    Raises:
        UsageError: a line has not two numbers, or does not start where the one before ended.
    """
    scenes: list[Scene] = []
    for line in read_lines(path):
        row = line.text.replace(",", " ").split()
        if len(row) != 2:
            raise line.error("write a scene's first and last shot, as 0 11")
        first, last = (line.integer(cell, "shot", 0) for cell in row)
        if last < first:
            raise line.error(f"the scene ends at {last} before it starts; swap the numbers")
        if scenes and first != scenes[-1].end:
            raise line.error(f"the scene starts at {first}, not {scenes[-1].end}; leave no gap")
        scenes.append(Scene(first, last + 1))
    return scenes


def _read(pair: Pair) -> tuple[list[Scene], list[Scene]]:
    found, true = read_scenes(pair.predictions), read_scenes(pair.ground_truth)
    if (found[0].start, found[-1].end) != (true[0].start, true[-1].end):
        raise UsageError(
            f"{pair.predictions}: covers {found[0].start} to {found[-1].end - 1}, but "
            f"{pair.ground_truth} {true[0].start} to {true[-1].end - 1}; cover the same shots"
        )
    return found, true


def _grouping(found: Sequence[Scene], true: Sequence[Scene]) -> dict[str, float]:
    total = sum(scene.size for scene in true)
    held = sum(coverage(scene, found) * scene.size for scene in true) / total
    spilt = sum(overflow(at, true, found) * scene.size for at, scene in enumerate(true)) / total
    kept = 1 - spilt
    f = 2 * held * kept / (held + kept)  # a scene is always covered somewhat: never 0 / 0
    return {"coverage": held, "overflow": spilt, "f": f}


def _boundaries(found: Sequence[Scene], true: Sequence[Scene]) -> tuple[set[int], set[int]]:
    starts = ({after.start for _, after in pairwise(scenes)} for scenes in (found, true))
    return next(starts), next(starts)


def _boundary_values(found: Set[object], true: Set[object]) -> dict[str, float]:
    hits = len(found & true)
    nothing = not found and not true  # one scene, and one was predicted
    return {
        "boundary_precision": 1.0 if nothing else hits / max(len(found), 1),
        "boundary_recall": 1.0 if nothing else hits / max(len(true), 1),
        "boundary_f1": 1.0 if nothing else 2 * hits / (len(found) + len(true)),
    }
