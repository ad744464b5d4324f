"""Shots: where a film was cut, to the frame. Fades and cuts are told apart.

Cuts come from `frames.py`. Fades are PySceneDetect's too (`ThresholdDetector` over the brightness
of every frame, for black, and over its inverse, for white): a fade begins a shot in the middle of
its dark, and only where the light went or came by degrees. A dissolve from one picture into another
has neither, and is not found. Where the file cannot be read, the changes of shot that were noted at
ingest, at sampled frames, stand in, and `exact` is False.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from agentkit.types import AgentkitError, SessionView, StoredVideo
from agentkit_media.frames import PIECE_S, Look, Seen, seen
from agentkit_media.options import Options

VERSION = 1
START, CUT, FADE, NOTED = "start", "cut", "fade", "noted"
BLACK = 5.0  # of 255: a fade goes so far, a night scene does not
BY_DEGREES = 3  # frames that a light needs to go or come, else it was cut
STEP = 0.3  # of 255: the least that a fading light changes from frame to frame


@dataclass(frozen=True, slots=True)
class Shot:
    """Frames without a cut between them; `after_frame` is the first of the next shot."""

    number: int  # from 1
    start_s: float
    end_s: float
    first_frame: int
    after_frame: int
    begins: str  # start, cut, fade, or noted where it was not measured

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.end_s) / 2


@dataclass(frozen=True, slots=True)
class Shots:
    """The shots of a video in order, without a gap, and a look at the picture twice a second."""

    shots: tuple[Shot, ...]
    looks: tuple[Look, ...]
    exact: bool
    reason: str = ""  # why they are not exact


def shots_of(
    video: StoredVideo, session: SessionView, options: Options, piece_s: float = PIECE_S
) -> Shots:
    """Return a video's shots, to the frame where its file can be read."""
    try:
        found = seen(video, session, options, piece_s)
        version = f"{VERSION} {piece_s:g} {options.of_shots}"
        kept = session.analysis(video, "media/shots", version, partial(_as_json, found, options))
    except (AgentkitError, OSError) as error:
        return Shots(tuple(_noted(video, session)), (), False, str(error))
    starts: list[tuple[int, float, str]] = [(n, at_s, begins) for n, at_s, begins in kept]
    if not starts:
        return Shots(tuple(_noted(video, session)), (), False, "no frame could be read")
    after = found.first_frame + len(found.times_s)
    return Shots(tuple(_between(starts, after, video.duration_s)), found.looks, True)


def _as_json(found: Seen, options: Options) -> list[Any]:
    return [list(start) for start in starts_of(found, options)]


def starts_of(found: Seen, options: Options) -> list[tuple[int, float, str]]:
    """Return each shot's first frame, its time, and how it begins."""
    if not found.times_s:
        return []
    places = {cut - found.first_frame: CUT for cut in found.cuts}
    for levels in (found.levels, [255 - level for level in found.levels]):
        for begin, middle, end in fades(levels, options.fade_level):
            for place in [place for place in places if begin <= place <= end]:
                del places[place]  # the steep part of a fade, which is one change of shot
            places[middle] = FADE
    kept = [(0, START)]
    for place, begins in sorted(places.items()):
        long_enough = found.times_s[place] - found.times_s[kept[-1][0]] >= options.min_shot_s
        if place and long_enough:
            kept.append((place, begins))
    return [(found.first_frame + place, found.times_s[place], begins) for place, begins in kept]


def fades(levels: Sequence[float], threshold: float) -> list[tuple[int, int, int]]:
    """Return (where the light begins to go, the middle of the dark, where it is back) of fades.

    The dark that a film begins or ends with has its middle at frame 0: no shot begins in it.
    """
    found = []
    for first, after, middle in _dark_runs(levels, threshold):
        if min(levels[first:after]) > BLACK:
            continue
        begin = _down(levels, first, -1)
        end = _down(levels, after - 1, 1)
        if max(first - begin, end - after + 1) >= BY_DEGREES:
            found.append((begin, middle, end))
    return found


def _dark_runs(levels: Sequence[float], threshold: float) -> list[tuple[int, int, int]]:
    """Return the first dark frame, the one after the last, and where a shot begins: 0 for none."""
    runs = [_dark_run(levels, middle, threshold) for middle in _splits(levels, threshold)]
    inner = [run for run in runs if run[0] > 0]
    ends = [
        (*_dark_run(levels, place, threshold)[:2], 0)
        for place in (0, len(levels) - 1)
        if levels and levels[place] < int(threshold)
    ]
    return sorted({*inner, *ends})


def _splits(levels: Sequence[float], threshold: float) -> Iterable[int]:
    import numpy as np
    from scenedetect import FrameTimecode
    from scenedetect.detectors import ThresholdDetector

    detector = ThresholdDetector(threshold=threshold, min_scene_len=1)
    for number, level in enumerate(levels):
        picture = np.full((1, 1, 3), level)  # the detector looks at the mean of a frame alone
        for split in detector.process_frame(FrameTimecode(number, 25.0), picture):
            yield split.frame_num


def _dark_run(levels: Sequence[float], middle: int, threshold: float) -> tuple[int, int, int]:
    """Return the first dark frame around `middle`, the one after the last, and `middle`."""
    floor = int(threshold)  # as the detector takes it
    if levels[middle] >= floor and middle > 0:
        middle -= 1  # a dark of one frame is halved upwards
    first = after = middle
    while first > 0 and levels[first - 1] < floor:
        first -= 1
    while after < len(levels) and levels[after] < floor:
        after += 1
    return first, after, middle


def _down(levels: Sequence[float], place: int, step: int) -> int:
    """Return how far the light goes on growing from a dark frame on, in the direction `step`."""
    while 0 <= place + step < len(levels) and levels[place + step] > levels[place] + STEP:
        place += step
    return place


def _between(
    starts: Sequence[tuple[int, float, str]], after_frame: int, end_s: float
) -> Iterable[Shot]:
    nexts = [*starts[1:], (after_frame, end_s, "")]
    for number, (start, following) in enumerate(zip(starts, nexts, strict=True), start=1):
        start_s = 0.0 if number == 1 else start[1]
        yield Shot(number, start_s, following[1], start[0], following[0], start[2])


def _noted(video: StoredVideo, session: SessionView) -> Iterable[Shot]:
    """Return shots between the changes of shot that were noted at sampled frames."""
    noted = {note.start_s for note in session.notes(video.video_id) if note.kind == "shot"}
    cuts_s = sorted(at_s for at_s in noted if 0 < at_s < video.duration_s)
    frames_per_s = video.frames_in_file / max(video.duration_s, 1e-3)
    starts = [(0, 0.0, START), *((round(at * frames_per_s), at, NOTED) for at in cuts_s)]
    return _between(starts, video.frames_in_file, video.duration_s)
