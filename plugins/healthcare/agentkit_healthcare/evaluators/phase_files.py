"""Cholec80's phase text: a header, then the number of a frame and the name of its phase."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from agentkit.types import Pair, UsageError, pair_files, read_lines

FRAMES_PER_S = 25  # Cholec80's and M2CAI's


@dataclass(frozen=True, slots=True)
class Phases:
    """The phase of every `step`-th frame of a video, from `first` on."""

    first: int
    step: int
    names: tuple[str, ...]

    @property
    def last(self) -> int:
        return self.first + self.step * (len(self.names) - 1)

    @property
    def frames_per_s(self) -> float:
        return FRAMES_PER_S / self.step


@dataclass(frozen=True, slots=True)
class Recognised:
    """One video: what was said of each frame, and what is true, of the same frames."""

    video: str
    found: Phases
    true: Phases


def read_videos(predictions: Path, ground_truth: Path) -> list[Recognised]:
    """Return the videos of two files or of two folders; the truth is taken at predicted frames.

    Raises:
        UsageError: a file is not of the format, or the predictions leave out a part of the truth.
    """
    return [_recognised(pair) for pair in pair_files(predictions, ground_truth)]


def read_phases(path: Path) -> Phases:
    """Return a file's phases.

    Raises:
        UsageError: no header, a line without a frame and a phase, or frames not evenly apart.
    """
    header, *lines = read_lines(path)
    if [word.lower() for word in header.text.split()] != ["frame", "phase"]:
        raise header.error(f"the header is {header.text.strip()[:40]!r}; write Frame and Phase")
    if not lines:
        raise header.error("no frame follows; is the file cut off?")
    rows = [line.text.split(maxsplit=1) for line in lines]
    for line, row in zip(lines, rows, strict=True):
        if len(row) != 2:
            raise line.error("write the frame's number, a tab and the phase's name")
    frames = [line.integer(row[0], "frame", 0) for line, row in zip(lines, rows, strict=True)]
    step = frames[1] - frames[0] if len(frames) > 1 else 1
    for line, (before, now) in zip(lines[1:], pairwise(frames), strict=True):
        if step < 1 or now - before != step:
            raise line.error(f"frame {now} follows {before}; write frames in order, evenly apart")
    return Phases(frames[0], step, tuple(row[1].strip() for row in rows))


def _recognised(pair: Pair) -> Recognised:
    found, true = read_phases(pair.predictions), read_phases(pair.ground_truth)
    start, rest = divmod(found.first - true.first, true.step)
    if rest or found.step % true.step or start < 0:
        raise UsageError(
            f"{pair.predictions}: frames {found.first}, {found.first + found.step} ... are not "
            f"among those of {pair.ground_truth}; number both alike"
        )
    if found.first - true.first >= found.step or not 0 <= true.last - found.last < found.step:
        raise UsageError(
            f"{pair.predictions}: frames {found.first} to {found.last}, but {pair.ground_truth} "
            f"has {true.first} to {true.last}; predict the whole video"
        )
    names = true.names[start :: found.step // true.step]
    return Recognised(pair.video, found, Phases(found.first, found.step, names))
