"""Sections for any kind of video, made from its notes by rules: what is seen, said and written.

Knows the notes of our own instruments; of others it says what they say.
"""

from collections.abc import Iterable, Sequence

from agentkit.instruments.words import ObjectCount, joined, plural
from agentkit.reports.overall import timeline
from agentkit.reports.runs import (
    Run,
    best,
    evidence,
    grouped,
    lasting_s,
    runs,
    times,
)
from agentkit.reports.wording import Words, number, span
from agentkit.types import Note, Row, Section, StoredVideo, Table

PARAGRAPH_S = 30.0  # sentences in one row of what is said
PARAGRAPH_GAP_S = 2.0
MAX_SHOT_THINGS = 6

INSTRUMENTS = {  # what each of ours notes
    "objects": "objects",
    "colours": "colours",
    "scene": "scene",
    "ocr": "ocr",
    "speech": "speech",
    "shots": "shot",
    "motion": "motion",
}


def general_sections(
    video: StoredVideo, notes: Sequence[Note], words: Words, max_rows: int
) -> list[Section]:
    """Return the sections that a video's notes make; those with nothing to say are left out."""
    notes = list(dict.fromkeys(notes))
    maker = _General(video, words, max_rows)
    made = [
        maker.timeline(notes),
        maker.seen(_of(notes, "objects"), _of(notes, "scene", "colours")),
        maker.said(_of(notes, "speech")),
        maker.written(_of(notes, "ocr")),
        maker.shots(_of(notes, "shot"), notes),
        maker.other([note for note in notes if note.kind not in INSTRUMENTS.values()]),
    ]
    return [section for section in made if section is not None]


def _of(notes: Iterable[Note], *kinds: str) -> list[Note]:
    return [note for note in notes if note.kind in kinds]


class _General:
    """The sections of one video."""

    def __init__(self, video: StoredVideo, words: Words, max_rows: int) -> None:
        self._video = video
        self._words = words
        self._max_rows = max_rows

    def timeline(self, notes: Sequence[Note]) -> Section:
        """Return the timeline, and who looked or listened and noted nothing."""
        words = self._words
        noted = {note.kind for note in notes}
        silent = [
            words.named("instrument", name)
            for name in self._video.instruments
            if INSTRUMENTS.get(name, name) not in noted
        ]
        body = words("general.nothing_by", names=words.listed(silent)) if silent else ""
        if not notes:
            return Section(words("general.timeline"), words("general.nothing"))
        drawn = timeline(self._video, notes, words)
        return Section(words("general.timeline"), body, timelines=(drawn,))

    def seen(self, objects: Sequence[Note], looks: Sequence[Note]) -> Section | None:
        tables = [self._objects(objects), self._looks(looks)]
        made = tuple(table for table in tables if table.rows)
        return Section(self._words("general.seen"), tables=made) if made else None

    def said(self, speech: Sequence[Note]) -> Section | None:
        """Return what was said, in paragraphs: whole sentences with their own times."""
        if not speech:
            return None
        rows = [
            Row(
                (span(run.start_s, run.end_s), " ".join(note.text for note in run.notes)),
                (evidence(self._video.video_id, _whole(run), self._words("kind.speech")),),
            )
            for run in _paragraphs(speech)
        ]
        head = self._words("general.times"), self._words("general.words")
        table = self._in_order(self._words("general.said_title"), head, rows)
        return Section(self._words("general.said"), tables=(table,))

    def written(self, texts: Sequence[Note]) -> Section | None:
        if not texts:
            return None
        head = [self._words(f"general.{key}") for key in ("text", "lasts", "times")]
        rows = self._by_text(texts)
        table = self._ranked(self._words("general.written_title"), tuple(head), rows)
        return Section(self._words("general.written"), tables=(table,))

    def shots(self, cuts: Sequence[Note], notes: Sequence[Note]) -> Section | None:
        """Return the shots between noted cuts, with what was noted in each."""
        starts_s = _starts_s(cuts, self._video.duration_s)
        if len(starts_s) < 2:
            return None
        ends_s = [*starts_s[1:], self._video.duration_s]
        spans = zip(starts_s, ends_s, strict=True)
        rows = [self._shot(place, *times_s, notes) for place, times_s in enumerate(spans, start=1)]
        head = [self._words(f"general.{key}") for key in ("shot_head", "times", "what")]
        table = self._in_order(self._words("general.shots_title"), tuple(head), rows)
        step_s = number(self._video.step_s)
        body = self._words("general.shots_body", seconds=step_s) if self._video.step_s else ""
        return Section(self._words("general.shots"), body, tables=(table,))

    def other(self, notes: Sequence[Note]) -> Section | None:
        """Return what a domain's own instruments noted."""
        if not notes:
            return None
        head = [self._words(f"general.{key}") for key in ("kind", "text", "times")]
        rows = [
            Row(
                (self._words.named("kind", note.kind), note.text, span(note.start_s, note.end_s)),
                (evidence(self._video.video_id, note, note.text),),
            )
            for note in notes
        ]
        table = self._in_order(self._words("general.other_title"), tuple(head), rows)
        return Section(self._words("general.other"), tables=(table,))

    def _objects(self, notes: Sequence[Note]) -> Table:
        """Return one row a kind of thing, the longest seen first, shown where it has most."""
        rows = []
        for name, same in grouped(notes, _thing).items():
            most = max(same, key=lambda note: (_count(note), note.score or 0.0, -note.start_s))
            found = runs(same)
            cells = (
                plural(str(name)) if _count(most) > 1 else str(name),
                str(_count(most)),
                self._lasts(found),
                times(found, self._words),
            )
            row = Row(cells, (evidence(self._video.video_id, most, most.text),))
            rows.append((lasting_s(found), row))
        head = [self._words(f"general.{key}") for key in ("object", "most", "lasts", "times")]
        return self._ranked(self._words("general.objects"), tuple(head), rows)

    def _looks(self, notes: Sequence[Note]) -> Table:
        head = [self._words(f"general.{key}") for key in ("look", "lasts", "times")]
        return self._ranked(self._words("general.looks"), tuple(head), self._by_text(notes))

    def _by_text(self, notes: Sequence[Note]) -> list[tuple[float, Row]]:
        """Return how long each text was noted and its row, shown where it is surest."""
        rows = []
        for text, same in grouped(notes, lambda note: note.text).items():
            found, surest = runs(same), best(same)
            cells = str(text), self._lasts(found), times(found, self._words)
            row = Row(cells, (evidence(self._video.video_id, surest, str(text)),))
            rows.append((lasting_s(found), row))
        return rows

    def _shot(self, place: int, start_s: float, end_s: float, notes: Sequence[Note]) -> Row:
        inside = [n for n in notes if n.start_s < end_s and n.end_s > start_s]
        cells = str(place), span(start_s, end_s), _content(inside)
        shown = Note(start_s, end_s, "shot", "")
        why = self._words("general.shot", number=place)
        return Row(cells, (evidence(self._video.video_id, shown, why),))

    def _lasts(self, of: Sequence[Run]) -> str:
        return self._words("coverage.seconds", seconds=number(lasting_s(of)))

    def _in_order(self, title: str, head: tuple[str, ...], rows: Sequence[Row]) -> Table:
        return self._cut("general.left_out", title, head, rows)

    def _ranked(
        self, title: str, head: tuple[str, ...], rows: Sequence[tuple[float, Row]]
    ) -> Table:
        longest = [row for _, row in sorted(rows, key=lambda pair: -pair[0])]
        return self._cut("general.left_out_ranked", title, head, longest)

    def _cut(self, say: str, title: str, head: tuple[str, ...], rows: Sequence[Row]) -> Table:
        """Return a table of at most `max_rows`, whose title says what is left out."""
        shown = self._max_rows
        if len(rows) > shown:
            title = self._words(say, title=title, shown=shown, total=len(rows))
        return Table(title, head, tuple(rows[:shown]))


