"""Rows of judged answers, as a table for people, a page for docs/ and figures for JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from judging import DIFFICULTIES, KINDS, Asked, Verdict
from rich.table import Table

REQUIREMENTS = {"answered": "at least", "cited": "at least", "false": "at most"}


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer with its verdict; `film` is "alone" where each clip is asked on its own."""

    film: str
    model: str
    context: str
    asked: Asked
    text: str
    cited: tuple[tuple[float, float], ...]
    supported: bool | None
    seconds: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    good: int
    of: int

    @property
    def value(self) -> float:
        return self.good / self.of if self.of else 0.0

    def __str__(self) -> str:
        return f"{self.value:.0%} ({self.good}/{self.of})" if self.of else "-"


@dataclass(frozen=True, slots=True)
class Score:
    """What one context of one model did on one film.

    `cited` leaves out `when` questions: there the citation is the answer, so an answered one is
    cited rightly by definition.
    """

    film: str
    model: str
    context: str
    answered: Share  # right words, of all that can be answered
    cited: Share  # right seconds, of those answered, `when` left out
    answered_and_cited: Share  # right words and seconds, of all that can be answered
    false: Share  # not abstained, of all that cannot be answered
    inside: float  # mean share of the cited seconds that lie in the true ones, of those answered
    median_s: float  # to a whole answer
    kinds: Mapping[str, Share]
    difficulties: Mapping[str, Share]


def scores(rows: Iterable[Judged]) -> list[Score]:
    """Return one score for each film, model and context, in the order they first come."""
    groups: dict[tuple[str, str, str], list[Judged]] = {}
    for row in rows:
        groups.setdefault((row.film, row.model, row.context), []).append(row)
    return [_score(*key, group) for key, group in groups.items()]


def _score(film: str, model: str, context: str, rows: Sequence[Judged]) -> Score:
    can = [row for row in rows if row.asked.answerable]
    right = [row for row in can if row.verdict.answered]
    seconds = sorted(row.seconds for row in rows)
    return Score(
        film,
        model,
        context,
        answered=_answered(can),
        cited=_cited([row for row in right if row.asked.kind != "when"]),
        answered_and_cited=_cited(can),
        false=_false([row for row in rows if not row.asked.answerable]),
        inside=sum(r.verdict.cited_share for r in right) / len(right) if right else 0.0,
        median_s=seconds[len(seconds) // 2],
        kinds={kind: _answered(r for r in can if r.asked.kind == kind) for kind in KINDS},
        difficulties={
            name: _answered(r for r in can if r.asked.difficulty == name) for name in DIFFICULTIES
        },
    )


def _answered(rows: Iterable[Judged]) -> Share:
    verdicts = [row.verdict.answered for row in rows]
    return Share(sum(verdicts), len(verdicts))


def _cited(rows: Sequence[Judged]) -> Share:
    return Share(sum(row.verdict.cited for row in rows), len(rows))


def _false(rows: Sequence[Judged]) -> Share:
    return Share(sum(row.verdict.false for row in rows), len(rows))


_HEAD = (
    "film",
    "model",
    "context",
    "answered",
    "cited",
    "both",
    "false",
    *KINDS,
    *DIFFICULTIES,
    "inside",
    "time",
)


def _cells(score: Score, quickest_s: float) -> list[str]:
    shares = [score.answered, score.cited, score.answered_and_cited, score.false]
    shares += [*score.kinds.values(), *score.difficulties.values()]
    tail = [f"{score.inside:.0%}", f"{score.median_s / quickest_s:.1f}x"]
    return [score.film, score.model, score.context, *map(str, shares), *tail]


def rich_table(rows: Sequence[Score]) -> Table:
    """Return the scores for the terminal."""
    table = Table(*_HEAD, title="answers")
    quickest_s = _quickest_s(rows)
    for score in rows:
        table.add_row(*_cells(score, quickest_s))
    return table


def markdown(rows: Sequence[Score]) -> str:
    """Return the scores as the table of docs/answers.md."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|" + " --- |" * len(_HEAD)]
    quickest_s = _quickest_s(rows)
    return "\n".join(
        lines + ["| " + " | ".join(_cells(score, quickest_s)) + " |" for score in rows]
    )


def _quickest_s(rows: Sequence[Score]) -> float:
    """Return the least median of the run: machines differ, ratios less."""
    return min((score.median_s for score in rows), default=0.0) or 1.0


def failures(rows: Iterable[Judged]) -> str:
    """Return every answer that was not right, as a Markdown list under each film and context."""
    lines: list[str] = []
    heading = ""
    for row in rows:
        why = failure(row)
        if not why:
            continue
        here = f"### {row.film}, {row.model}, {row.context}"
        if here != heading:
            lines += ["", here, ""]
            heading = here
        said = " ".join(row.text.split())
        said = said if len(said) <= 160 else said[:157] + "..."
        spans = ", ".join(f"{start:.0f}-{end:.0f} s" for start, end in row.cited) or "nothing"
        lines.append(f"- *{row.asked.text}* — {why}: “{said}” (cites {spans})")
    return "\n".join(lines).strip()


def failure(row: Judged) -> str:
    """Return what is wrong with an answer; nothing where it is right."""
    if not row.asked.answerable:
        return "false answer" if row.verdict.false else ""
    if not row.verdict.answered:
        return "wrong seconds" if row.asked.kind == "when" and row.cited else "not answered"
    return "" if row.verdict.cited else "wrong seconds"


def as_json(score: Score) -> dict[str, Any]:
    """Return a score with its shares as numbers, their counts beside them."""
    return asdict(score) | {
        name: share.value
        for name, share in (
            ("answered_share", score.answered),
            ("cited_share", score.cited),
            ("false_share", score.false),
        )
    }


def parse_requirements(text: str) -> dict[str, float]:
    """Return {"answered": 0.6, ...} for "answered=.6,...".

    Raises:
        ValueError: a name that cannot be required, or no number.
    """
    wanted: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name.strip() not in REQUIREMENTS:
            raise ValueError(
                f"{name.strip()!r} cannot be required; known: {', '.join(REQUIREMENTS)}"
            )
        wanted[name.strip()] = float(value)
    return wanted


def unmet(rows: Iterable[Score], wanted: Mapping[str, float]) -> list[str]:
    """Return one line for each requirement that a row misses."""
    return [
        f"{score.film}, {score.model}, {score.context}: {name} is {share.value:.2f}, "
        f"must be {REQUIREMENTS[name]} {limit:g}"
        for score in rows
        for name, limit in wanted.items()
        if (share := getattr(score, name)).of and not _meets(name, share.value, limit)
    ]


def _meets(name: str, value: float, limit: float) -> bool:
    return value <= limit if REQUIREMENTS[name] == "at most" else value >= limit


def put_between(path: Path, marker: str, body: str) -> None:
    """Replace what stands between `<!-- MARKER:begin -->` and `<!-- MARKER:end -->` in a file.

    Raises:
        ValueError: the file has no such markers.
    """
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    text = path.read_text()
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{path}: no {begin} ... {end}")
    path.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}")
