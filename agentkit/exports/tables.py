"""Notes as a table: CSV as RFC 4180 has it, safe to open in a spreadsheet."""

import csv
import io

from agentkit.exports.material import Material
from agentkit.types import Note

HEAD = (
    "video_id",
    "start_s",
    "end_s",
    "start_frame",
    "end_frame",
    "kind",
    "text",
    "score",
    "left",
    "top",
    "right",
    "bottom",
)

# A cell that begins with one of these is run as a formula (OWASP, "CSV Injection"), also where a
# spreadsheet takes a wide character for the plain one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def comma_separated(material: Material) -> bytes:
    """Return the parts as CSV in UTF-8, with a head, ends of lines CR LF.

    A text that a spreadsheet would run gets an apostrophe before it. Times are those of the video
    in seconds; `end_frame` is the frame after the last.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEAD)
    for part in material.parts:
        first, after = material.frames(part)
        times = (f"{part.start_s:.3f}", f"{part.end_s:.3f}", first, after)
        texts = (harmless(part.kind), harmless(part.text))
        score = "" if part.score is None else f"{part.score:g}"
        writer.writerow((material.video_id, *times, *texts, score, *_box(part)))
    return out.getvalue().encode()


def harmless(cell: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _box(part: Note) -> tuple[str, ...]:
    return ("",) * 4 if part.box is None else tuple(f"{share:g}" for share in part.box)
