"""People's names in texts: after a title or a label, and everywhere once they are known.

Rules, no model: a name that nothing announces is not found. Words of medicine stay: eponyms such
as Calot and Veress are on a list. Where it is not clear, a word is hidden, not shown.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from importlib.resources import files

MARK = "[name]"
GLUED_LETTERS = 5

_TITLES = (
    "Dr", "Doctor", "Doktor", "Prof", "Professor", "PD", "Mr", "Mrs", "Ms", "Miss", "Mister", "Sir",
    "Madam", "Nurse", "Sister", "Herr", "Herrn", "Frau", "Schwester", "Pfleger", "Oberarzt",
    "Oberärztin", "Chefarzt", "Chefärztin", "Assistenzarzt", "Assistenzärztin",
)  # fmt: skip
_LABELS = (
    "patient name", "patient's name", "name of patient", "last name", "first name", "surname",
    "family name", "given name", "full name", "name", "patient", "pt", "surgeon", "operator",
    "operated by", "assistant", "anaesthetist", "anesthetist", "anesthesiologist", "scrub nurse",
    "physician", "referring physician", "attending", "resident", "performed by", "recorded by",
    "mother", "father", "nachname", "vorname", "patientin", "chirurg", "chirurgin", "operateur",
    "operateurin", "anästhesist", "anästhesistin", "arzt", "ärztin",
)  # fmt: skip
_CHINESE_LABELS = (
    "患者姓名", "病人姓名", "姓名", "患者", "病人", "主刀医师", "主刀医生", "主刀",
    "术者", "医师", "医生", "助手", "麻醉医师", "麻醉师", "护士",
)  # fmt: skip
_CHINESE_TITLES = "医生|医师|主任|教授|护士长|护士|先生|女士|大夫"
# The hundred most frequent family names hold more than four fifths of the people.
_CHINESE_FAMILIES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶"
    "阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
)

_WORD = r"[A-ZÀ-ÖØ-Þ](?:[\w'\u2019-]*\w)?"  # a capital, then letters; one letter is an initial
_NAME = rf"{_WORD}\.?(?:,?\s{{1,2}}{_WORD}\.?){{0,3}}"
_TITLE = rf"(?<!\w)(?i:{'|'.join(_TITLES)})(?!\w)\.?"
_DEGREES = r"(?:(?:med|dent|rer|nat|phil|habil|h\.\s?c)\.\s*)*"
_TITLED = re.compile(rf"(?P<before>(?:{_TITLE}\s*{_DEGREES})+)(?P<name>{_NAME})")
_LABEL = "|".join(re.escape(label).replace(r"\ ", r"\s+") for label in _LABELS)
_LABELLED = re.compile(
    rf"(?P<before>(?<!\w)(?i:{_LABEL})\s*[:;=.\uff1a]\s*)"
    r"(?P<name>[^\W\d_][\w'\u2019.-]*(?:,?[ ]{1,2}[^\W\d_][\w'\u2019.-]*){0,3})"
)
# Without a colon "patient" is a word like others, so that what follows must look like a name.
_UNMARKED = re.compile(
    rf"(?P<before>(?<!\w)(?i:patient|patientin|pt\.?|name)\s+(?i:is\s+)?)(?P<name>{_NAME})"
)
_CHINESE = re.compile(
    rf"(?P<before>(?:{'|'.join(_CHINESE_LABELS)})\s*[:\uff1a]?\s*)"
    rf"(?P<name>[{_CHINESE_FAMILIES}][\u4e00-\u9fff·]{{0,3}}?(?:某{{1,2}})?)"
    r"(?=$|[^\u4e00-\u9fff]|[\u7684\u5728\u5df2\u4e3a\u662f])"
)
_CHINESE_LABELLED = re.compile(
    rf"(?P<before>(?:{'|'.join(_CHINESE_LABELS)})\s*[:\uff1a]\s*)(?P<name>[\u4e00-\u9fff·]{{2,4}})"
)
_CHINESE_TITLED = re.compile(
    rf"(?P<before>)(?P<name>[{_CHINESE_FAMILIES}][\u4e00-\u9fff]{{0,2}}?)(?={_CHINESE_TITLES})"
)
_PATTERNS = (_TITLED, _LABELLED, _UNMARKED, _CHINESE_LABELLED, _CHINESE, _CHINESE_TITLED)
_TITLE_WORDS = frozenset(title.casefold() for title in _TITLES)
_PARTS = re.compile(r"\w[\w'\u2019-]*")


@cache
def kept_words() -> frozenset[str]:
    """Return the words that are no names where nothing says so, small."""
    return frozenset(word.casefold() for word in _listed())


def hidden(text: str) -> str:
    """Return a text with every announced name replaced, in one pass."""
    for pattern in _PATTERNS:
        text = pattern.sub(_replaced, text)
    return text


def announced(texts: Iterable[str]) -> frozenset[str]:
    """Return the parts of names that titles and labels announce in any of the texts.

    They are hidden wherever they stand alone. Words of medicine never are, nor initials.
    """
    found: set[str] = set()
    for text in texts:
        for pattern in _PATTERNS:
            for match in pattern.finditer(text):
                name = _name_of(match)
                by_name = "name" in match["before"].casefold()
                found |= {p for p in _PARTS.findall(name) if _is_telling(p, by_name)}
    return frozenset(found)


def known_hidden(text: str, names: Sequence[str], known: Iterable[str] = ()) -> str:
    """Return a text without the user's `names` (however written) and `known` parts of names."""
    given = _any_of(tuple(sorted(names)), True)
    learned = _any_of(tuple(sorted(known)), False)
    together = _two_of(tuple(sorted(known)))
    for pattern in (given, together, learned):
        text = pattern.sub(MARK, text) if pattern else text
    return text


