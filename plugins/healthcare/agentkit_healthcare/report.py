"""The sections of a report on a procedure, by rules from what was recognised."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentkit.types import (
    Citation,
    Finding,
    Lane,
    Note,
    Row,
    Section,
    SessionView,
    Span,
    StoredVideo,
    Table,
    Timeline,
    Verdict,
)
from agentkit_healthcare.checklist import Checked, checked
from agentkit_healthcare.deviations import Deviation, deviations, misplaced
from agentkit_healthcare.instruments import Seen, instruments_seen
from agentkit_healthcare.steps import Occurrence, Recognition, recognised
from agentkit_healthcare.texts import clock, span, word

MAX_FIGURES = 8
MAX_LANES = 8  # of instruments


@dataclass(frozen=True, slots=True)
class Course:
    """All that a report on one procedure rests on."""

    video: StoredVideo
    language: str
    steps: Recognition
    instruments: Sequence[Seen]
    checks: Sequence[Checked]

    def word(self, name: str, **values: object) -> str:
        return word(name, self.language, **values)


def course_of(video: StoredVideo, session: SessionView) -> Course:
    """Return what was recognised of a video."""
    steps = recognised(video, session)
    seen, checks = instruments_seen(video, session), checked(video, session, steps)
    return Course(video, session.language, steps, seen, checks)


def sections(video: StoredVideo, session: SessionView) -> list[Section]:
    """Return the report's sections, in the order of reading."""
    course = course_of(video, session)
    parts = [_procedure(course), _steps(course)]
    parts += [_deviations(course)] if course.steps.occurrences else []
    parts += [_checklist(course), _instruments(course)]
    return parts


def step_notes(video: StoredVideo, session: SessionView) -> list[Note]:
    """Return the recognised steps as notes, in order of time."""
    return [
        Note(one.start_s, one.end_s, "step", one.step.name(session.language), one.confidence)
        for one in recognised(video, session).occurrences
    ]


def _procedure(course: Course) -> Section:
    protocol = course.steps.protocol
    lines = [
        course.word(
            "follows",
            title=protocol.title(course.language),
            steps=len(protocol.steps),
            source=protocol.source or "-",
        )
    ]
    if course.steps.occurrences:
        seen = len({one.step.id for one in course.steps.occurrences})
        none_s = sum(end - start for start, end in course.steps.gaps_s)
        share = round(100 * none_s / course.video.duration_s)
        lines.append(course.word("recognised", seen=seen, steps=len(protocol.steps), share=share))
    else:
        lines.append(course.word("nothing"))
    figures = tuple(one.evidence[0] for one in course.steps.occurrences if one.evidence)
    return Section(
        course.word("procedure"),
        "\n\n".join(lines),
        timelines=(_timeline(course),),
        figures=figures[:MAX_FIGURES],
    )


def _steps(course: Course) -> Section:
    word = course.word
    head = ("head_step", "head_time", "head_length", "head_confidence", "head_told")
    rows = [(one.start_s, _step_row(course, one)) for one in course.steps.occurrences]
    rows += [
        (start_s, Row((word("no_step"), span(start_s, end_s), _length(end_s - start_s), "", "")))
        for start_s, end_s in course.steps.gaps_s
        if end_s - start_s >= 1
    ]
    in_order = tuple(row for _, row in sorted(rows, key=lambda pair: pair[0]))
    table = Table(word("found_steps"), tuple(map(word, head)), in_order)
    tables = (table, _expected(course)) if course.steps.occurrences else (_expected(course),)
    return Section(word("steps"), tables=tables)


def _step_row(course: Course, one: Occurrence) -> Row:
    told = "; ".join(cite.why or course.word("model_answer") for cite in one.evidence)
    cells = (
        one.step.name(course.language),
        span(one.start_s, one.end_s),
        _length(one.seconds),
        f"{one.confidence:.2f}",
        told,
    )
    return Row(cells, _named(course, one.evidence))


def _named(course: Course, evidence: Sequence[Citation]) -> tuple[Citation, ...]:
    """Return citations with their reason in words, where the model's answer is all there is."""
    return tuple(c if c.why else replace(c, why=course.word("model_answer")) for c in evidence)


def _expected(course: Course) -> Table:
    """Return the protocol's steps, one a row, and what was found of each."""
    word = course.word
    wrong = misplaced(course.steps)
    rows = []
    for step in course.steps.protocol.steps:
        ones = course.steps.of(step.id)
        states = [word("found")] if ones else []
        states += [word("out_of_order")] if step.id in wrong else []
        states += [word("repeated")] if len(ones) > 1 else []
        missing = word("optional_not_found" if step.optional else "not_found")
        times = ", ".join(span(one.start_s, one.end_s) for one in ones)
        cells = (step.name(course.language), ", ".join(states) or missing, times)
        rows.append(Row(cells, tuple(c for one in ones for c in _named(course, one.evidence[:1]))))
    head = tuple(map(word, ("head_step", "head_state", "head_time")))
    return Table(word("expected"), head, tuple(rows))


