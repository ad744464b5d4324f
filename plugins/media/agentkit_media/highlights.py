"""Highlights: moments that stand out of their own film, scored, each with what speaks for it.

Each half second gets a value of 0..1 for each sign: motion, cuts, sound, people, words, score.
They are weighted and added up, smoothed, and the highest moments are taken, none over another
(non-maximum suppression in time). Motion, density of cuts and energy of the sound are the signs of
Hanjalic (Adaptive extraction of highlights from a sport video based on excitement modeling, IEEE
Transactions on Multimedia, 2005); the others and all weights are ours and were fitted to nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentkit_media.counts import people_in
from agentkit_media.frames import LOOK_S
from agentkit_media.material import Material
from agentkit_media.scoreboard import changes
from agentkit_media.sound import rises
from agentkit_media.words import words_of

Values = NDArray[np.float64]  # [steps of LOOK_S] 0..1

WEIGHTS: Mapping[str, float] = {
    "score": 4.0,  # says by itself that something happened
    "sound": 3.0,
    "motion": 2.0,
    "cuts": 1.5,
    "words": 2.0,
    "people": 1.0,
}
FULL = 6.0  # a weighted sum that is worth 10
SMOOTH_S = 3.0
LEAST = 1.5  # of 10
LEAST_REASON = 0.15  # share of a moment's score from which on a sign is named
MIN_S, MAX_S = 4.0, 20.0
BEFORE_SCORE_S = 10.0  # the play comes before the board
LOUD_DB = 12.0  # louder than the median around: as loud as counts
SNAP_S = 1.0

EMPHASIS = frozenset(
    """amazing incredible unbelievable wow goal score win won winner victory champion finally yes
    fantastic wonderful great record best first ever never historic breakthrough congratulation
    important remember secret suddenly explosion bang oh
    太棒 精彩 进球 冠军 胜利 不可 可思 思议 终于 历史 重要 突然 天哪 加油""".split()
)


@dataclass(frozen=True, slots=True)
class Reason:
    sign: str  # of WEIGHTS
    share: float  # of the moment's score
    detail: str = ""  # "1-0 → 2-0", a word


@dataclass(frozen=True, slots=True)
class Highlight:
    start_s: float
    end_s: float
    peak_s: float
    score: float  # 0..10
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Highlights:
    moments: tuple[Highlight, ...]  # in order of time
    curve: tuple[float, ...]  # 0..10, each LOOK_S


def highlights_of(material: Material) -> Highlights:
    """Return the best moments, and the score of each half second."""
    steps = max(int(np.ceil(material.video.duration_s / LOOK_S)), 1)
    signs = signs_of(material, steps)
    curve = _smooth(sum((WEIGHTS[s] * v for s, v in signs.items()), np.zeros(steps)))
    curve = np.minimum(curve / FULL * 10, 10)
    moments = [_moment(material, place, curve, signs) for place in _peaks(curve)]
    best = suppressed(moments)[: material.options.highlights]
    return Highlights(
        tuple(sorted(best, key=lambda moment: moment.start_s)), tuple(curve.round(3).tolist())
    )


def signs_of(material: Material, steps: int) -> dict[str, Values]:
    """Return each sign's value of each half second."""
    return {
        "score": _score(material, steps),
        "sound": _sound(material, steps),
        "motion": _motion(material, steps),
        "cuts": _cuts(material, steps),
        "words": _words(material, steps),
        "people": _people(material, steps),
    }


def _motion(material: Material, steps: int) -> Values:
    """How much more changes than usual in this film; what a cut changes is no motion."""
    values = np.zeros(steps)
    cuts = [shot.start_s for shot in material.shots]
    for look in material.found.looks:
        place = int(look.time_s / LOOK_S + 1e-6)
        is_cut = any(0 <= look.time_s - cut_s <= LOOK_S for cut_s in _near(cuts, look.time_s))
        values[min(place, steps - 1)] = np.nan if is_cut else look.change
    usual = float(np.nanmedian(values)) if not np.isnan(values).all() else 0.0
    values = np.where(np.isnan(values), usual, values)
    spread = max(float(np.median(np.abs(values - usual))) * 1.4826, 0.02)
    return np.clip((values - usual) / (4 * spread), 0, 1)


def _near(times_s: Sequence[float], time_s: float) -> list[float]:
    place = int(np.searchsorted(times_s, time_s, side="right"))
    return list(times_s[max(place - 1, 0) : place])


def _cuts(material: Material, steps: int) -> Values:
    """Cuts in ten seconds around, against the usual of this film; five more are the most."""
    counts = np.zeros(steps)
    for shot in material.shots[1:]:
        counts[min(int(shot.start_s / LOOK_S), steps - 1)] += 1
    width = min(round(10 / LOOK_S), steps)
    dense = np.convolve(counts, np.ones(width), mode="same")[:steps]
    return np.clip((dense - np.median(dense)) / 5, 0, 1)


def _sound(material: Material, steps: int) -> Values:
    values = np.zeros(steps)
    for place, rise in enumerate(rises(material.levels_db)[:steps]):
        values[place] = np.clip(rise / LOUD_DB, 0, 1)
    return values


def _people(material: Material, steps: int) -> Values:
    """How many more people than usual; three more are the most."""
    counts = np.zeros(steps)
    for note in material.of("objects"):
        first, after = int(note.start_s / LOOK_S), max(int(note.end_s / LOOK_S), 1)
        counts[first:after] = np.maximum(counts[first:after], people_in([note]))
    return np.clip((counts - np.median(counts)) / 3, 0, 1)


