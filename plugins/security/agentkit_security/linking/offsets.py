"""How far the clocks of two cameras are apart: several ways to find out, and which one to trust."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np

from agentkit.types import SessionView, StoredVideo
from agentkit_security.linking.activity import Activity
from agentkit_security.linking.appearance import digest
from agentkit_security.linking.correlate import Peak, Signals, peak_lag
from agentkit_security.linking.links import Side, clothes_ratios, compared, same_kind
from agentkit_security.linking.options import LinkOptions
from agentkit_security.linking.passages import passage_lag
from agentkit_security.linking.results import How, Offset
from agentkit_security.linking.trajectories import speed_signals
from agentkit_security.linking.transit import Spans

VERSION = "2"
AS_SURE = 10.0  # times as much doubt is still about as sure
LEAST_DOUBT = 0.001
AGREE_S = 1.0  # two ways that differ by more contradict each other

# The finest first: where several are as sure, it is taken.
WAYS: tuple[How, ...] = ("sound", "activity", "light", "trajectories", "passages")


@dataclass(frozen=True, slots=True)
class Camera:
    """A video with all that is compared of it."""

    video: StoredVideo
    side: Side
    activity: Activity
    sound: Signals | None


def offset_between(a: Camera, b: Camera, options: LinkOptions) -> Offset:
    """Return the offset between two clocks as the recordings tell it; `none` where they do not."""
    # From one of the two only, whichever is named first: what is found is then the same.
    if a.video.video_id > b.video.video_id:
        return offset_between(b, a, options).turned()
    ids = a.video.video_id, b.video.video_id
    found = [
        Offset(*ids, peak.lag_s, peak.confidence, how, peak.runner_up_s)
        for how, peak in peaks(a, b, options)
        if math.isfinite(peak.lag_s)
    ]
    return settled(found) or Offset(*ids, math.nan, 0.0, "none")


def kept_offset(session: SessionView, a: Camera, b: Camera, options: LinkOptions) -> Offset:
    """Return `offset_between`, from the store where the same was asked before."""
    if a.video.video_id > b.video.video_id:
        return kept_offset(session, b, a, options).turned()
    of = digest(a.side.tracks), digest(b.side.tracks), replace(options, offsets={})
    kept = session.analysis(
        a.video,
        f"security/linking/offset/{b.video.video_id}",
        f"{VERSION}/{sha256(repr(of).encode()).hexdigest()[:16]}",
        lambda: _row(offset_between(a, b, options)),
    )
    seconds, confidence, how, runner_up_s = kept
    return Offset(
        a.video.video_id,
        b.video.video_id,
        math.nan if seconds is None else seconds,
        confidence,
        how,
        math.nan if runner_up_s is None else runner_up_s,
    )


def _row(offset: Offset) -> list[Any]:
    values = [offset.seconds, offset.confidence, offset.how, offset.runner_up_s]
    return [None if isinstance(one, float) and math.isnan(one) else one for one in values]


def settled(found: list[Offset]) -> Offset | None:
    """Return the surest offset; where another about as sure contradicts it, neither is sure."""
    if not found:
        return None
    best = max(found, key=lambda one: (round(one.confidence, 2), -WAYS.index(one.how)))
    about = 1 - AS_SURE * max(1 - best.confidence, LEAST_DOUBT)
    against = [
        one
        for one in found
        if one.is_sure and one.confidence >= about and abs(one.seconds - best.seconds) > AGREE_S
    ]
    if not (best.is_sure and against):
        return best
    return replace(best, confidence=best.confidence / 2, runner_up_s=against[0].seconds)


def peaks(a: Camera, b: Camera, options: LinkOptions) -> Iterator[tuple[How, Peak]]:
    """Yield what each way says, the finest first."""
    most_s = options.max_offset_s
    if a.sound is not None and b.sound is not None:
        yield "sound", peak_lag(a.sound, b.sound, most_s)
    of_both: list[tuple[How, Callable[[Camera], Signals]]] = [
        ("activity", lambda camera: camera.activity.motion_signals()),
        ("light", lambda camera: camera.activity.light_signals()),
        ("trajectories", lambda camera: speed_signals(camera.side.tracks)),
    ]
    for how, signals in of_both:
        yield how, peak_lag(signals(a), signals(b), most_s)
    yield "passages", _passages(a.side, b.side, options)


def _passages(a: Side, b: Side, options: LinkOptions) -> Peak:
    distance, close = compared(a, b)
    likely = clothes_ratios(distance, close, np.zeros_like(distance))
    likely = likely * same_kind(a.tracks, b.tracks)
    transit_s = options.min_transit_s, options.max_transit_s
    return passage_lag(
        Spans.of(a.tracks), Spans.of(b.tracks), likely, options.max_offset_s, transit_s
    )