def _deviations(course: Course) -> Section:
    found = deviations(course.steps)
    title = course.word("deviations")
    if not found:
        cites = tuple(c for one in course.steps.occurrences for c in one.evidence[:1])
        return Section(title, findings=(Finding(course.word("none_differs"), "supported", cites),))
    return Section(title, findings=tuple(_finding(course, one) for one in found))


def _finding(course: Course, deviation: Deviation) -> Finding:
    step = deviation.step
    bound = step.min_s if deviation.kind == "short" else step.max_s
    claim = course.word(
        deviation.kind,
        step=step.name(course.language),
        other=deviation.after.name(course.language) if deviation.after else "",
        time=clock(deviation.citations[0].start_s) if deviation.citations else "",
        count=deviation.count,
        seconds=round(deviation.seconds),
        bound=f"{bound or 0:g}",
    )
    verdict: Verdict = "supported" if deviation.citations else "unsupported"
    return Finding(claim, verdict, _named(course, deviation.citations))


def _instruments(course: Course) -> Section:
    word = course.word
    title = word("instruments")
    if not course.instruments:
        return Section(title, word("no_instruments"))
    rows = tuple(
        Row(
            (
                seen.instrument.name(course.language),
                ", ".join(map(word, seen.how)),
                ", ".join(span(*one) for one in seen.spans_s),
            ),
            seen.evidence,
        )
        for seen in course.instruments
    )
    head = tuple(map(word, ("head_instrument", "head_how", "head_time")))
    return Section(title, word("instruments_about"), tables=(Table(word("noted"), head, rows),))


def _checklist(course: Course) -> Section:
    word = course.word
    title = word("checklist")
    rows = tuple(
        Row((item.check.name(course.language), state_of(course, item), _when(item)), item.evidence)
        for item in course.checks
    )
    head = tuple(map(word, ("head_item", "head_state", "head_time")))
    told = [item for item in course.checks if item.status in ("late", "denied")]
    findings = tuple(_claim(course, item) for item in told)
    tables = (Table(word("items"), head, rows),) if rows else ()
    return Section(title, word("checklist_about"), findings, tables)


def state_of(course: Course, item: Checked) -> str:
    """Return an item's status in words."""
    is_open = item.status == "done" and item.check.before and item.due_s is None
    return course.word("done_open" if is_open else item.status)


def _claim(course: Course, item: Checked) -> Finding:
    """Return what must be read of an item beside its row: seen too late, or denied."""
    before = item.check.before
    step = course.steps.protocol.step(before).name(course.language) if before else ""
    name = item.check.name(course.language)
    claim = course.word(f"claim_{item.status}", item=name, time=_when(item), step=step)
    return Finding(claim, "contradicted" if item.status == "denied" else "supported", item.evidence)


def _when(item: Checked) -> str:
    return clock(item.evidence[0].start_s) if item.evidence else ""


def _timeline(course: Course) -> Timeline:
    """Return the protocol's order beside what was recognised, instruments and checks below."""
    video_id = course.video.video_id
    lanes = [
        Lane(course.word("lane_expected"), _expected_spans(course)),
        Lane(course.word("lane_recognised"), _found_spans(course), video_id),
        *(_instrument_lane(course, seen) for seen in course.instruments[:MAX_LANES]),
        Lane(course.word("lane_checklist"), _check_spans(course), video_id),
    ]
    shown = tuple(lane for lane in lanes if lane.spans)
    return Timeline(course.word("timeline"), course.video.duration_s, shown)


def _expected_spans(course: Course) -> tuple[Span, ...]:
    """Return the protocol's steps side by side: their order, not their length."""
    steps = course.steps.protocol.steps
    width_s = course.video.duration_s / len(steps)
    return tuple(
        Span(place * width_s, (place + 1) * width_s, name, name)
        for place, name in enumerate(step.name(course.language) for step in steps)
    )


def _found_spans(course: Course) -> tuple[Span, ...]:
    return tuple(
        Span(one.start_s, one.end_s, name, name)
        for one in course.steps.occurrences
        for name in [one.step.name(course.language)]
    )


def _instrument_lane(course: Course, seen: Seen) -> Lane:
    name = seen.instrument.name(course.language)
    spans = (
        Span(start_s, end_s, name, course.word("instruments")) for start_s, end_s in seen.spans_s
    )
    return Lane(name, tuple(spans), course.video.video_id)


def _check_spans(course: Course) -> tuple[Span, ...]:
    return tuple(
        Span(item.evidence[0].start_s, item.evidence[0].end_s,
             item.check.name(course.language), state_of(course, item))
        for item in course.checks
        if item.evidence
    )  # fmt: skip


def _length(seconds: float) -> str:
    return f"{seconds:.0f}\u00a0s"