def _words(material: Material, steps: int) -> Values:
    values = np.zeros(steps)
    for note in material.of("speech"):
        weight = min(
            0.5 * len(emphasised(note.text)) + 0.5 * bool(re.search("[!！]", note.text)), 1
        )
        # A sentence of many seconds says its word in one of them.
        seconds = max(note.end_s - note.start_s, 1.0)
        first, after = int(note.start_s / LOOK_S), int(note.end_s / LOOK_S) + 1
        values[first:after] = np.maximum(values[first:after], weight * min(4 / seconds, 1))
    return values


def emphasised(text: str) -> list[str]:
    """Return the words of emphasis in a text, in order."""
    tokens = [*words_of(text), *re.findall(r"[a-z]+", text.lower())]
    return [word for word in dict.fromkeys(tokens) if word in EMPHASIS]


def _score(material: Material, steps: int) -> Values:
    values = np.zeros(steps)
    if not material.options.sport:
        return values
    for change in changes(material.of("ocr")):
        first = int(max(change.note.start_s - BEFORE_SCORE_S, 0) / LOOK_S)
        values[first : int(change.note.start_s / LOOK_S) + 1] = 1
    return values


def _smooth(values: Values) -> Values:
    """Return means over SMOOTH_S; at the ends over what there is."""
    width = min(round(SMOOTH_S / LOOK_S), len(values))
    ones = np.ones(width)
    kept = np.convolve(values, ones, mode="same") / np.convolve(
        np.ones(len(values)), ones, mode="same"
    )
    return np.asarray(kept[: len(values)])


def _peaks(curve: Values) -> list[int]:
    """Return where the curve is highest of its neighbours, the highest first."""
    padded = np.concatenate([[-1.0], curve, [-1.0]])
    is_peak = (curve >= LEAST) & (curve > padded[:-2]) & (curve >= padded[2:])
    return sorted(np.flatnonzero(is_peak).tolist(), key=lambda place: (-curve[place], place))


def _moment(
    material: Material, place: int, curve: Values, signs: Mapping[str, Values]
) -> Highlight:
    """Return the moment around a peak: as far as the curve stays above half of it."""
    first = after = place
    half = curve[place] / 2
    longest = round(MAX_S / LOOK_S)
    while first > 0 and curve[first - 1] >= half and after - first < longest:
        first -= 1
    while after + 1 < len(curve) and curve[after + 1] >= half and after - first < longest:
        after += 1
    start_s, end_s = _span(material, first * LOOK_S, (after + 1) * LOOK_S)
    reasons = _reasons(material, signs, first, after + 1, start_s, end_s)
    return Highlight(start_s, end_s, place * LOOK_S, round(float(curve[place]), 2), reasons)


def _span(material: Material, start_s: float, end_s: float) -> tuple[float, float]:
    """Return a span that is long enough, on changes of shot where they are near, in the video."""
    short_s = max(MIN_S - (end_s - start_s), 0) / 2
    limits_s = [shot.start_s for shot in material.shots] + [material.video.duration_s]
    first_s = max(_snapped(start_s - short_s, limits_s), 0.0)
    last_s = min(_snapped(end_s + short_s, limits_s), material.video.duration_s)
    return (first_s, last_s) if first_s < last_s else (max(start_s - short_s, 0.0), last_s)


def _snapped(time_s: float, limits_s: Sequence[float]) -> float:
    """Return the nearest of some times where it is near enough, else the time itself."""
    nearest = min(limits_s, key=lambda limit_s: abs(limit_s - time_s))
    return nearest if abs(nearest - time_s) <= SNAP_S else time_s


def _reasons(
    material: Material,
    signs: Mapping[str, Values],
    first: int,
    after: int,
    start_s: float,
    end_s: float,
) -> tuple[Reason, ...]:
    parts = {
        sign: WEIGHTS[sign] * float(values[first:after].mean()) for sign, values in signs.items()
    }
    total = sum(parts.values()) or 1.0
    ordered = sorted(parts, key=lambda sign: -parts[sign])
    return tuple(
        Reason(sign, round(parts[sign] / total, 2), _detail(material, sign, start_s, end_s))
        for sign in ordered
        if parts[sign] / total >= LEAST_REASON
    )


def _detail(material: Material, sign: str, start_s: float, end_s: float) -> str:
    if sign == "score":
        near = [
            change
            for change in changes(material.of("ocr"))
            if start_s - 1 <= change.note.start_s <= end_s + BEFORE_SCORE_S
        ]
        return ", ".join(
            f"{a[0]}-{a[1]} → {b[0]}-{b[1]}" for a, b in ((c.before, c.after) for c in near)
        )
    if sign == "words":
        said = material.of("speech", start_s=start_s, end_s=end_s)
        return ", ".join(dict.fromkeys(word for note in said for word in emphasised(note.text)))
    if sign == "people":
        return str(people_in(material.of("objects", start_s=start_s, end_s=end_s)))
    if sign == "sound" and material.levels_db:
        first, after = int(start_s / LOOK_S), max(int(end_s / LOOK_S), int(start_s / LOOK_S) + 1)
        return f"+{max(rises(material.levels_db)[first:after], default=0.0):.0f} dB"
    return ""


def suppressed(moments: Sequence[Highlight]) -> list[Highlight]:
    """Leave out each moment that overlaps a better one; best first."""
    kept: list[Highlight] = []
    for moment in moments:
        if all(moment.end_s <= one.start_s or one.end_s <= moment.start_s for one in kept):
            kept.append(moment)
    return kept
