"""Notes as words: one terse line a group for the language model, sentences a chunk for the search.

Text that comes out of a video is data: no control character, no mark of the prompt's format and
no quote of its own passes. Knows no tokenizer; the measure is given.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from agentkit.instruments.words import PLACES, ObjectCount, joined
from agentkit.types import FrameBatch, Note

Count = Callable[[str], int]

VERSION = 4  # of the lines and passages made here: raise it when either changes
NO_CHANGE = "no change"
NOTHING = "nothing noted"

_MAX_QUOTE_CHARS = 400  # of one quoted text; a screen full of print is not a line
_MAX_SENTENCE_CHARS = 600
_SUMMED_KINDS = ("objects", "scene", "motion", "shot")
_NAMED = {"ocr": "caption:", "speech": "the speaker says:"}
_LEVELS = ("still", "some motion", "much motion")


def estimated_tokens(text: str) -> int:
    """Return about how many tokens English text has: one for every four characters."""
    return math.ceil(len(text) / 4)


def clean(text: str) -> str:
    """Return text from a video as plain words: one line, no format characters, no quotes, no "<".

    Without "<" and ">" no mark of a chat format ("<|im_end|>", "<tool_call>") can be spelt.
    """
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    plain = "".join(c for c in spaced if not unicodedata.category(c).startswith("C"))
    return " ".join(re.sub(r"<\|[^|<>]*\|>|[<>]", " ", plain).replace('"', "'").split())


def notes_of_group(notes: Iterable[Note], batch: FrameBatch) -> list[Note]:
    """Return what belongs to a group: notes that overlap it, of speech only the words inside it.

    Words stand at even distances in their segment; each falls into one group, for the groups of a
    video follow each other without gaps. The first group begins at 0, whatever its first frame.
    """
    start_s = 0.0 if batch.index == 0 else float(batch.times_s[0])
    return [
        part
        for note in notes
        if note.start_s < batch.end_s and (note.end_s > start_s or note.start_s >= start_s)
        for part in _inside(note, start_s, batch.end_s)
    ]


def _inside(note: Note, start_s: float, end_s: float) -> Iterator[Note]:
    """Yield the note itself or, of speech, the words whose middles lie in the span."""
    if note.kind != "speech":
        yield note
        return
    words = note.text.split()
    word_s = (note.end_s - note.start_s) / max(len(words), 1)
    said = [
        index
        for index in range(len(words))
        if start_s <= note.start_s + (index + 0.5) * word_s < end_s
    ]
    if said:
        yield replace(
            note,
            start_s=note.start_s + said[0] * word_s,
            end_s=note.start_s + (said[-1] + 1) * word_s,
            text=" ".join(words[said[0] : said[-1] + 1]),
        )


def group_line(
    notes: Sequence[Note],
    before: Sequence[Note],
    budget_tokens: int = 25,
    full: bool = False,
    count: Count = estimated_tokens,
) -> str:
    """Return one group's line: what changed since the group before, then what is the same.

    `full` states everything, for a line that must stand alone. The line is never empty, never
    longer than `budget_tokens` by `count` (but for two words that must be), and a single line.
    """
    old = _State.of(() if full else before)
    now = _State.of(notes)
    line = _Line(budget_tokens, count)
    if now.cut:
        line.add(("cut",))
    texts = [text for text in now.texts if text not in old.texts]
    # Things may not crowd out words, nor print speech; what is not used stays for the next.
    line.add(_changed_objects(now, old), share=0.45 if texts or now.speech else 1.0)
    line.quote("text", texts, share=0.5 if now.speech else 1.0)
    line.quote("says", now.speech)
    line.add(tag for tag in now.tags if tag not in old.tags)
    line.add(text for text in now.others if text not in old.others)
    if now.motion and (now.motion != old.motion or full):
        line.add((now.motion,))
    if not full:
        line.add(_same_objects(now, old))
    return line.text or (NOTHING if full or not before else NO_CHANGE)


@dataclass(frozen=True, slots=True)
class _State:
    """A group's notes by what they say."""

    cut: bool
    objects: dict[str, ObjectCount]  # by name, the largest count of the group
    texts: tuple[str, ...]
    speech: tuple[str, ...]
    tags: tuple[str, ...]
    motion: str
    colours: dict[str, str]  # by the name of a thing that is in `objects`
    others: tuple[str, ...]

    @classmethod
    def of(cls, notes: Sequence[Note]) -> "_State":
        colours = _colours_of_things(notes)
        told = {f"{colour} {name}" for name, colour in colours.items()}
        others = [n for n in notes if n.kind not in (*_SUMMED_KINDS, "ocr", "speech")]
        return cls(
            cut=any(note.kind == "shot" for note in notes),
            objects=_largest_counts(notes),
            texts=_texts(notes, "ocr"),
            speech=_texts(notes, "speech"),
            tags=_texts(notes, "scene"),
            motion=" ".join(_texts(notes, "motion")),
            colours=colours,
            others=_texts([n for n in others if clean(n.text) not in told]),
        )


