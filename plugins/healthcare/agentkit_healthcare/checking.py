"""Whether an answer's fields are in its evidence: a step by its cues, instruments by name."""

from agentkit.types import Answer, Citation, Evidence, Finding, Note, Verdict
from agentkit_healthcare.cues import found
from agentkit_healthcare.lexicon import instruments, named_in
from agentkit_healthcare.protocol import Step, load, shipped
from agentkit_healthcare.texts import word


def findings(answer: Answer, evidence: Evidence) -> list[Finding]:
    """Return a claim for each field that notes can carry; those without are unsupported."""
    step, named = answer.fields.get("step"), answer.fields.get("instruments")
    language = answer.question.language
    claims: list[Finding] = []
    if isinstance(step, str):
        claim = word("claim_step", language, step=step)
        claims.append(_finding(claim, [n for n in evidence.notes if _tells(step, n)], answer))
    ids = named if isinstance(named, list) else []
    for item in instruments():
        if item.id in ids:
            notes = [note for note in evidence.notes if item.id in named_in(note.text)]
            claims.append(_finding(item.name(language), notes, answer))
    return claims


def _tells(name: str, note: Note) -> bool:
    cues = [name]
    for step in _steps_called(name):
        cues += [*step.names.values(), *step.cues.words, *step.cues.text, *step.cues.objects]
    return bool(found(cues, note.text))


def _steps_called(name: str) -> list[Step]:
    """Return the shipped steps of this name; of a user's own protocol the name alone is known."""
    steps = (step for protocol in shipped() for step in load(protocol).steps)
    return [step for step in steps if name in step.names.values()]


def _finding(claim: str, notes: list[Note], answer: Answer) -> Finding:
    video_id = answer.citations[0].video_id if answer.citations else ""
    cites = tuple(Citation(video_id, n.start_s, n.end_s, n.text) for n in notes[:3] if video_id)
    verdict: Verdict = "supported" if notes else "unsupported"
    return Finding(claim, verdict, cites)
