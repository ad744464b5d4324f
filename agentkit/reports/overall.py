"""One timeline of a video from its notes: shots, things, speech, texts on screen, motion."""

from collections.abc import Sequence

from agentkit.instruments.words import ObjectCount, plural
from agentkit.reports.runs import grouped, lasting_s, runs
from agentkit.reports.wording import Words
from agentkit.types import Curve, Lane, Note, Span, StoredVideo, Timeline

MAX_THINGS = 7  # lanes of things: those seen longest
MAX_OTHERS = 4  # lanes of kinds that are not ours
CURVE_POINTS = 600
OURS = ("objects", "colours", "scene", "ocr", "speech", "shot", "motion")


def timeline(video: StoredVideo, notes: Sequence[Note], words: Words) -> Timeline:
    """Return what was noted of a video, over its whole length."""
    lanes = [
        _shots(video, notes, words),
        *_things(video, notes, words),
        _texts(video, notes, "scene", words),
        _texts(video, notes, "speech", words),
        _texts(video, notes, "ocr", words),
        *_others(video, notes, words),
    ]
    curve = _motion(video, [note for note in notes if note.kind == "motion"], words)
    return Timeline(
        title=words("general.timeline_title"),
        end_s=video.duration_s,
        lanes=tuple(lane for lane in lanes if lane.spans),
        curves=() if curve is None else (curve,),
    )


def _shots(video: StoredVideo, notes: Sequence[Note], words: Words) -> Lane:
    cuts_s = sorted({note.start_s for note in notes if note.kind == "shot"} - {0.0})
    starts_s = [0.0, *(cut_s for cut_s in cuts_s if cut_s < video.duration_s)]
    ends_s = [*starts_s[1:], video.duration_s]
    kind = words("kind.shot")
    spans = [
        Span(start_s, end_s, words("general.shot", number=place), kind)
        for place, (start_s, end_s) in enumerate(zip(starts_s, ends_s, strict=True), start=1)
    ]
    return Lane(kind, tuple(spans) if len(spans) > 1 else (), video.video_id)


def _things(video: StoredVideo, notes: Sequence[Note], words: Words) -> list[Lane]:
    """Return a lane for each of the things that are seen longest; a span for each count."""
    things = grouped([note for note in notes if note.kind == "objects"], _name)
    by_length = sorted(things.items(), key=lambda item: -lasting_s(runs(item[1])))
    kind = words("kind.objects")
    return [
        Lane(plural(str(name)), tuple(_counted(same, kind)), video.video_id)
        for name, same in by_length[:MAX_THINGS]
    ]


def _counted(notes: Sequence[Note], kind: str) -> list[Span]:
    """Return spans during which as many are seen, in order."""
    spans: list[Span] = []
    for note in notes:
        counted = ObjectCount.parse(note.text)
        label = counted.things if counted else note.text
        last = spans[-1] if spans else None
        if last is not None and last.label == label and note.start_s <= last.end_s + 0.01:
            spans[-1] = Span(last.start_s, max(last.end_s, note.end_s), label, kind)
        else:
            spans.append(Span(note.start_s, note.end_s, label, kind))
    return spans


def _texts(video: StoredVideo, notes: Sequence[Note], of: str, words: Words) -> Lane:
    """Return a lane of texts, each as long as it stays."""
    kind = words(f"kind.{of}")
    return Lane(kind, _lasting([n for n in notes if n.kind == of], kind), video.video_id)


def _others(video: StoredVideo, notes: Sequence[Note], words: Words) -> list[Lane]:
    kinds = list(dict.fromkeys(note.kind for note in notes if note.kind not in OURS))
    return [
        Lane(kind, _lasting([note for note in notes if note.kind == kind], kind), video.video_id)
        for kind in kinds[:MAX_OTHERS]
    ]


def _lasting(notes: Sequence[Note], kind: str) -> tuple[Span, ...]:
    spans = [
        Span(run.start_s, run.end_s, str(text), kind)
        for text, same in grouped(notes, lambda note: note.text).items()
        for run in runs(same)
    ]
    return tuple(sorted(spans, key=lambda span: (span.start_s, span.end_s)))


def _motion(video: StoredVideo, notes: Sequence[Note], words: Words) -> Curve | None:
    """Return how much of the picture changes, at even distances; None where nobody noted it."""
    scored = [note for note in notes if note.score is not None]
    if not scored or video.duration_s <= 0:
        return None
    step_s = max(1.0, video.duration_s / CURVE_POINTS)
    values = [float("nan")] * (int(video.duration_s / step_s) + 1)
    for note in scored:
        first, stop = int(note.start_s / step_s), int(note.end_s / step_s) + 1
        for place in range(max(first, 0), min(stop, len(values))):
            if note.start_s <= place * step_s <= note.end_s:  # of two that meet, the later
                values[place] = min(max(note.score or 0.0, 0.0), 1.0)
    return Curve(words("general.motion"), step_s, tuple(values), video.video_id)


def _name(note: Note) -> str:
    counted = ObjectCount.parse(note.text)
    return counted.name if counted else note.text
