"""Which step of its protocol a procedure is in, and when: cues and answers, decoded together.

A step's edges come from the notes that told it, not from the chunks: a caption or a sentence has
its own time. Where nothing tells for long, no step is claimed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Citation, SessionView, StoredVideo
from agentkit_healthcare import decoder
from agentkit_healthcare.asking import answers
from agentkit_healthcare.options import Options
from agentkit_healthcare.protocol import Protocol, Step, load
from agentkit_healthcare.scores import Hit, hits_of, scores_of

BIN_S = 1.0
FRAMES_A_LOOK = 4  # screens are read once a group of sampled frames
MAX_EVIDENCE = 3  # citations of a step


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time that a step goes on; `confidence` is its mean probability over these seconds."""

    step: Step
    start_s: float
    end_s: float
    confidence: float
    evidence: tuple[Citation, ...]

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was recognised of a procedure, in order of time; between it, no step was."""

    protocol: Protocol
    duration_s: float
    occurrences: tuple[Occurrence, ...]

    def of(self, step_id: str) -> tuple[Occurrence, ...]:
        return tuple(one for one in self.occurrences if one.step.id == step_id)

    @property
    def gaps_s(self) -> tuple[tuple[float, float], ...]:
        """The spans in which no step was recognised."""
        edges = [0.0, *(t for one in self.occurrences for t in (one.start_s, one.end_s))]
        pairs = zip(edges[::2], [*edges[1::2], self.duration_s], strict=True)
        return tuple((start, end) for start, end in pairs if end - start > 1e-6)


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of moments in one state, with the hits of this state in it."""

    state: int
    start_s: float
    end_s: float
    hits: tuple[Hit, ...]
    confidence: float

    @property
    def first_s(self) -> float:
        return max(min(hit.start_s for hit in self.hits), self.start_s)

    @property
    def last_s(self) -> float:
        return min(max(hit.end_s for hit in self.hits), self.end_s)


def recognised(video: StoredVideo, session: SessionView) -> Recognition:
    """Return the steps of a video under the session's options."""
    options = Options.of(session.options)
    protocol = load(options.protocol)
    hits = hits_of(protocol, session.notes(video.video_id))
    hits += answers(video, session, protocol, options, hits)
    return decoded(video, protocol, hits, options)


def decoded(
    video: StoredVideo, protocol: Protocol, hits: Sequence[Hit], options: Options
) -> Recognition:
    """Return the most probable steps given what speaks for each."""
    if not hits or video.duration_s <= 0:
        return Recognition(protocol, video.duration_s, ())
    moments = max(math.ceil(video.duration_s / BIN_S), 1)
    scores = scores_of(hits, moments, len(protocol.steps), BIN_S)
    model = decoder.model_of(protocol.steps, BIN_S, options.decoder == "monotone")
    path = decoder.viterbi(model, scores)
    chances = decoder.posteriors(model, scores)
    runs = _joined(_runs(path, chances, hits, trusts_model=options.ask == "always"))
    spans = _spans(runs, video, options.hold_s)
    occurrences = (
        _occurrence(video, protocol, run, *span) for run, span in zip(runs, spans, strict=True)
    )
    return Recognition(protocol, video.duration_s, tuple(occurrences))


def _runs(
    path: NDArray[np.int64],
    chances: NDArray[np.float64],
    hits: Sequence[Hit],
    trusts_model: bool,
) -> list[_Run]:
    """Return the path's runs that a hit of their own carries: a step passed unseen is none.

    Answers of a model that is not trusted help to decide between steps; alone they carry none,
    for a small model names a step wherever it is asked for one.
    """
    edges = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    runs = []
    for first, stop in pairwise(edges):
        state, start_s, end_s = int(path[first]), first * BIN_S, stop * BIN_S
        own = tuple(h for h in hits if h.step == state and _touches(h, start_s, end_s))
        chance = float(chances[first:stop, state].mean())
        if own and (trusts_model or not all(hit.by_model for hit in own)):
            runs.append(_Run(state, start_s, end_s, own, chance))
    return runs


def _touches(hit: Hit, start_s: float, end_s: float) -> bool:
    return hit.start_s < end_s and max(hit.end_s, hit.start_s + 1e-9) > start_s


def _joined(runs: Sequence[_Run]) -> list[_Run]:
    """Return the runs with neighbours of one state as one."""
    joined: list[_Run] = []
    for run in runs:
        if joined and joined[-1].state == run.state:
            last = joined.pop()
            share = (last.end_s - last.start_s) / (
                run.end_s - run.start_s + last.end_s - last.start_s
            )
            mean = share * last.confidence + (1 - share) * run.confidence
            hits = tuple(dict.fromkeys((*last.hits, *run.hits)))
            run = replace(run, start_s=last.start_s, hits=hits, confidence=mean)
        joined.append(run)
    return joined


def _spans(runs: Sequence[_Run], video: StoredVideo, hold_s: float) -> list[tuple[float, float]]:
    """Return each run's start and end in seconds, refined by the notes that told them.

    Between two steps: within one look at the screen in the middle, else where the next is first
    told, as steps are announced; but a step holds `hold_s` after its last cue at most.
    """
    look_s = FRAMES_A_LOOK * video.step_s
    starts = [run.first_s for run in runs]
    ends = [run.last_s for run in runs]
    if runs:
        starts[0] = 0.0 if starts[0] <= min(look_s, hold_s) else starts[0]
        ends[-1] = min(ends[-1] + hold_s, video.duration_s)
    for index in range(1, len(runs)):
        gap_s = starts[index] - ends[index - 1]
        if 0 < gap_s <= min(look_s, hold_s):
            starts[index] -= gap_s / 2
        ends[index - 1] = min(ends[index - 1] + hold_s, starts[index])
    return list(zip(starts, ends, strict=True))


def _occurrence(
    video: StoredVideo, protocol: Protocol, run: _Run, start_s: float, end_s: float
) -> Occurrence:
    evidence = _evidence(video, run, start_s, end_s)
    confidence = round(run.confidence, 3)
    return Occurrence(protocol.steps[run.state], start_s, end_s, confidence, evidence)


def _evidence(video: StoredVideo, run: _Run, start_s: float, end_s: float) -> tuple[Citation, ...]:
    """Return the first of each of the strongest hits, cut to the step's time, in order of time."""
    first: dict[str, Hit] = {}
    for hit in sorted(run.hits, key=lambda hit: (hit.start_s, hit.end_s)):
        if _touches(hit, start_s, end_s):
            first.setdefault(hit.why, hit)
    best = sorted(first.values(), key=lambda hit: -hit.weight)[:MAX_EVIDENCE]
    return tuple(
        Citation(video.video_id, max(hit.start_s, start_s), min(hit.end_s, end_s), hit.why)
        for hit in sorted(best, key=lambda hit: hit.start_s)
    )