def _starts_s(cuts: Sequence[Note], duration_s: float) -> list[float]:
    return [0.0, *sorted({cut.start_s for cut in cuts if 0 < cut.start_s < duration_s})]


def _thing(note: Note) -> str | None:
    counted = ObjectCount.parse(note.text)
    return counted.name if counted else note.text


def _count(note: Note) -> int:
    counted = ObjectCount.parse(note.text)
    return counted.count if counted else 1


def _content(notes: Sequence[Note]) -> str:
    """Return what is in a shot: things with their largest counts, then its texts and places."""
    most: dict[str, ObjectCount] = {}
    for note in notes:
        counted = ObjectCount.parse(note.text) if note.kind == "objects" else None
        if counted and (counted.name not in most or counted.count > most[counted.name].count):
            most[counted.name] = counted
    things = [counted.things for counted in most.values()]
    others = [note.text for note in notes if note.kind in ("scene", "ocr")]
    told = list(dict.fromkeys([*things, *others]))[:MAX_SHOT_THINGS]
    return joined(told) if told else "\u2013"


def _paragraphs(speech: Sequence[Note]) -> list[Run]:
    """Return sentences in runs of about PARAGRAPH_S, broken where nobody speaks for a while."""
    found: list[Run] = []
    for note in sorted(speech, key=lambda note: (note.start_s, note.end_s)):
        last = found[-1] if found else None
        near = last is not None and note.start_s - last.end_s <= PARAGRAPH_GAP_S
        if last is not None and near and note.end_s - last.start_s <= PARAGRAPH_S:
            end_s = max(last.end_s, note.end_s)
            found[-1] = Run(last.start_s, end_s, (*last.notes, note))
        else:
            found.append(Run(note.start_s, note.end_s, (note,)))
    return found


def _whole(run: Run) -> Note:
    return Note(run.start_s, run.end_s, run.notes[0].kind, "")
