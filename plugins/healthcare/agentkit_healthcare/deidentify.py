"""What may leave the store: texts without names and identifiers, frames without writing and faces.

Both fail closed: what cannot be looked through is not shown. docs/healthcare.md says what these
rules find and what they cannot.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentkit.types import SessionView, StoredVideo
from agentkit_healthcare import identifiers, labels, names
from agentkit_healthcare.options import Options

VERSION = "2"  # of the rules: raise it when they find something else
SHOWN_KIND = "ocr"

Box = tuple[float, float, float, float]
Images = NDArray[np.uint8]  # [H, W, 3] RGB

_MARKS = re.compile(r"(\[(?:name|date|id|phone|email|url|ip|address|zip|age over 89)\])")
# Soft hyphens, spaces of no width, marks of direction. A joiner is taken out after a letter alone:
# elsewhere it holds an emoji together.
_NO_WIDTH = r"\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
_UNSEEN = re.compile(rf"(?<=\w)[{_NO_WIDTH}\u200c\u200d]+|[{_NO_WIDTH}]+")
_PLAIN = {
    wide: wide - 0xFEE0  # digits and letters as Chinese and Japanese screens write them
    for first, last in ((0xFF10, 0xFF19), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A))
    for wide in range(first, last + 1)
}
_TWICE = re.compile(r"\[name\](?:\s+\[name\])+")


def redacted(text: str, given: Sequence[str] = (), known: Sequence[str] = ()) -> str:
    """Return a text without names and identifiers; a text that came from here stays as it is.

    `given` are the user's names, `known` those that the video's notes announce. Passes go on until
    one finds nothing: each takes letters away, so they end. Letters that nobody sees are taken out
    first, and wide ones become plain: either would hide a name from the rules, not from readers.
    """
    text = _seen(text)
    while True:
        again = "".join(
            part if _MARKS.fullmatch(part) else _pass(part, given, known)
            for part in _MARKS.split(text)
        )
        again = _TWICE.sub(names.MARK, again)  # "JOHANNA WEBER" is one person
        if again == text:
            return text
        text = again


def _seen(text: str) -> str:
    return _UNSEEN.sub("", text).translate(_PLAIN)


def redact_text(text: str, video: StoredVideo, session: SessionView) -> str:
    """Return a text about a video as it may leave the store."""
    options = Options.of(session.options)
    return redacted(text, options.all_names, known_names(video, session))


def redact_frames(
    images: Sequence[Images], video: StoredVideo, session: SessionView
) -> list[Images]:
    """Return frames with all writing and all faces blurred.

    Where a text that tells who somebody is was read once, that place is blurred in every frame:
    such overlays stay, and a detector may miss them once.

    Raises:
        InstrumentMissingError: a detector is not here; nothing is shown then.
    """
    texts = session.detect(images, "texts")
    faces = session.detect(images, "faces")
    always = telling_boxes(video, session)
    boxes = [
        [*always, *(found.box for found in (*texts_here, *faces_here))]
        for texts_here, faces_here in zip(texts, faces, strict=True)
    ]
    return session.blur(images, boxes)


def known_names(video: StoredVideo, session: SessionView) -> list[str]:
    """Return the parts of names that a video's own notes announce."""

    def make() -> list[str]:
        notes = session.notes(video.video_id)
        shown = [note for note in notes if note.kind == SHOWN_KIND]
        texts = [*(note.text for note in notes), *labels.joined(shown)]
        return sorted(names.announced(_seen(text) for text in texts))

    return session.analysis(video, "healthcare/names", VERSION, make)


def telling_boxes(video: StoredVideo, session: SessionView) -> list[Box]:
    """Return where on screen texts stood that are redacted."""
    given = Options.of(session.options).all_names
    known = known_names(video, session)
    boxes: dict[Box, None] = {}
    for note in session.notes(video.video_id):
        if note.kind != SHOWN_KIND or note.box is None:
            continue
        if redacted(note.text, given, known) != note.text:
            left, top, right, bottom = (round(edge, 2) for edge in note.box)
            boxes[(left, top, right, bottom)] = None
    return list(boxes)


def _pass(text: str, given: Sequence[str], known: Sequence[str]) -> str:
    text = names.known_hidden(text, given, known)
    return identifiers.hidden(names.hidden(text))
