"""A label and what it labels, where a screen writes them as two texts: "PATIENT:" and a name."""

from collections.abc import Iterator, Sequence

from agentkit.types import Note

ENDS = (":", "：")
Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the picture


def joined(notes: Sequence[Note]) -> Iterator[str]:
    """Yield each label with the text right of it in its line, and with the one below it.

    Without places, the text after it in the same moment is meant.
    """
    moments: dict[float, list[Note]] = {}
    for note in notes:
        moments.setdefault(note.start_s, []).append(note)
    for moment in moments.values():
        for at, label in enumerate(moment):
            if label.text.rstrip().endswith(ENDS):
                yield from (f"{label.text} {named.text}" for named in _of(moment, at))


def _of(moment: Sequence[Note], at: int) -> list[Note]:
    box = moment[at].box
    if box is None:
        return list(moment[at + 1 : at + 2])
    others = [*moment[:at], *moment[at + 1 :]]
    return _beside(box, others) + _below(box, others)


def _beside(box: Box, notes: Sequence[Note]) -> list[Note]:
    """Return the nearest text that begins right of a box's middle and shares its line."""
    left, top, right, bottom = box
    found = [
        (note.box[0], note)
        for note in notes
        if note.box is not None
        and note.box[0] >= (left + right) / 2
        and min(bottom, note.box[3]) - max(top, note.box[1]) > 0.3 * (bottom - top)
    ]
    return [min(found, key=lambda pair: pair[0])[1]] if found else []


def _below(box: Box, notes: Sequence[Note]) -> list[Note]:
    """Return the nearest text under a box, no more than two of its heights away."""
    left, top, right, bottom = box
    found = [
        (note.box[1], note)
        for note in notes
        if note.box is not None
        and (top + bottom) / 2 <= note.box[1] <= bottom + 2 * (bottom - top)
        and min(right, note.box[2]) > max(left, note.box[0])
    ]
    return [min(found, key=lambda pair: pair[0])[1]] if found else []
