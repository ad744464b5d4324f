"""Words that carry meaning, of English and Chinese. No dictionary: a list of small words.

English words are taken without a plural "s"; a run of Chinese characters gives its pairs, less
those with a character of grammar, which is what search engines without a dictionary index by.
"""

import re
from collections.abc import Iterable
from itertools import pairwise

_TOKEN = re.compile(r"[^\W\d_][^\W\d_'\u2019]*|[\u4e00-\u9fff]+")
_CJK = re.compile(r"[\u4e00-\u9fff]+")

SMALL = frozenset(
    """a about after again all also am an and any are aren't as at be because been before being
    but by can can't could couldn't did didn't do does doesn't doing don't down each even every
    few for from get go going gonna got had has have haven't having he he's her here hers him
    his how i i'd i'll i'm i've if in into is isn't it it's its itself just know let let's like
    made make many may me might more most much must my myself never no not now of off oh okay ok
    on once one only or other our out over own put really right said same say see shall she
    she's should so some still such take than that that's the their them then there there's
    these they they're thing think this those through to today too two under until up upon us
    very want was wasn't way we we'll we're we've well went were what what's when where which
    while who whom why will with won't would yeah yes yet you you'd you'll you're you've your
    yours hmm uh um mr mrs ms dr come came back good look come tell need first last three new
    time year years people man something anything nothing everything ever always keep give gave
    done been another around both between during since thus together""".split()
)
SMALL_CHARACTERS = frozenset(
    "的了是在和有我你他她它们这那不也都就要会说到去来上下个与及或被把让给对从向为以而但如果因所能可"
    "着过吗呢吧啊嘛很还又再没么什哪谁怎样些只已将其之于得地"
)


def words_of(text: str) -> list[str]:
    """Return the words that carry meaning, in order, in lower case."""
    found: list[str] = []
    for token in _TOKEN.findall(text):
        for run in _split(token):
            if _CJK.fullmatch(run):
                found += pairs_of(run)
            elif len(word := _plain(run)) > 2 and not SMALL & {word, run.lower()}:
                found.append(word)
    return found


def phrases_of(text: str) -> list[str]:
    """Return two words that follow each other in the text, both with meaning; English only."""
    tokens = [token.lower().replace("\u2019", "'") for token in re.findall(r"[\w'\u2019]+", text)]
    return [
        f"{first} {_plain(second)}"
        for first, second in pairwise(tokens)
        if all(len(word) > 2 and word.isalpha() and word not in SMALL for word in (first, second))
        and not _CJK.search(first + second)
    ]


def pairs_of(run: str) -> list[str]:
    """Return the pairs of neighbouring Chinese characters without one of grammar."""
    pieces = re.split(f"[{''.join(sorted(SMALL_CHARACTERS))}]", run)
    return [piece[i : i + 2] for piece in pieces for i in range(len(piece) - 1)]


def _split(token: str) -> Iterable[str]:
    """Part Chinese from the letters around it."""
    return [part for part in re.split(r"([\u4e00-\u9fff]+)", token) if part]


def _plain(word: str) -> str:
    """Return an English word in lower case, without "'s" and the "s" of a plural."""
    word = word.lower().replace("\u2019", "'").removesuffix("'s").strip("'")
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("ss", "us", "is", "as")) and len(word) > 3:
        return word[:-1]
    return word
