"""The security domain's part of a report on one video. Writes by rules; the model judges little."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from agentkit.types import (
    AgentkitError,
    Citation,
    Curve,
    Finding,
    Lane,
    Row,
    Section,
    SessionView,
    Span,
    StoredVideo,
    Table,
    Timeline,
    UsageError,
)
from agentkit_security import anomaly
from agentkit_security.event import Event
from agentkit_security.events import people_over_time
from agentkit_security.judging import Judged, judged, reasons_in_words
from agentkit_security.options import PEOPLE, VEHICLES
from agentkit_security.stays import Stay, stays_in
from agentkit_security.watched import Watched, citation, curve, watch
from agentkit_security.wording import joined, kind_of, label, place, texts, thing
from agentkit_security.zones import Zone

MAX_ROWS = 60  # of the table of events
MAX_FIGURES = 6
GRAVE = 2  # severity from which an event has a key frame and a place on the lane of its own


def sections_of(video: StoredVideo, session: SessionView) -> list[Section]:
    """Return timeline, events, anomalies, counts, and what was not watched for.

    Where nothing can look (weights or the file are missing), a section says so.
    """
    language = session.language
    try:
        watched = watch(session, video)
        unusual = curve(session, video)
    except UsageError:
        raise
    except AgentkitError as error:
        return [Section(texts()("report.failed", language), str(error))]
    found = judged(session, video, unusual.peaks, watched.options.judge)
    return [
        _timeline(watched, unusual, language),
        _events(watched, language),
        _anomalies(watched, unusual, found, language),
        _counts(watched, language),
        _unwatched(watched, language),
    ]


def _timeline(watched: Watched, unusual: anomaly.Curve, language: str) -> Section:
    words = texts()
    video = watched.video
    lanes = [*_lanes(watched, language)]
    curves = (Curve(words("report.curve", language), 1.0, unusual.scores, video.video_id),)
    title = words("report.timeline_title", language)
    drawn = Timeline(title, video.duration_s, tuple(lanes), curves)
    return Section(words("report.timeline", language), timelines=(drawn,))


def _lanes(watched: Watched, language: str) -> Iterator[Lane]:
    """Yield a lane for the people of each zone, for each line, and for what is worth a look."""
    words, video_id = texts(), watched.video.video_id
    for zone in watched.rules.zones:
        name = words("report.people_in", language, zone=place(zone.name, language))
        yield Lane(name, tuple(_presence(zone, watched, language)), video_id)
    for line in watched.rules.lines:
        crossings = [e for e in watched.events if e.kind == "crosses" and e.zone == line.name]
        name = words("report.lines", language, zone=line.name)
        yield Lane(name, tuple(_spans(crossings, watched, language)), video_id)
    grave = [event for event in watched.events if event.severity >= GRAVE]
    if grave:
        spans = tuple(_spans(grave, watched, language))
        yield Lane(words("report.attention", language), spans, video_id)


def _presence(zone: Zone, watched: Watched, language: str) -> Iterator[Span]:
    """Yield when somebody was in a zone, and how many at most."""
    people = _people(stays_in(zone, watched.scene))
    counts = people_over_time(people)
    start_s, most = 0.0, 0
    for (at_s, count), (next_s, following) in pairwise(counts):
        if count and not most:
            start_s = at_s
        most = max(most, count)
        if most and not following:
            told = texts()("report.at_once", language, count=most)
            yield Span(start_s, next_s, told, texts()("kind.people", language))
            most = 0


def _people(stays: Sequence[Stay]) -> list[Stay]:
    return [stay for stay in stays if stay.track.kind in PEOPLE]


def _spans(events: Sequence[Event], watched: Watched, language: str) -> Iterator[Span]:
    for event in events:
        end_s = min(max(event.end_s, event.start_s + 1.0), watched.video.duration_s)
        yield Span(event.start_s, end_s, label(event, language), kind_of(event, language))


def _events(watched: Watched, language: str) -> Section:
    words = texts()
    title = words("report.events", language)
    if not watched.events:
        return Section(title, words("report.no_events", language))
    by_weight = sorted(watched.events, key=lambda event: -event.severity)
    chosen = frozenset(by_weight[:MAX_ROWS])
    shown = [event for event in watched.events if event in chosen]
    rows = tuple(_row(event, watched, language) for event in shown)
    head = tuple(words(f"report.head_{n}", language) for n in ("time", "event", "where", "grave"))
    body = ""
    if len(shown) < len(watched.events):
        total = len(watched.events)
        body = words("report.events_shown", language, shown=len(shown), total=total)
    grave = [event for event in by_weight if event.severity >= GRAVE][:MAX_FIGURES]
    return Section(
        title,
        body,
        tables=(Table(words("report.events_title", language), head, rows),),
        figures=tuple(citation(event, watched, language) for event in grave),
    )


def _row(event: Event, watched: Watched, language: str) -> Row:
    cells = (
        clock(event.start_s),
        label(event, language),
        place(event.zone, language),
        texts()(f"severity.{event.severity}", language),
    )
    return Row(cells, (citation(event, watched, language),))


def clock(time_s: float) -> str:
    """Return a time as it stands in tables: 1:02:03.4, tenths cut off."""
    tenths = int(time_s * 10 + 1e-6)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def _anomalies(
    watched: Watched, unusual: anomaly.Curve, found: Sequence[Judged], language: str
) -> Section:
    words = texts()
    learnt = f"{watched.options.learn_s:g}"
    body = words("report.anomaly_body", language, seconds=learnt)
    if len(unusual.scores) <= watched.options.learn_s:
        body = words("report.anomaly_short", language, seconds=learnt)
    elif not found:
        body += "\n\n" + words("report.anomaly_none", language)
    asked = watched.options.judge
    claims = tuple(
        _finding(watched.video, one, number < asked, language) for number, one in enumerate(found)
    )
    figures = tuple(claim.citations[0] for claim in claims[:MAX_FIGURES])
    return Section(words("report.anomaly", language), body, claims, figures=figures)


def _finding(video: StoredVideo, one: Judged, was_asked: bool, language: str) -> Finding:
    """Return a peak as a claim: that it stands out is measured; the judgement is told beside it."""
    words, peak = texts(), one.peak
    claim = words(
        "report.anomaly_claim",
        language,
        start=f"{peak.start_s:.0f}",
        end=f"{peak.end_s:.0f}",
        score=f"{peak.score:.2f}",
        reasons=reasons_in_words(peak.reasons, language),
    )
    cited = Citation(video.video_id, peak.start_s, peak.end_s, claim, peak.at_s)
    if was_asked:
        name = {True: "yes", False: "no", None: "open"}[one.unusual]
        claim = words(f"report.judged_{name}", language, claim=claim)
        if one.reason and one.unusual is not None:
            claim = words("report.judged_why", language, claim=claim, reason=one.reason)
    return Finding(claim, "supported", (cited,))


def _counts(watched: Watched, language: str) -> Section:
    words = texts()
    head = tuple(
        words(f"report.head_{name}", language) for name in ("minute", "people", "mean", "vehicles")
    )
    rows = tuple(_minutes(watched, language))
    table = Table(words("report.counts_title", language), head, rows)
    return Section(words("report.counts", language), tables=(table,))


def _minutes(watched: Watched, language: str) -> Iterator[Row]:
    scene, video = watched.scene, watched.video
    whole = stays_in(Zone(), scene)
    people = people_over_time(_people(whole))
    vehicles = people_over_time([stay for stay in whole if stay.track.kind in VEHICLES])
    for minute in range(max(math.ceil(scene.duration_s / 60 - 1e-6), 1)):
        start_s, end_s = minute * 60.0, min((minute + 1) * 60.0, scene.duration_s)
        most, at_s, mean = in_span(people, start_s, end_s)
        most_vehicles, _, _ = in_span(vehicles, start_s, end_s)
        cells = (str(minute + 1), str(most), f"{mean:.1f}", str(most_vehicles))
        why = texts()("report.counted", language, count=most)
        cited = Citation(
            video.video_id, at_s, min(at_s + 2.0, video.duration_s), why, min(at_s + 0.5, end_s)
        )
        yield Row(cells, (cited,))


def in_span(
    counts: Sequence[tuple[float, int]], start_s: float, end_s: float
) -> tuple[int, float, float]:
    """Return the highest count of a span, when it is first reached, and the mean over time."""
    most, at_s, area = 0, start_s, 0.0
    edges = [(0.0, 0), *counts, (math.inf, 0)]
    for (from_s, count), (to_s, _) in pairwise(edges):
        first_s, last_s = max(from_s, start_s), min(to_s, end_s)
        if first_s >= last_s:
            continue
        area += count * (last_s - first_s)
        if count > most:
            most, at_s = count, first_s
    return most, at_s, area / max(end_s - start_s, 1e-9)


def _unwatched(watched: Watched, language: str) -> Section:
    words, rules, options = texts(), watched.rules, watched.options
    lines = []
    if options.rules and not rules.zones and not rules.lines:
        lines.append(words("report.none_for_camera", language, file=options.rules))
    if not options.rules:
        lines.append(words("report.unwatched_zones", language))
    if not any(event.kind in ("fall", "fight", "action") for event in watched.events):
        lines.append(words("report.unwatched_actions", language))
    if not any(zone.crowd for zone in rules.zones):
        lines.append(words("report.unwatched_crowd", language))
    for name in ("loiter", "left"):
        if all(getattr(zone, f"{name}_s") == math.inf for zone in rules.zones):
            lines.append(words(f"report.unwatched_{name}", language))
    if not rules.lines:
        lines.append(words("report.unwatched_lines", language))
    kinds = joined([thing(kind, language).lower() for kind in options.track_kinds], language)
    lines.append(words("report.unwatched_kinds", language, kinds=kinds))
    lines.append(words("report.unwatched_always", language))
    return Section(words("report.unwatched", language), "\n\n".join(lines))
