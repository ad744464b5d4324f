"""Which context answers best? Questions with known words and seconds, over clips and long films.

Every answer is kept as one JSON line, so a run that was stopped goes on, and answers are judged
anew each time from their text: a stricter judge needs no second run.

    python benchmarks/answers.py --films alone,10min --contexts dense,bilevel,retrieval
    python benchmarks/answers.py --films alone --set ask.k=6 --require answered=.6,cited=.9,false=.1
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import answers_table as table
from common import RESULTS, ROOT, bench_dir, clip, merged, parse_overrides, write_results
from films import CLIPS, PLANS, film
from judging import KINDS, Asked, Searched, judge, load_questions, precision, relevant_hits
from rich.console import Console

from agentkit import Session, Settings
from agentkit.types import IngestEvent, StoredVideo

CONTEXTS = ("dense", "bilevel", "retrieval")
MODELS = ("qwen2.5-coder-0.5b",)
DOCS = ROOT / "docs" / "answers.md"
# What stored notes and tokens, and what answers, depend on; a change makes the next run do it anew.
INGEST_CODE = (
    "agentkit/instruments",
    "agentkit/video*.py",
    "agentkit/note_line.py",
    "agentkit/encoders.py",
    "agentkit/pipeline.py",
    "agentkit/ingesting.py",
    "agentkit/observing.py",
    "agentkit/embedder.py",
)
ANSWER_CODE = (
    "agentkit/*.py",
    "agentkit/instruments",
    "videoxl2_model",
    "storage/agentkit_storage",
)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 220)


@dataclass(frozen=True, slots=True)
class Case:
    """One film, model and context, and the settings that make it."""

    film: str
    model: str
    context: str
    overrides: Mapping[str, Any]

    def settings(self, store: Path) -> Settings:
        flags = merged({"ask": {"context": self.context}}, self.overrides)
        return Settings.load(store=store, language_model=self.model, **flags)

    def key(self, asked: Asked, code: str) -> str:
        """Name one answer by all that it depends on."""
        parts = (self.film, self.model, self.context, self.overrides, asked.clip, asked.text, code)
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a clip is asked: in which file, from which second on."""

    path: Path
    offset_s: float


def places(film_name: str) -> dict[str, Place]:
    """Return each clip's place, alone or in a film, which is drawn if need be."""
    if film_name == "alone":
        return {name: Place(clip(name), 0.0) for name in CLIPS}
    console.print(f"film {film_name}: drawing it, unless it is drawn")
    made = film(PLANS[film_name], {name: clip(name) for name in CLIPS}, bench_dir())
    return {name: Place(made.path, offset_s) for name, offset_s in made.offsets_s.items()}


class Results:
    """The answers kept so far, one JSON line each; the last line of a key counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = {row["key"]: row for row in _lines(path)}

    def get(self, key: str) -> dict[str, Any] | None:
        return self._rows.get(key)

    def add(self, row: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as out:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._rows[row["key"]] = row


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a file; a run that was killed may have left half a one."""
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def code_fingerprint(patterns: Sequence[str], root: Path = ROOT) -> str:
    """Return a name for the present state of some source files and folders."""
    digest = sha256()
    for pattern in patterns:
        for found in sorted(root.glob(pattern)):
            for path in sorted(found.rglob("*.py")) if found.is_dir() else [found]:
                digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def run_case(case: Case, asked: Sequence[Asked], results: Results, store: Path, code: str) -> None:
    """Ask what was not asked yet; the model is loaded only where something is left."""
    left = [each for each in asked if results.get(case.key(each, code)) is None]
    if not left:
        return
    where = places(case.film)
    with Session.open(case.settings(store)) as session:
        videos = {name: ingest(session, where[name].path) for name in {q.clip for q in left}}
        for number, each in enumerate(left, 1):
            row = ask(session, case, each, videos[each.clip])
            results.add({"key": case.key(each, code), "code": code, **row})
            progress = f"{case.film} {case.model} {case.context} {number}/{len(left)}"
            console.print(
                f"{progress} [{row['seconds']:.1f} s] {each.text} -> {row['text'][:90]!r}"
            )


