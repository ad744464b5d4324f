"""Gathers a report: what is asked, what rules make of notes, what the domain adds, the evidence.

Knows the order of a report; knows no format of it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentkit.config import ReportSettings
from agentkit.errors import AgentkitError, PluginError, UsageError
from agentkit.plugin_manager import Domain
from agentkit.redaction import Redaction
from agentkit.reports import seen
from agentkit.reports.claims import checked
from agentkit.reports.evidence import Evidence
from agentkit.reports.general import general_sections
from agentkit.reports.numbering import distinct
from agentkit.reports.redacting import Redactor
from agentkit.reports.summary import summary
from agentkit.reports.wording import Words, clock
from agentkit.types import Citation, Exhibit, Report, Section, SessionView, StoredVideo, VideoName
from agentkit_storage.errors import StoreError
from videoxl2_model.errors import VideoXL2Error

logger = logging.getLogger(__name__)

STEPS_A_VIDEO = 3  # the summary, the domain's sections, the general ones


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a report is made with."""

    settings: ReportSettings
    summary: bool = True
    redact: bool = True
    engine: str = ""
    made_at: str = ""
    made_with: str = ""  # what the model's answers depend on besides the video
    version: str = ""  # of agentkit


def build(
    session: SessionView, domain: Domain, names: Sequence[VideoName], wanted: Wanted
) -> Report:
    """Return the report on the named videos, in the order named.

    Raises:
        UsageError: no video is named.
        UnknownVideoError, AmbiguousVideoError: a name means no video, or several.
        PluginError: the domain's redaction failed; nothing is shown in its place.
    """
    videos = list(seen.by_id([session.video(name) for name in names]).values())
    if not videos:
        raise UsageError("a report needs a video; name one, see agentkit videos list")
    return _Builder(session, domain, videos, wanted).report()


class _Builder:
    """One report on its way."""

    def __init__(
        self, session: SessionView, domain: Domain, videos: Sequence[StoredVideo], wanted: Wanted
    ) -> None:
        self._session, self._domain, self._wanted = session, domain, wanted
        self._videos = videos
        self._by_id = seen.by_id(videos)
        self._words = Words(session.language)
        self._redaction = Redaction(domain, session, is_on=wanted.redact)
        self._redactor = Redactor(self._redaction, self._by_id)
        self._names = seen.names(videos, self._redaction)
        self._steps = STEPS_A_VIDEO * len(videos) + (len(videos) > 1)
        self._done = 0

    def report(self) -> Report:
        sections = tuple(self._sections())
        exhibits = self._exhibits(sections)
        return Report(
            title=self._title(),
            videos=tuple(
                seen.reported(
                    video,
                    self._names[video.video_id],
                    self._session,
                    self._redaction,
                    self._redactor,
                )
                for video in self._videos
            ),
            sections=sections,
            exhibits=exhibits,
            notices=self._notices(),  # last: what broke on the way is known
            domain=self._domain.name,
            language=self._words.language,
            engine=self._wanted.engine,
            made_at=self._wanted.made_at,
            details=self._details(),
        )

    def _title(self) -> str:
        if len(self._videos) == 1:
            return self._words("title.one", video=self._names[self._videos[0].video_id])
        return self._words("title.many", count=len(self._videos))

    def _sections(self) -> list[Section]:
        """Return all sections in the order of a report, checked and redacted."""
        summaries = [self._of(video, self._summary(video)) for video in self._videos]
        own = [self._of(video, self._own(video)) for video in self._videos]
        over = [self._shown(section) for section in self._overview()]
        general = [self._of(video, self._general(video)) for video in self._videos]
        return [section for group in (*summaries, *own, over, *general) for section in group]

    def _of(self, video: StoredVideo, sections: Sequence[Section]) -> list[Section]:
        """Return a video's sections as they may be shown; of several videos each says whose."""
        shown = [self._shown(section, video.video_id) for section in sections]
        if len(self._videos) == 1:
            return shown
        name = self._names[video.video_id]
        return [replace(section, title=f"{section.title} \u00b7 {name}") for section in shown]

    def _shown(self, section: Section, video_id: str = "") -> Section:
        return self._redactor.section(checked(section, self._by_id), video_id)

    def _summary(self, video: StoredVideo) -> list[Section]:
        self._step(self._words("summary.title"))
        if not self._wanted.summary:
            return []
        notes = self._session.notes(video)
        try:
            return [summary(video, notes, self._session, self._words, self._wanted.made_with)]
        except (AgentkitError, StoreError, VideoXL2Error) as error:
            if isinstance(error, PluginError):
                raise
            reason = " ".join(str(error).split())
            logger.warning("no summary: %s", reason)
            body = self._words("summary.failed", reason=reason)
            return [Section(self._words("summary.title"), body)]

    def _own(self, video: StoredVideo) -> list[Section]:
        self._step(self._domain.name)
        return self._domain.report_sections(video, self._session)

    def _overview(self) -> list[Section]:
        if len(self._videos) == 1:
            return []
        self._step(self._domain.name)
        return self._domain.overview_sections(self._videos, self._session)

    def _general(self, video: StoredVideo) -> list[Section]:
        self._step(self._words("general.timeline"))
        settings = self._wanted.settings
        if not settings.general:
            return []
        notes = self._session.notes(video)
        return general_sections(video, notes, self._words, settings.max_rows)

    def _step(self, what: str) -> None:
        self._session.progress(what, self._done, self._steps)
        self._done += 1

    def _exhibits(self, sections: Sequence[Section]) -> tuple[Exhibit, ...]:
        settings, words = self._wanted.settings, self._words
        evidence = Evidence(
            self._session,
            self._redaction,
            self._redactor,
            words,
            self._by_id,
            settings.frame_px,
            settings.max_frames,
        )
        what = words("page.key_frames")
        return evidence.exhibits(
            distinct(sections),
            _worth_a_look(sections),
            lambda done, of: self._session.progress(what, done, of),
        )

    def _notices(self) -> tuple[str, ...]:
        """Return what a reader must know first: of the domain, of the videos, of this report."""
        words, redaction = self._words, self._redaction
        own = self._domain.notices(words.language)
        unfinished = [self._unfinished(v) for v in self._videos if v.state != "ready"]
        about = [] if self._wanted.redact else [words("notice.unredacted")]
        if not own:  # else the domain says it better
            about += [words("notice.redacted_text")] if redaction.hides_names else []
            about += [words("notice.redacted_frames")] if redaction.hides_pictures else []
        broken = [
            words("notice.broken", reason=self._redactor.text(line)) for line in self._domain.broken
        ]
        return (*own, *about, *unfinished, *broken)

    def _unfinished(self, video: StoredVideo) -> str:
        return self._words(
            "notice.unfinished",
            video=self._names[video.video_id],
            until=clock(seen.known_until_s(video, self._session)),
            length=clock(video.duration_s),
            path=self._redaction.path(video) or "FILE",
        )

    def _details(self) -> dict[str, str]:
        wanted, redaction = self._wanted, self._redaction
        changes = redaction.hides_names or redaction.hides_pictures
        redacted = "on" if changes else "nothing_to_redact"
        return {
            "agentkit": wanted.version,
            "summary": "on" if wanted.summary else "off",
            "redaction": redacted if wanted.redact else "off",
        }


def _worth_a_look(sections: Sequence[Section]) -> list[Citation]:
    """Return the citations whose key frames come first: those of claims and figures."""
    of_claims = [
        cite for section in sections for finding in section.findings for cite in finding.citations
    ]
    return [cite for section in sections for cite in section.figures] + of_claims
