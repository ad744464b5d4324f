"""Holds an answer to its evidence: what it quotes, and whom it names, must stand in the notes."""

import re
import unicodedata

from agentkit.types import Answer, Citation, Evidence, Finding, Note
from agentkit_media.wording import Words

MAX_CITATIONS = 3
_QUOTES = re.compile(
    '"([^"\n]{2,300})"|“([^”\n]{2,300})”|「([^」\n]{2,300})」|『([^』\n]{2,300})』'
)
SOURCES = ("speech", "ocr")


def findings(answer: Answer, evidence: Evidence) -> list[Finding]:
    """Return one finding for each quotation, and for each name that the task asked for."""
    words = Words(answer.question.language)
    claims = quotations(answer.text)
    if answer.question.task == "character":
        names = answer.fields.get("names", [])
        claims += (
            [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        )
    video_id = next((cite.video_id for cite in evidence.citations), "")
    return [
        _finding(claim, words("quote", text=claim), evidence, video_id)
        for claim in dict.fromkeys(claims)
    ]


def quotations(text: str) -> list[str]:
    """Return what stands in quotation marks, each once; a lone letter is no quotation."""
    found = ["".join(groups).strip() for groups in _QUOTES.findall(text)]
    return [quote for quote in dict.fromkeys(found) if len(plain(quote).replace(" ", "")) > 1]


def plain(text: str) -> str:
    """Return the letters and digits of a text, in lower case, one space where others stood."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if c.isalnum() else "" if c in "'\u2019" else " " for c in folded)
    return " ".join(kept.split())


def _finding(claim: str, said: str, evidence: Evidence, video_id: str) -> Finding:
    notes = carriers(claim, [note for note in evidence.notes if note.kind in SOURCES])
    if not notes:
        return Finding(said, "unsupported")
    if not video_id:
        video_id = next((hit.chunk.video_id for hit in evidence.hits), "")
    cites = tuple(
        Citation(video_id, note.start_s, note.end_s, note.text) for note in notes[:MAX_CITATIONS]
    )
    return Finding(said, "supported", cites if video_id else ())


def carriers(claim: str, notes: list[Note]) -> list[Note]:
    """Return the notes that say a claim word for word, alone or one after the other."""
    wanted = f" {plain(claim)} "
    alone = [note for note in notes if _in(wanted, note.text)]
    if alone:
        return alone
    for kind in SOURCES:  # a sentence may be cut into several notes
        ordered = sorted((n for n in notes if n.kind == kind), key=lambda note: note.start_s)
        for first in range(len(ordered)):
            for after in range(first + 2, min(first + 5, len(ordered) + 1)):
                if _in(wanted, " ".join(note.text for note in ordered[first:after])):
                    return ordered[first:after]
    return []


def _in(wanted: str, text: str) -> bool:
    """Say whether words stand in a text whole; of Chinese, which has no spaces, anywhere."""
    said = f" {plain(text)} "
    return wanted in said or (not wanted.isascii() and wanted.strip() in said)
