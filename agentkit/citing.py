"""Which stored passages carry an answer: citations and support, by bookkeeping alone.

A model's own times are wrong too often to be shown (it said 452 s for 320 s in a planted-fact
test), so no time in a citation comes from generated text.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentkit.retrieval import Passage
from agentkit.terms import content_terms, overlap
from agentkit.types import ChunkHit, Citation

# How small models word that they found nothing: not what is quoted, and only of what they read.
_QUOTED = re.compile(r"\"[^\"]*\"|\u201c[^\u201d]*\u201d|(?<!\w)'[^']*'(?!\w)")
_READ = r"\b(video|notes?|lines?|timeline|evidence|footage|clip|text|information|answer|question)\b"
_FOUND = (
    r"\b(mention(s|ed)?|specif(y|ies|ied)|state[sd]?|provide[sd]?|indicate[sd]?|describe[sd]?|"
    r"contains?|supports?|include[sd]?|say|tell|show|answered|given)\b"
)
_ABSTAINS = re.compile(
    rf"{_READ}[^.;]*?\b(no|not|nothing)\b[^.;]*?{_FOUND}|{_READ}[^.;]*?n't\b[^.;]*?{_FOUND}|"
    r"\bno (information|mention|evidence|indication|details?)\b|"
    r"\b(cannot|can't|can not|unable to|impossible to) (be )?(determined?|tell|say|answer|know)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class CitingConfig:
    max_citations: int = 3
    max_citation_s: float = 32.0
    share_of_best: float = 0.7  # a passage this much weaker than the best one is not cited


def abstains(text: str) -> bool:
    """Say whether an answer itself says that nothing was found."""
    return not text.strip() or _ABSTAINS.search(_QUOTED.sub("", text)) is not None


def cite(
    question: str, answer: str, passages: Iterable[Passage], config: CitingConfig
) -> tuple[Citation, ...]:
    """Return the passages that carry the answer's and the question's terms, best first."""
    asked, said = content_terms(question), content_terms(answer)
    said = [term for term in said if term not in asked]
    scored = sorted(
        ((_weight(asked, said, passage), passage) for passage in passages),
        key=lambda pair: (-pair[0], pair[1].start_s),
    )
    if not scored:
        return ()
    best = scored[0][0]
    chosen: list[Passage] = []
    for weight, passage in scored:
        if weight < config.share_of_best * best or len(chosen) == config.max_citations:
            break
        if not any(_same_place(passage, other) for other in chosen):
            chosen.append(passage)
    return tuple(
        _citation(p.video_id, p.start_s, p.end_s, f"{p.kind}: {p.text}", config) for p in chosen
    )


def share_words(question: str, answer: str, passages: Iterable[Passage]) -> bool:
    """Say whether any passage has a word that question or answer have."""
    terms = content_terms(f"{question} {answer}")
    return any(overlap(terms, passage.text) > 0 for passage in passages)


def cite_looked_at(hits: Sequence[ChunkHit], config: CitingConfig) -> tuple[Citation, ...]:
    """Return the best chunks that the model saw: for an answer that no note can be held against."""
    return tuple(
        _citation(
            hit.chunk.video_id, hit.start_s, hit.end_s, f"seen: {hit.why}; no note says it", config
        )
        for hit in hits[: config.max_citations]
    )


def _weight(asked: Sequence[str], said: Sequence[str], passage: Passage) -> float:
    return overlap(asked, passage.text) + overlap(said, passage.text) + passage.near


def _same_place(one: Passage, other: Passage) -> bool:
    """Say whether two passages overlap by more than half of the shorter one."""
    if one.video_id != other.video_id:
        return False
    shared_s = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    return shared_s > 0.5 * min(one.end_s - one.start_s, other.end_s - other.start_s)


def _citation(
    video_id: str, start_s: float, end_s: float, why: str, config: CitingConfig
) -> Citation:
    end_s = min(end_s, start_s + config.max_citation_s)
    return Citation(
        video_id=video_id,
        start_s=round(start_s, 3),
        end_s=round(end_s, 3),
        why=why,
        frame_s=round((start_s + end_s) / 2, 3),
    )