def ask(session: Session, case: Case, asked: Asked, video: StoredVideo) -> dict[str, Any]:
    began = time.perf_counter()
    answer = session.ask(asked.text, video)
    return {
        "film": case.film,
        "model": case.model,
        "context": case.context,
        "overrides": case.overrides,
        "id": asked.id,
        "question": asked.text,
        "text": answer.text,
        "supported": answer.supported,
        "citations": [[cite.start_s, cite.end_s] for cite in answer.citations],
        "why": [cite.why for cite in answer.citations],
        "dense": list(answer.coverage.dense_chunks),
        "seconds": round(time.perf_counter() - began, 3),
    }


def ingest(session: Session, path: Path) -> StoredVideo:
    """Bring a file into the benchmark's store; print each tenth of a long one."""
    shown = -1

    def show(event: IngestEvent) -> None:
        nonlocal shown
        tenth = 10 * event.chunk // event.of if event.of else 0
        if event.event == "chunk" and tenth > shown:
            shown = tenth
            console.print(
                f"  {path.name}: chunk {event.chunk} of {event.of}, {event.seconds:.0f} s"
            )

    return session.ingest(path, on_event=show)


def judged(
    cases: Sequence[Case], asked: Sequence[Asked], results: Results, code: str
) -> list[table.Judged]:
    """Judge what is there of these cases, each answer against its clip's place in the film."""
    rows = []
    for case in cases:
        where = places(case.film)
        for each in asked:
            row = results.get(case.key(each, code))
            if row is None:
                continue
            cited = tuple((start, end) for start, end in row["citations"])
            verdict = judge(each, row["text"], row["supported"], cited, where[each.clip].offset_s)
            rows.append(
                table.Judged(
                    case.film,
                    case.model,
                    case.context,
                    each,
                    row["text"],
                    cited,
                    row["supported"],
                    row["seconds"],
                    verdict,
                )
            )
    return rows


def run_searches(case: Case, searched: Sequence[Searched], store: Path) -> dict[str, Any]:
    """Search the film, or all clips together, for what is there and for what is not."""
    where = places(case.film)
    with Session.open(case.settings(store)) as session:
        videos = {name: ingest(session, place.path) for name, place in where.items()}
        queries = [_search(session, each, videos, where) for each in searched]
    there = [query["precision"] for query in queries if query["precision"] is not None]
    absent = [bool(query["hits"]) for query in queries if query["precision"] is None]
    hits = sum(len(query["hits"]) for query in queries if query["precision"] is not None)
    right = sum(query["right"] for query in queries)
    empty = sum(not query["hits"] for query in queries if query["precision"] is not None)
    console.print(
        f"search, {case.film}: precision in the first three hits {sum(there) / len(there):.2f} "
        f"(a query without hits counts as 0); of {hits} hits returned {right} are right, "
        f"{empty} of {len(there)} queries return none; "
        f"{sum(absent)} of {len(absent)} queries for what is absent return hits"
    )
    return {
        "film": case.film,
        "precision_at_3": sum(there) / len(there),
        "hits": hits,
        "right_hits": right,
        "without_hits": empty,
        "absent_with_hits": sum(absent),
        "absent": len(absent),
        "queries": queries,
    }


def _search(
    session: Session,
    each: Searched,
    videos: Mapping[str, StoredVideo],
    where: Mapping[str, Place],
) -> dict[str, Any]:
    hits = session.search(each.text, sorted({v.video_id for v in videos.values()}), k=3)
    spots = [(hit.chunk.video_id, (hit.start_s, hit.end_s)) for hit in hits]
    wanted = _moved(each, videos, where)
    shown = [[round(s, 2), round(e, 2)] for _, (s, e) in spots]
    return {
        "text": each.text,
        "precision": precision(spots, wanted) if each.relevant else None,
        "right": relevant_hits(spots, wanted),
        "hits": [
            {"span": span, "score": round(hit.score, 3), "why": hit.why}
            for hit, span in zip(hits, shown, strict=True)
        ],
    }


