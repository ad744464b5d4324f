"""Why two tracks may be of one thing, in words. It says "may be", never who."""

import functools
import math

from agentkit.types import Prompts
from agentkit_security.linking.links import Clues, rank
from agentkit_security.linking.transit import TOGETHER

STRONG, WEAK = 2.0, 0.5  # likelihood ratios that are worth a word


@functools.cache
def words() -> Prompts:
    return Prompts.load("agentkit_security.linking")


def reasons_for(clues: Clues, row: int, column: int, language: str) -> tuple[str, ...]:
    """Return what speaks for a link, and what against it, the strongest clue first."""
    told = [
        (float(clues.clothes[row, column]), _clothes(clues, row, column, language)),
        (float(clues.times[row, column]), _times(clues, row, column, language)),
        (float(clues.place[row, column]), _place(clues, row, column, language)),
    ]
    told.sort(key=lambda one: -abs(math.log(max(one[0], 1e-9))))
    return tuple(text for _, text in told if text)


def _clothes(clues: Clues, row: int, column: int, language: str) -> str:
    ratio = clues.clothes[row, column]
    name = "alike" if ratio >= STRONG else "unlike" if ratio <= WEAK else "common"
    share = math.floor(float(rank(clues.distance)[row, column]) * 100)
    return words()(f"reason.{name}", language, percent=share)


def _times(clues: Clues, row: int, column: int, language: str) -> str:
    passages = clues.passages
    if passages is None:
        return words()("reason.no_clock", language)
    if passages.way[row, column] == TOGETHER:
        return words()("reason.at_once", language)
    ratio = clues.times[row, column]
    name = "usual_gap" if ratio >= STRONG else "rare_gap" if ratio <= WEAK else "gap"
    gap_s = max(float(passages.gap_s[row, column]), 0.0)
    return words()(f"reason.{name}", language, seconds=f"{gap_s:.1f}")


def _place(clues: Clues, row: int, column: int, language: str) -> str:
    ratio = clues.place[row, column]
    if ratio == 1.0:
        return ""
    name = "same_place" if ratio > 1 else "other_place"
    return words()(f"reason.{name}", language, count=clues.on_map)