@lru_cache(maxsize=64)
def _any_of(names: tuple[str, ...], any_case: bool) -> re.Pattern[str] | None:
    """Return what finds any of the names as a whole word; the longest first.

    Without `any_case` a small word is left: "Brown" was announced, "brown" is a colour. In capitals
    a long name is found inside a word too: readers of screens lose spaces.
    """
    if not names:
        return None
    every = sorted(names, key=lambda name: (-len(name), name))
    return re.compile("|".join(_spelt(name, any_case) for name in every))


@lru_cache(maxsize=64)
def _two_of(names: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return what finds two known parts of names or more side by side, however they are written.

    "brown" is a colour; "anna brown" is nobody but her.
    """
    if not names:
        return None
    any_one = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{any_one})(?:[\s,.-]+(?:{any_one}))+(?!\w)", re.IGNORECASE)


def _spelt(name: str, any_case: bool) -> str:
    if any("\u4e00" <= letter <= "\u9fff" for letter in name):
        return re.escape(name)  # no spaces between words
    cases = [name] if any_case else dict.fromkeys((name, name.title(), name.upper()))
    ways = [r"\s+".join(map(re.escape, case.split())) for case in cases]
    whole = rf"(?<!\w)(?{'i' if any_case else ''}:{'|'.join(ways)})(?!\w)"
    is_long = len(name) >= GLUED_LETTERS
    return rf"{whole}|{re.escape(name.upper())}" if is_long else whole


def _replaced(match: re.Match[str]) -> str:
    name = _name_of(match)
    rest = match["name"][len(name) :]
    return match["before"] + (MARK if name else "") + rest


def _name_of(match: re.Match[str]) -> str:
    """Return the part of what follows the announcement that is a name: up to a kept word.

    An eponym is a name where a title or a label says so ("Dr. Hartmann"), or after another name.
    """
    says_so = match.re in (_TITLED, _LABELLED, _CHINESE_TITLED)
    end = 0
    for part in re.finditer(r"\S+", match["name"]):
        word = part[0].strip(".,").casefold()
        if (
            word in _TITLE_WORDS
            or _is_common(word)
            or (word in kept_words() and not (says_so or end))
        ):
            break
        end = part.end()
    return match["name"][:end].rstrip(".,")


def _is_common(word: str) -> bool:
    return word.removesuffix("'s").removesuffix("s") in _common() or word in _common()


@cache
def _common() -> frozenset[str]:
    """Return the kept words that no person is called: those without a capital in the list."""
    return frozenset(word for word in _listed() if word == word.casefold())


def _listed() -> list[str]:
    text = (files("agentkit_healthcare") / "kept_words.txt").read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return [word for line in lines for word in line.split()]


def _is_telling(part: str, by_name: bool) -> bool:
    """Say whether a part of a name is looked for elsewhere too.

    "Assistant: hold" announces a word, so that a small one counts only after a label of names.
    """
    is_chinese = "\u4e00" <= part[0] <= "\u9fff"
    if len(part) < (2 if is_chinese else 3) or part.casefold() in kept_words():
        return False
    return is_chinese or part[0].isupper() or by_name
