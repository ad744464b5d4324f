"""Texts as a file can hold them: one line without commands, and lines no wider than a screen."""

import unicodedata
from collections.abc import Iterator

LINE_WIDTH = 42  # columns, the common limit of subtitles; a Chinese character takes two

# They turn the direction of what follows, beyond the text that they stand in.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_CLOSING = frozenset(
    "，。、；：？！）」』】》〉\u201d\u2019…,.;:?!)]}%"
)  # a line does not begin with these


def one_line(text: str) -> str:
    """Return a text as one line: no control characters, no turned direction, single spaces."""
    return " ".join("".join(map(_harmless, text)).split())


def _harmless(letter: str) -> str:
    kind = unicodedata.category(letter)
    if kind in ("Cc", "Zl", "Zp", "Zs"):
        return " "
    return "" if kind == "Cs" or letter in _TURNS or letter == "\ufeff" else letter


def width(text: str) -> int:
    """Return how many columns a text takes: wide characters two, combining ones none."""
    return sum(map(_width, text))


def lines_of(text: str, columns: int = LINE_WIDTH) -> list[str]:
    """Return a text in lines of at most `columns`, broken at spaces and between wide characters.

    A word is cut only where it is wider than LINE_WIDTH; one wider than `columns` stands alone.
    """
    lines: list[str] = []
    line = ""
    for piece in _pieces(text):
        if line and width(line) + width(piece.rstrip()) > columns:
            lines.append(line.rstrip())
            line = ""
        line += piece
    return [*lines, line.rstrip()] if line.strip() else lines


def balanced(text: str, lines_together: int) -> list[tuple[str, ...]]:
    """Return a text in as few blocks of lines as fit, about as wide as each other."""
    if len(whole := lines_of(text)) <= 1:
        return [tuple(whole)] if whole else []
    fewest = len(_blocks(whole, lines_together))
    narrow, wide = 1, LINE_WIDTH
    while narrow < wide:  # the narrowest lines that need no more blocks
        columns = (narrow + wide) // 2
        if len(_blocks(lines_of(text, columns), lines_together)) > fewest:
            narrow = columns + 1
        else:
            wide = columns
    return _blocks(lines_of(text, wide), lines_together)


def _blocks(lines: list[str], lines_together: int) -> list[tuple[str, ...]]:
    return [tuple(lines[at : at + lines_together]) for at in range(0, len(lines), lines_together)]


def _pieces(text: str) -> Iterator[str]:
    """Yield what a line may not be broken in; a space goes with the word before it."""
    for word in text.split():
        parts = list(_parts(word))
        yield from parts[:-1]
        yield parts[-1] + " "


def _parts(word: str) -> Iterator[str]:
    """Yield a word whole, or cut where wide characters stand or where it is wider than a line."""
    part = ""
    for letter in word:
        if part and _width(letter) > 0:
            is_whole = letter in _CLOSING or part[-1] == "\u200d"
            is_wide = not is_whole and (_is_wide(letter) or _is_wide(part[-1]))
            if is_wide or width(part) + _width(letter) > LINE_WIDTH:
                yield part
                part = ""
        part += letter
    yield part


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def _width(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if _is_wide(letter) else 1
