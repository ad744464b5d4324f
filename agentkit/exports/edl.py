"""An edit decision list as editing systems read it (CMX 3600), one cut a part, back to back.

Source times count from the file's first frame; the record side begins at one hour, as is the
custom, unless it would then pass 24. No drop frames, whatever the rate.
"""

import re
import unicodedata

from agentkit.exports.material import Material

RECORD_START_HOURS = 1
DAY_HOURS = 24
REEL_LETTERS = 8


def cmx3600(material: Material) -> bytes:
    """Return the parts as a CMX 3600 list; the clip's name and the part's text are comments."""
    rate, reel = material.rate, reel_of(material.name, material.video_id)
    spans = [material.frames(part) for part in material.parts]
    hour = rate.nominal * 3600
    total = sum(after - first for first, after in spans)
    fits = total + RECORD_START_HOURS * hour <= DAY_HOURS * hour
    record = RECORD_START_HOURS * hour if fits else 0
    lines = [f"TITLE: {material.name}", "FCM: NON-DROP FRAME", ""]
    for number, (part, (first, after)) in enumerate(
        zip(material.parts, spans, strict=True), start=1
    ):
        times = [first, after, record, record + after - first]
        codes = " ".join(map(rate.timecode, times))
        lines += [f"{number:03}  {reel:{REEL_LETTERS}} V     C        {codes}"]
        lines += [f"* FROM CLIP NAME: {material.name}"]
        lines += [f"* COMMENT: {part.text}"] if part.text else []
        lines += [""]
        record += after - first
    return ("\r\n".join(lines) + "\r\n").encode()


def reel_of(name: str, video_id: str) -> str:
    """Return a reel's name: at most eight capital letters and digits of the file's name, or id."""
    stem = name.rpartition(".")[0] or name
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    letters = re.sub(r"[^A-Za-z0-9]", "", plain)[:REEL_LETTERS]
    return (letters or video_id[:REEL_LETTERS]).upper()
