"""A guess at a scene's mood from light, colour, motion, sound and words, with its reasons.

A plain table of points: each thing that is measured speaks for some moods, and the mood with the
most points is named if two things speak for it. That light, colour, motion, pace and loudness carry
mood is what film theory and affective video analysis hold (Hanjalic and Xu, Affective video content
representation and modeling, IEEE Transactions on Multimedia, 2005); the limits here are ours, and
were fitted to nothing. It is a guess and is told as one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

from agentkit_media.material import Material
from agentkit_media.shots import Shot
from agentkit_media.sound import SILENCE_DB
from agentkit_media.words import words_of

MOODS = ("calm", "lively", "tense", "cheerful", "sombre")
NEUTRAL = "neutral"

GLAD = frozenset(
    """happy love wonderful great joy laugh smile fun beautiful win won victory hooray celebrate
    thank congratulation friend party lovely amazing fantastic welcome dream hope peace
    高兴 快乐 喜欢 开心 胜利 祝贺 感谢 朋友 美丽 希望 和平 精彩 成功""".split()
)
DIRE = frozenset(
    """dead death die kill war fight danger dangerous fear afraid scream run gun blood attack enemy
    bomb fire help stop police crash murder threat weapon nuclear
    危险 死亡 战争 害怕 攻击 敌人 救命 杀死 武器 爆炸 警察 恐惧""".split()
)
SAD = frozenset(
    """sad sorry cry tear lost lose alone grief funeral goodbye miss regret pain hurt die dead
    难过 悲伤 哭泣 失去 孤独 遗憾 痛苦 再见""".split()
)

# What is measured, and which moods it speaks for.
SPEAKS_FOR: Mapping[str, tuple[str, ...]] = {
    "dark": ("tense", "sombre"),
    "bright": ("cheerful", "lively"),
    "warm": ("cheerful",),
    "cold": ("sombre", "tense"),
    "colourful": ("cheerful", "lively"),
    "pale": ("sombre",),
    "still": ("calm", "sombre"),
    "moving": ("lively", "tense"),
    "fast_cuts": ("lively", "tense"),
    "slow_cuts": ("calm",),
    "loud": ("lively", "tense"),
    "quiet": ("calm", "sombre"),
    "glad_words": ("cheerful",),
    "dire_words": ("tense",),
    "sad_words": ("sombre",),
}


@dataclass(frozen=True, slots=True)
class Mood:
    """A mood by name (of MOODS or NEUTRAL) and what spoke for it (keys of SPEAKS_FOR)."""

    name: str
    reasons: tuple[str, ...]


def mood_of(material: Material, shots: Sequence[Shot], said: str) -> Mood:
    """Return the guess for a scene that is made of `shots`, in which `said` is said."""
    facts = facts_of(material, shots, said)
    points = {mood: [f for f in facts if mood in SPEAKS_FOR[f]] for mood in MOODS}
    best = max(MOODS, key=lambda mood: len(points[mood]))
    if len(points[best]) < 2 or sum(len(p) == len(points[best]) for p in points.values()) > 1:
        return Mood(NEUTRAL, ())  # nothing speaks, or two moods alike
    return Mood(best, tuple(points[best]))


def facts_of(material: Material, shots: Sequence[Shot], said: str) -> tuple[str, ...]:
    """Return what is measured of a scene, in the order of SPEAKS_FOR."""
    start_s, end_s = shots[0].start_s, shots[-1].end_s
    found = {*_seen(material, start_s, end_s), *_heard(material, start_s, end_s), *_spoken(said)}
    pace_s = (end_s - start_s) / len(shots)
    if len(shots) > 2 and pace_s < 2.5:
        found.add("fast_cuts")
    if material.found.exact and pace_s > 12:
        found.add("slow_cuts")
    return tuple(fact for fact in SPEAKS_FOR if fact in found)


def _seen(material: Material, start_s: float, end_s: float) -> set[str]:
    looks = material.looks(start_s, end_s)
    if not looks:
        return set()
    light, warmth = mean(x.brightness for x in looks), mean(x.warmth for x in looks)
    colour, change = mean(x.colour for x in looks), median(x.change for x in looks)
    rules = {
        "dark": light < 0.22,
        "bright": light > 0.6,
        "warm": warmth > 0.08,
        "cold": warmth < -0.08,
        "colourful": colour > 0.45,
        "pale": colour < 0.12,
        "still": change < 0.02,
        "moving": change > 0.25,
    }
    return {fact for fact, holds in rules.items() if holds}


def _heard(material: Material, start_s: float, end_s: float) -> set[str]:
    levels = material.levels(start_s, end_s)
    if not levels:
        return set()
    usual = median(material.levels_db)
    here = median(levels)
    if max(levels) <= SILENCE_DB:
        return set()  # a track without sound in it is not a quiet place
    is_long = end_s - start_s < 0.7 * material.video.duration_s  # else it is its own measure
    rules = {"loud": is_long and here > usual + 6, "quiet": here < -45 or here < usual - 10}
    return {fact for fact, holds in rules.items() if holds}


def _spoken(said: str) -> set[str]:
    words = set(words_of(said))
    rules = {"glad_words": GLAD, "dire_words": DIRE, "sad_words": SAD}
    return {fact for fact, lexicon in rules.items() if words & lexicon}