class _Line:
    """A line that grows part by part and never beyond its budget."""

    def __init__(self, budget_tokens: int, count: Count) -> None:
        self.text = ""
        self._budget = budget_tokens
        self._count = count

    def add(self, parts: Iterable[str], share: float = 1.0) -> None:
        """Add the parts that fit, in order, joined by commas; at most a share of what is left."""
        limit, added = self._limit(share), ""
        for part in parts:
            longer = f"{added}, {part}" if added else part
            if self._count(self._with(longer)) > limit:
                break
            added = longer
        if added:
            self.text = self._with(added)

    def quote(self, verb: str, texts: Sequence[str], share: float = 1.0) -> None:
        """Add `verb "words"`, cut after the last word that fits."""
        words = " / ".join(texts)[:_MAX_QUOTE_CHARS].split()
        limit, fitting, beyond = self._limit(share), 0, len(words) + 1
        while beyond - fitting > 1:  # the longest run of first words that fits
            middle = (fitting + beyond) // 2
            longer = self._with(_quoted(verb, words, middle))
            fits = self._count(longer) <= limit
            fitting, beyond = (middle, beyond) if fits else (fitting, middle)
        if fitting:
            self.text = self._with(_quoted(verb, words, fitting))

    def _with(self, part: str) -> str:
        return f"{self.text}; {part}" if self.text else part

    def _limit(self, share: float) -> float:
        used = self._count(self.text) if self.text else 0
        return used + share * (self._budget - used)


def _quoted(verb: str, words: Sequence[str], count: int) -> str:
    more = "" if count == len(words) else "..."
    return f'{verb} "{" ".join(words[:count])}{more}"'


def _texts(notes: Sequence[Note], kind: str | None = None) -> tuple[str, ...]:
    """Return the notes' texts without repeats, in their order."""
    texts = (clean(note.text) for note in notes if kind is None or note.kind == kind)
    return tuple(dict.fromkeys(text for text in texts if text))


def _largest_counts(notes: Sequence[Note]) -> dict[str, ObjectCount]:
    """Return each class's largest count; a text that is no count stands for itself, once."""
    largest: dict[str, ObjectCount] = {}
    for text in (clean(note.text) for note in notes if note.kind == "objects"):
        seen = ObjectCount.parse(text) or ObjectCount(text, 1, ())
        if seen.name not in largest or seen.count > largest[seen.name].count:
            largest[seen.name] = seen
    return largest


def _colours_of_things(notes: Sequence[Note]) -> dict[str, str]:
    """Return the colours that belong to counts of one: of a class that two shots count, none."""
    texts = [clean(note.text) for note in notes if note.kind == "objects"]
    counts = [seen for text in texts if (seen := ObjectCount.parse(text))]
    names = [seen.name for seen in counts]
    alone = {seen.name for seen in counts if seen.count == 1 and names.count(seen.name) == 1}
    named = (clean(note.text).partition(" ") for note in notes if note.kind == "colours")
    return {name: colour for colour, _, name in named if name in alone}


def _coloured(now: _State, name: str) -> ObjectCount:
    """Return a thing's count, with its colour where it has one: "1 blue car right"."""
    seen = now.objects[name]
    return replace(seen, name=f"{now.colours[name]} {name}") if name in now.colours else seen


def _is_same(name: str, now: _State, old: _State) -> bool:
    """Say whether the line of the group before holds for a thing; a colour lost is no news."""
    colour = now.colours.get(name)
    return now.objects[name] == old.objects.get(name) and colour in (None, old.colours.get(name))


def _changed_objects(now: _State, old: _State) -> list[str]:
    new = [_coloured(now, name).text for name in now.objects if not _is_same(name, now, old)]
    gone = [f"{name} gone" for name in old.objects if name not in now.objects]
    return new + gone


