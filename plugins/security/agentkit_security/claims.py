"""What an answer claims, against what was noted: counts of things, and what nothing here sees."""

import re
from collections.abc import Iterator

from agentkit.types import Answer, Citation, Evidence, Finding, Note
from agentkit_security.wording import texts

_NUMBERS = {
    word: n
    for n, words in enumerate(
        (
            "zero no 零",
            "one a an single 一",
            "two 二 两",
            "three 三",
            "four 四",
            "five 五",
            "six 六",
            "seven 七",
            "eight 八",
            "nine 九",
            "ten 十",
            "eleven 十一",
            "twelve 十二",
        )
    )
    for word in words.split()
}
_THINGS = {
    "person": "people persons person pedestrians pedestrian men man women woman children child"
    " 行人 人员 男人 女人 人",
    "car": "cars car 轿车 汽车",
    "truck": "trucks truck vans van 卡车 货车",
    "bicycle": "bicycles bicycle bikes bike cyclists cyclist 自行车",
    "motorcycle": "motorcycles motorcycle motorbikes motorbike 摩托车",
    "bus": "buses bus 公交车 公共汽车",
    "dog": "dogs dog 狗",
    "backpack": "backpacks backpack 背包",
    "handbag": "handbags handbag 手提包",
    "suitcase": "suitcases suitcase 行李箱",
}
_OF_WORD = {word: kind for kind, words in _THINGS.items() for word in words.split()}
_PLURALS = {"people": "person", "buses": "bus"}
_COUNTED = [word for word in _NUMBERS if word.isascii() and word not in ("a", "an", "no")]
_EN = re.compile(
    rf"(?<![\d.,])\b(\d{{1,3}}|{'|'.join(_COUNTED)})\s+(?:[a-z]+\s+)?"
    rf"({'|'.join(word for word in _OF_WORD if word.isascii())})\b",
    re.IGNORECASE,
)
_ZH = re.compile(
    r"(\d{1,3}|十[一二]|[零一二两三四五六七八九十])\s*[个名位辆只条件台]\s*("
    + "|".join(w for w in _OF_WORD if not w.isascii())
    + ")"
)
# What would be said of a recording, and no instrument here sees or hears.
_UNSEEN = re.compile(
    r"\b(weapons?|guns?|kni(?:fe|ves)|fights?|fighting|punch\w*|fall(?:s|ing)? (?:down|over)|fell"
    r"|steal\w*|stole|thief|robs?|robb\w+|suspicious\w*|nervous\w*|angry|drunk)\b"
    r"|武器|枪|刀|打架|斗殴|打斗|跌倒|摔倒|偷窃|盗窃|小偷|抢劫|可疑|愤怒|醉酒",
    re.IGNORECASE,
)
MAX_CHARS = 4000


def findings(answer: Answer, evidence: Evidence, actions: str = "action") -> list[Finding]:
    """Return what the notes say for and against an answer's counts, and what nobody can know."""
    language = answer.question.language
    found = [
        _counted(count, kind, evidence, answer, language) for count, kind in counts_in(answer.text)
    ]
    if not any(note.kind == actions for note in evidence.notes):
        found += [
            Finding(texts()("check.nobody_watches", language, word=word), "unsupported")
            for word in _unseen_in(answer.text)
        ]
    return found


def counts_in(text: str) -> list[tuple[int, str]]:
    """Return the counts of things that a text claims, each once."""
    claims: dict[tuple[int, str], None] = {}
    for pattern in (_EN, _ZH):
        for number, word in pattern.findall(text[:MAX_CHARS]):
            low = number.lower()
            count = int(low) if low.isascii() and low.isdigit() else _NUMBERS[low]
            claims[count, _OF_WORD[word.lower()]] = None
    return list(claims)


def _unseen_in(text: str) -> list[str]:
    words = (match.group(0).lower() for match in _UNSEEN.finditer(text[:MAX_CHARS]))
    return list(dict.fromkeys(words))


def _counted(count: int, kind: str, evidence: Evidence, answer: Answer, language: str) -> Finding:
    claim = texts()("check.count", language, count=count, things=_name(kind, count, language))
    noted = list(_noted(kind, evidence))
    carrying = [note for note, least, most in noted if least <= count <= most]
    if carrying:
        return Finding(claim, "supported", tuple(_cites(answer, evidence, carrying[:3])))
    # More than was ever noted goes against the notes; fewer may be a part of them.
    highest = max((most for _, _, most in noted), default=count)
    return Finding(claim, "contradicted" if count > highest else "unsupported")


def _noted(kind: str, evidence: Evidence) -> Iterator[tuple[Note, int, int]]:
    """Yield the notes that count things of a kind, and from how many to how many they say.

    A note says "3 people left"; a line over a chunk says "5 to 8 people across the picture".
    """
    name = f"{kind}|{'|'.join(many for many, one in _PLURALS.items() if one == kind) or kind + 's'}"
    counted = re.compile(rf"(?<![\d.])(\d+)(?: to (\d+))? (?:{name})\b")
    for note in evidence.notes:
        match = counted.search(note.text) if note.kind == "objects" else None
        if match:
            yield note, int(match.group(1)), int(match.group(2) or match.group(1))


def _cites(answer: Answer, evidence: Evidence, notes: list[Note]) -> Iterator[Citation]:
    """Yield where notes are; of one video alone it is known which."""
    videos = {hit.chunk.video_id for hit in evidence.hits} | {
        cite.video_id for cite in (*answer.citations, *evidence.citations)
    }
    if len(videos) == 1:
        (video,) = videos
        for note in notes:
            yield Citation(video, note.start_s, note.end_s, note.text)


def _name(kind: str, count: int, language: str) -> str:
    if language != "en":
        return texts()(f"thing.{kind}", language)
    words = _THINGS[kind].split()
    return words[0] if count != 1 else kind
