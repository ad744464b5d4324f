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
    return tuple(
        phrase
        for phrase in phrases
        for whole, bare in [_looked_for(phrase)]
        if whole in words or (bare and bare in squeezed)
    )


@lru_cache(maxsize=4096)
def _looked_for(phrase: str) -> tuple[str, str]:
    """Return a phrase as it stands between words, and without spaces where that may be looked for.

    A phrase without a letter is found nowhere.
    """
    words = folded(phrase)
    bare = words.replace(" ", "")
    alone = len(bare) >= SQUEEZED_LETTERS or any("\u4e00" <= c <= "\u9fff" for c in bare)
    return f" {words} " if words else "\n", bare if alone else ""


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
