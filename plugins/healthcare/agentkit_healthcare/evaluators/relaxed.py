"""Where a wrong phase counts as right: within 10 seconds of a transition (M2CAI 2016)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentkit_healthcare.evaluators.segments import Segment, segments

RELAXED_S = 10
ORDER = (  # Cholec80's seven phases after M2CAI's first
    *("TrocarPlacement", "Preparation", "CalotTriangleDissection", "ClippingCutting"),
    *("GallbladderDissection", "GallbladderPackaging"),
    *("CleaningCoagulation", "GallbladderRetraction"),
)
JUMPS_AHEAD = ORDER[4:]  # phases whose order changes: two ahead count too
JUMPS_BACK = ORDER[6:]  # and two back


def right_frames(
    found: Sequence[str], true: Sequence[str], frames_per_s: float, relaxed: bool
) -> NDArray[np.bool_]:
    """Return which frames are right, [frames]; relaxed or strictly.

    The relaxed rule is that of M2CAI's evaluation script, in the form used for Cholec80: in the
    first 10 s of a true segment the phase before it in the procedure's order is right too, in the
    last 10 s the phase after it. Of the last four phases, whose order changes, those two ahead
    count in the last 10 s, and of the last two those two back in the first. A segment shorter than
    10 s is relaxed all through. The published script tests the last 10 s and then forgives frames
    of the first, a slip of its indexing that Funke et al. 2023 found; here the rule is as meant.

    Phases of other procedures have no such order: there it is the video's own true segments
    before and after.
    """
    right = np.array([one == other for one, other in zip(found, true, strict=True)], np.bool_)
    if not relaxed:
        return right
    spans = segments(true)
    room = round(RELAXED_S * frames_per_s)
    for place, span in enumerate(spans):
        before, after = _neighbours(place, spans)
        for frame in range(span.start, min(span.start + room, span.end)):
            right[frame] |= found[frame] in before
        for frame in range(max(span.end - room, span.start), span.end):
            right[frame] |= found[frame] in after
    return right


def _neighbours(place: int, spans: Sequence[Segment]) -> tuple[Sequence[str], Sequence[str]]:
    phase = spans[place].phase
    if all(span.phase in ORDER for span in spans):
        at = ORDER.index(phase)
        back, ahead = 1 + (phase in JUMPS_BACK), 1 + (phase in JUMPS_AHEAD)
        return ORDER[max(at - back, 0) : at], ORDER[at + 1 : at + 1 + ahead]
    before = [span.phase for span in spans[max(place - 1, 0) : place]]
    return before, [span.phase for span in spans[place + 1 : place + 2]]