def _moved(
    each: Searched, videos: Mapping[str, StoredVideo], where: Mapping[str, Place]
) -> Searched:
    """Return the search with its seconds counted in the stored videos, by their ids."""
    relevant: dict[str, tuple[tuple[float, float], ...]] = {}
    for name, spans in each.relevant.items():
        at, key = where[name].offset_s, videos[name].video_id
        relevant[key] = (*relevant.get(key, ()), *((a + at, b + at) for a, b in spans))
    return Searched(each.text, relevant)


def chosen(asked: Sequence[Asked], only: Sequence[str], subset: int | None) -> list[Asked]:
    """Return the questions of some kinds, and of these so many, spread evenly over the list."""
    kept = [each for each in asked if not only or each.kind in only]
    if subset is None or subset >= len(kept):
        return kept
    return [kept[number * len(kept) // subset] for number in range(subset)]


def names(known: Sequence[str]) -> Any:
    """Return a reader of comma-separated names, each of which must be known."""

    def read(text: str) -> list[str]:
        given = [part.strip() for part in text.split(",") if part.strip()]
        if strange := [part for part in given if known and part not in known]:
            raise argparse.ArgumentTypeError(f"{strange[0]!r}; known: {', '.join(known)}")
        return given

    return read


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--films", type=names(("alone", *PLANS)), default=["alone"])
    parser.add_argument("--contexts", type=names(CONTEXTS), default=list(CONTEXTS))
    parser.add_argument("--models", type=names(()), default=list(MODELS))
    parser.add_argument("--only", type=names((*KINDS, "absent")), default=[], help="kinds")
    parser.add_argument("--subset", type=int, help="so many questions, spread over the list")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE")
    parser.add_argument("--search", action="store_true", help="run the searches too")
    parser.add_argument("--judge-only", action="store_true", help="ask nothing, judge what is kept")
    parser.add_argument("--code", help="take answers of this state of the code, by its fingerprint")
    parser.add_argument("--store", type=Path, help="default: AGENTKIT_HOME/bench/store-STATE")
    parser.add_argument("--results", type=Path, default=RESULTS / "answers.jsonl")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/answers.md")
    parser.add_argument("--require", type=table.parse_requirements, default={})
    return parser.parse_args(argv)


def _of_first_context(rows: Sequence[table.Judged]) -> list[table.Judged]:
    """Return the rows of the context named first: the page shows one context's failures."""
    return [row for row in rows if row.context == rows[0].context]


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    asked, searched = load_questions()
    asked, overrides = chosen(asked, args.only, args.subset), parse_overrides(args.set)
    code = args.code or code_fingerprint(ANSWER_CODE)
    store = args.store or bench_dir() / f"store-{code_fingerprint(INGEST_CODE)}"
    cases = [Case(*names, overrides) for names in product(args.films, args.models, args.contexts)]
    results = Results(args.results)
    for case in () if args.judge_only else cases:
        run_case(case, asked, results, store, code)
    rows = judged(cases, asked, results, code)
    found = table.scores(rows)
    console.print(table.rich_table(found))
    figures = {"code": code, "overrides": overrides, "questions": len(asked)}
    figures |= {"scores": [table.as_json(score) for score in found]}
    if args.search:
        figures |= {"search": [run_searches(case, searched, store) for case in one_a_film(cases)]}
    console.print(f"figures: {write_results('answers', figures, folder=args.results.parent)}")
    if args.docs:
        write_docs(found, rows)
    return verdict(found, args.require)


def one_a_film(cases: Sequence[Case]) -> list[Case]:
    """Return one case a film: a search knows no model and no context."""
    return list({case.film: case for case in cases}.values())


def write_docs(found: Sequence[table.Score], rows: Sequence[table.Judged]) -> None:
    """Put the table and the failures between their markers in docs/answers.md."""
    table.put_between(DOCS, "answers", table.markdown(found))
    table.put_between(DOCS, "failures", table.failures(_of_first_context(rows)))


def verdict(found: Sequence[table.Score], wanted: Mapping[str, float]) -> int:
    """Return the exit status: 1 where a row misses what is required, or nothing was judged."""
    missed = table.unmet(found, wanted)
    for line in missed:
        console.print(f"missed: {line}")
    return 1 if missed or (wanted and not found) else 0


if __name__ == "__main__":
    sys.exit(main())
