"""Whether a phrase stands in a text, as people write, say and print it. Knows no step, no note."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

SQUEEZED_LETTERS = 8  # a phrase this long is also found where the spaces were lost


@lru_cache(maxsize=4096)
def folded(text: str) -> str:
    """Return a text's words, small, without marks, each without its plural or possessive "s"."""
    plain = re.sub(r"['\u2019]s\b", "", unicodedata.normalize("NFKC", text).casefold())
    spaced = "".join(letter if letter.isalnum() else " " for letter in plain)
    return " ".join(_singular(word) for word in spaced.split())


def found(phrases: Iterable[str], text: str) -> tuple[str, ...]:
    """Return which of the phrases stand in the text as whole words, as they were given.

    Readers of screens lose spaces ("CALOTTRIANGLE"), and Chinese has none: a long phrase is found
    without them, a Chinese one anywhere.
    """
    words = f" {folded(text)} "
    squeezed = words.replace(" ", "")
    return tuple(phrase for phrase in phrases if _stands(folded(phrase), words, squeezed))


def _stands(phrase: str, words: str, squeezed: str) -> bool:
    if not phrase:
        return False
    if f" {phrase} " in words:
        return True
    bare = phrase.replace(" ", "")
    return bare in squeezed if _is_chinese(bare) or len(bare) >= SQUEEZED_LETTERS else False


def _is_chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
