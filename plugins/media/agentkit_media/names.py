"""People by name in a text, by rule: who is introduced, has a title, or stands in a caption.

English: capitalised words that do not begin a sentence; what makes them a person is an
introduction ("my name is"), a title before them, or a caption "Name, what she is". Chinese: an
introduction (我叫…), or a family name with a title behind it (王老师). There is no dictionary of
names and no model: what is neither is kept as a name, which may be that of a place or a thing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

INTRODUCED, TITLED, CAPTIONED, SAID = "introduced", "titled", "captioned", "said"
PERSONAL = (INTRODUCED, TITLED, CAPTIONED)

_PARTICLES = r"(?:de|da|del|della|di|du|la|le|van|von|der|den|bin|ibn|al|el|of)"
_WORD = r"[A-Z\u00c0-\u00de](?:[a-z\u00df-\u00ff]+|(?=['\u2019])|\.)(?:['\u2019-][A-Z]?[a-z]+)*"
_NAME = rf"{_WORD}(?:\s+(?:{_PARTICLES}\s+)*{_WORD}){{0,3}}"
_TITLE = (
    r"(?:Mr|Mrs|Ms|Miss|Dr|Doctor|Prof|Professor|President|Senator|Congress(?:man|woman)|Sir|Lady|"
    r"Lord|King|Queen|Prince|Princess|Captain|Colonel|General|Major|Sergeant|Lieutenant|Detective|"
    r"Inspector|Officer|Agent|Judge|Justice|Father|Sister|Brother|Uncle|Aunt|Coach|Chancellor|"
    r"Governor|Mayor|Ambassador|Pope|Reverend|Commander|Admiral)"
)
_INTRODUCTION = re.compile(
    rf"(?:\b[Mm]y name(?:'s|\u2019s| is)|\bI(?:'m|\u2019m| am)|\b[Cc]all me|\b[Mm]eet|"
    rf"\b(?:[Hh]is|[Hh]er) name(?:'s|\u2019s| is| was)|\b[Pp]lease welcome|\bintroducing)"
    rf"\s+(?:{_TITLE}\.?\s+)?({_NAME})"
)
_SELF = re.compile(
    rf"(?:\b[Mm]y name(?:'s|\u2019s| is)|\bI(?:'m|\u2019m| am)|\b[Cc]all me)\s+"
    rf"(?:{_TITLE}\.?\s+)?({_NAME})"
)
_TITLED = re.compile(rf"\b{_TITLE}\.?\s+({_NAME})")
_TITLED_CAPITALS = re.compile(rf"\b{_TITLE.upper()}\.?\s+([A-Z][A-Z'-]+)\b")
_CAPITALS = re.compile(_NAME)
_SENTENCE_START = re.compile(r"(?:^|[.!?\u2026:;]['\"\u201d)]*\s+|['\"\u201c(-]\s*)$")
_LETTERS = r"[^\W\d_](?:[^\W\d_]|[.'\u2019-](?=[^\W\d_]))*\.?"
_CAPTION = re.compile(
    rf"^\s*((?:{_LETTERS}\s+){{1,3}}{_LETTERS})\s*[,|\u2013\u2014/-]\s*([^\W\d_][^\d]{{2,60}})$"
)

_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡"
    "余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯"
    "龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤习"
)
_COMPOUND = "欧阳|司马|诸葛|上官|夏侯|慕容|司徒"
_GIVEN = "[\u4e00-\u9fff]"
_FAMILY = f"(?:{_COMPOUND}|[{_SURNAMES}])"
_NOT_GIVEN = "今是来在我你他很现的了也和就都从住不有说个一"
_CHINESE_INTRODUCTION = re.compile(
    f"(?:我叫做?|我的名字(?:叫|是)|他叫|她叫|名叫|我是)({_FAMILY}[^\\W{_NOT_GIVEN}]"
    f"(?:[^\\W{_NOT_GIVEN}](?![^\\W]))?)"
)
_CHINESE_SELF = re.compile(_CHINESE_INTRODUCTION.pattern.replace("他叫|她叫|名叫|", ""))
_CHINESE_TITLED = re.compile(
    f"({_FAMILY}{_GIVEN}{{0,2}}?)(?:先生|女士|小姐|老师|医生|教授|总统|主席|总理|部长|市长|警官|博士|导演)"
)

NOT_PEOPLE = frozenset(
    """monday tuesday wednesday thursday friday saturday sunday january february march april
    may june july august september october november december america american americans
    britain british english england france french germany german china chinese japan
    japanese russia russian iran iranian iraq israel india indian europe european africa
    african asia asian canada mexico spain spanish italy italian london paris washington
    york california texas congress parliament senate house god jesus christmas easter
    internet earth i ok okay tv usa uk eu un nato the a an and but or so if it we you he she
    they this that there united states kingdom nations news live breaking international new
    north south east west street avenue road university college company inc ltd sorry sure
    not just here muslim christian jewish catholic republican democrat olympic olympics
    world war cup""".split()
)


@dataclass(frozen=True, slots=True)
class Naming:
    """A name in a text: how it is named there, and the words of its introduction."""

    name: str
    how: str  # INTRODUCED, TITLED, CAPTIONED or SAID


def names_in_speech(text: str, language: str = "auto") -> list[Naming]:
    """Return who is named in what was said, each name once, the strongest naming first."""
    found = []
    if language != "zh":
        found += [Naming(name, INTRODUCED) for name in _matches(_INTRODUCTION, text)]
        found += [Naming(name, TITLED) for name in _matches(_TITLED, text)]
        found += [Naming(name, SAID) for name in _capitalised(text)]
    if language != "en":
        found += [Naming(m[1], INTRODUCED) for m in _CHINESE_INTRODUCTION.finditer(text)]
        found += [Naming(m[1], TITLED) for m in _CHINESE_TITLED.finditer(text)]
    return _each_once(found)


def speaker_in(text: str, language: str = "auto") -> str:
    """Return who says by the words themselves that it is they who speak, else nothing."""
    if language != "zh":
        for name in _matches(_SELF, text):
            return name
    match = _CHINESE_SELF.search(text) if language != "en" else None
    return match[1] if match else ""


def names_in_caption(text: str, language: str = "auto") -> list[Naming]:
    """Return who is named in a line of text on screen."""
    found = []
    match = _CAPTION.match(text)
    if match and language != "zh" and _is_name(name := _in_case(match[1])):
        found.append(Naming(name, CAPTIONED))
    if language != "zh":
        found += [Naming(name, TITLED) for name in _matches(_TITLED, text)]
        found += [
            Naming(_in_case(m[1]), TITLED)
            for m in _TITLED_CAPITALS.finditer(text)
            if _is_name(_in_case(m[1]))
        ]
    if language != "en":
        found += [Naming(m[1], TITLED) for m in _CHINESE_TITLED.finditer(text)]
    return _each_once(found)


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for match in pattern.finditer(text):
        name = _trimmed(match[1])
        if _is_name(name):
            yield name


def _capitalised(text: str) -> Iterator[str]:
    """Yield capitalised words in the middle of a sentence; at its start any word is so."""
    for match in _CAPITALS.finditer(text):
        before = text[: match.start()]
        name = _trimmed(match[0])
        if not _SENTENCE_START.search(before) and _is_name(name):
            yield name


def _trimmed(name: str) -> str:
    """Return a name without titles, possessives and small words at its ends."""
    words = [re.sub(r"['\u2019]s$", "", word) for word in name.split()]
    words = [word for word in words if not re.fullmatch(rf"{_TITLE}\.?", word)]
    while words and words[-1].lower().rstrip(".") in NOT_PEOPLE:
        words.pop()
    while words and words[0].lower() in NOT_PEOPLE:
        words.pop(0)
    return " ".join(words).rstrip(".")


def _is_name(name: str) -> bool:
    words = [word.lower().rstrip(".") for word in name.split()]
    return bool(words) and len(name) > 2 and not any(word in NOT_PEOPLE for word in words)


def _in_case(name: str) -> str:
    """Return "JANE O'NEIL" as "Jane O'Neil"; what is not all capitals stays."""
    return name.title() if name.isupper() else name


def _each_once(found: list[Naming]) -> list[Naming]:
    kept: dict[str, Naming] = {}
    for naming in found:
        kept.setdefault(naming.name, naming)
    return list(kept.values())