def _same_objects(now: _State, old: _State) -> list[str]:
    same = [seen.things for name, seen in now.objects.items() if _is_same(name, now, old)]
    return [f"same: {same[0]}", *same[1:]] if same else []


def searchable(notes: Sequence[Note]) -> list[Note]:
    """Return what of a chunk's notes is embedded and searched, each with its own times.

    One sentence sums up what is seen (kind "objects"); every segment of speech stands alone, a text
    on screen as one note over its whole time, with the texts that come and go with it.
    """
    alone = [note for note in notes if note.kind not in _SUMMED_KINDS]
    passages = [*_summary(notes), *_together(_merged(alone))]
    return [replace(passage, text=passage.text[:_MAX_SENTENCE_CHARS]) for passage in passages]


def _merged(notes: Sequence[Note]) -> list[Note]:
    """Return each text once, from its first start to its last end; speech is never merged."""
    merged: dict[tuple[str, ...], Note] = {}
    for index, note in enumerate(notes):
        text = clean(note.text)
        key = (note.kind, text, str(index) if note.kind == "speech" else "")
        first = merged.get(key)
        start_s = min(note.start_s, first.start_s) if first else note.start_s
        end_s = max(note.end_s, first.end_s) if first else note.end_s
        if text:
            merged[key] = Note(start_s, end_s, note.kind, text, note.score, note.box)
    return list(merged.values())


def _together(notes: Sequence[Note]) -> list[Note]:
    """Return texts on screen that share their time as one note, in reading order."""
    joint: dict[tuple[object, ...], Note] = {}
    for index, note in enumerate(notes):
        key = (note.start_s, note.end_s) if note.kind == "ocr" else (index,)
        first = joint.get(key)
        joint[key] = replace(note, text=f"{first.text} / {note.text}") if first else note
    return list(joint.values())


def named(kind: str, text: str) -> str:
    """Return a passage as it is embedded and read: what it is stands before it.

    "What does the caption say?" has a cosine of 0.19 to a bare caption and 0.42 to one so named.
    """
    before = _NAMED.get(kind)
    return f'{before} "{text}"' if before else text


def _summary(notes: Sequence[Note]) -> Iterator[Note]:
    seen = [note for note in notes if note.kind in _SUMMED_KINDS]
    parts = [part for part in (_objects_words(seen), *_other_words(seen)) if part]
    if any(note.kind != "motion" for note in seen):  # that something moves is true of any video
        start_s, end_s = min(n.start_s for n in seen), max(n.end_s for n in seen)
        yield Note(start_s, end_s, "objects", "; ".join(parts))


def _objects_words(notes: Sequence[Note]) -> str:
    """Return "2 to 4 people and 1 car on the left" of a chunk's counts."""
    counts: dict[str, list[ObjectCount]] = {}
    for text in (clean(note.text) for note in notes if note.kind == "objects"):
        count = ObjectCount.parse(text) or ObjectCount(text, 1, ())
        counts.setdefault(count.name, []).append(count)
    by_place: dict[str, list[str]] = {}
    for seen in counts.values():
        by_place.setdefault(_place_words(seen), []).append(_range_words(seen))
    return ", ".join(f"{joined(things)}{place}" for place, things in by_place.items())


def _range_words(seen: Sequence[ObjectCount]) -> str:
    least, most = min(seen, key=lambda s: s.count), max(seen, key=lambda s: s.count)
    return most.things if least.count == most.count else f"{least.count} to {most.things}"


def _place_words(seen: Sequence[ObjectCount]) -> str:
    named = [place for place in PLACES if any(place in s.places for s in seen)]
    words = {"left": "on the left", "centre": "in the centre", "right": "on the right"}
    if not named:
        return ""
    return " across the picture" if len(named) == 3 else f" {joined(words[p] for p in named)}"


def _other_words(notes: Sequence[Note]) -> Iterator[str]:
    yield ", ".join(_texts(notes, "scene"))
    moves = _texts(notes, "motion")
    levels = [level for level in _LEVELS if any(move.startswith(level) for move in moves)]
    yield levels[-1] if levels else ""
    cuts = sum(note.kind == "shot" for note in notes)
    yield "" if not cuts else "a cut" if cuts == 1 else f"{cuts} cuts"
