"""The appendix of evidence: what was noted in each cited span, and its key frame.

Key frames are made anew for every report and never kept: a rule of redaction that was changed
since then would not hold for them.
"""

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from agentkit.errors import VideoError
from agentkit.hookspecs import Image
from agentkit.redaction import Redaction
from agentkit.reports.numbering import Key, key_of
from agentkit.reports.redacting import Redactor
from agentkit.reports.runs import grouped
from agentkit.reports.wording import Words, clock
from agentkit.types import Citation, Exhibit, Note, SessionView, StoredVideo

logger = logging.getLogger(__name__)

MAX_TEXTS = 8  # of one kind, in one exhibit
FRAMES_AT_ONCE = 8  # in memory; a 4K frame takes 25 MB
JPEG_QUALITY = 82

Shown = tuple[bytes, str]  # JPEG, and what is said of it
OnFrames = Callable[[int, int], None]  # key frames done, of how many


@dataclass(frozen=True, slots=True)
class Evidence:
    """What exhibits are made from."""

    session: SessionView
    redaction: Redaction
    redactor: Redactor
    words: Words
    videos: Mapping[str, StoredVideo]  # by id
    frame_px: int
    max_frames: int

    def exhibits(
        self,
        cited: Sequence[tuple[Citation, ...]],
        first: Sequence[Citation],
        on_frames: OnFrames,
    ) -> tuple[Exhibit, ...]:
        """Return an exhibit for each group of citations of one span, in their order.

        `cited` is redacted already. Key frames go to the citations of `first`, then to the others
        in order, until there are `max_frames`.

        Raises:
            PluginError: the domain's redaction failed; then there is no report.
        """
        shown = self._shown(cited, first, on_frames)
        return tuple(self._exhibit(same, shown) for same in cited)

    def _exhibit(self, same: Sequence[Citation], shown: Mapping[Key, Shown]) -> Exhibit:
        cite = replace(same[0], why=self._why(same[0]))
        noted = self._noted(cite)
        told = "\n".join([same[0].why, *noted])
        others = dict.fromkeys(other.why for other in same if other.why not in told)
        too_many = self.words("frame.too_many", count=self.max_frames)
        jpeg, alt = shown.get(key_of(cite), (b"", too_many))
        return Exhibit(cite, (*others, *noted), jpeg, alt)

    def _why(self, cite: Citation) -> str:
        """Return why a span is cited; a kind of note that begins it ("ocr: EXIT") in words."""
        kind, colon, text = cite.why.partition(": ")
        return f"{self.words.named('kind', kind)}: {text}" if colon else cite.why

    def _noted(self, cite: Citation) -> list[str]:
        """Return what was noted in a span, a line a kind, as it may be shown."""
        notes = self.session.notes(self.videos[cite.video_id], cite.start_s, cite.end_s)
        inside = [note for note in notes if _touches(note, cite)]
        return [
            self._line(str(kind), [self.redactor.text(note.text, cite.video_id) for note in same])
            for kind, same in grouped(inside, lambda note: note.kind).items()
        ]

    def _line(self, kind: str, texts: Sequence[str]) -> str:
        distinct = list(dict.fromkeys(texts))
        left = len(distinct) - MAX_TEXTS
        told = distinct[:MAX_TEXTS]
        told += [self.words("general.more", count=left)] if left > 0 else []
        return f"{self.words.named('kind', kind)}: {'; '.join(told)}"

    def _shown(
        self, cited: Sequence[tuple[Citation, ...]], first: Sequence[Citation], on_frames: OnFrames
    ) -> dict[Key, Shown]:
        """Return the key frames of the citations that get one."""
        wanted = {key_of(cite): cite for cite in [*first, *(same[0] for same in cited)]}
        chosen = list(wanted.values())[: self.max_frames]
        shown: dict[Key, Shown] = {}
        for video_id in dict.fromkeys(cite.video_id for cite in chosen):
            of_video = [cite for cite in chosen if cite.video_id == video_id]
            for at in range(0, len(of_video), FRAMES_AT_ONCE):
                some = of_video[at : at + FRAMES_AT_ONCE]
                shown |= dict(zip(map(key_of, some), self._frames(video_id, some), strict=True))
                on_frames(len(shown), len(chosen))
        return shown

    def _frames(self, video_id: str, cites: Sequence[Citation]) -> list[Shown]:
        """Return the key frames of citations of one video; what cannot be read says why."""
        video = self.videos[video_id]
        try:
            images = self.redaction.frames(video, [frame_time_s(cite) for cite in cites])
        except VideoError as error:
            if len(cites) > 1:
                return [shown for cite in cites for shown in self._frames(video_id, [cite])]
            reason = self.redactor.text(" ".join(str(error).split()), video_id)
            logger.info("%s: no key frame: %s", self.redaction.name(video), reason)
            return [(b"", self.words("frame.gone", reason=reason))]
        name = self.redaction.name(video)
        alts = [
            self.words("page.frame_alt", video=name, time=clock(frame_time_s(cite)))
            for cite in cites
        ]
        return [(jpeg(image, self.frame_px), alt) for image, alt in zip(images, alts, strict=True)]


def frame_time_s(cite: Citation) -> float:
    """Return the time of a citation's key frame: the one that it names, or its middle."""
    return (cite.start_s + cite.end_s) / 2 if cite.frame_s is None else cite.frame_s


def jpeg(image: Image, longer_px: int) -> bytes:
    """Return a frame [H, W, 3] RGB as JPEG, made smaller where its longer side is too long."""
    from PIL import Image as Picture

    picture = Picture.fromarray(image)
    picture.thumbnail((longer_px, longer_px))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return out.getvalue()


def _touches(note: Note, cite: Citation) -> bool:
    """Say whether a note holds in a span: not only because it ends where the span begins."""
    if note.start_s == note.end_s:
        return cite.start_s <= note.start_s <= cite.end_s
    return (note.start_s < cite.end_s and note.end_s > cite.start_s) or (
        cite.start_s == cite.end_s and note.start_s <= cite.start_s <= note.end_s
    )
