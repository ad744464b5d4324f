"""Steps out of notes: where they begin and end, what carries them, what differs from the order."""

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.plugin_manager import Domain
from agentkit.testing import RecordedSession, stored_video
from agentkit.types import Citation, Note
from agentkit_healthcare.checklist import Checked, checked
from agentkit_healthcare.deviations import deviations, longest_rise
from agentkit_healthcare.instruments import instruments_seen, merged
from agentkit_healthcare.options import Options
from agentkit_healthcare.protocol import load, parse
from agentkit_healthcare.scores import WEIGHTS, Hit, hits_of, scores_of
from agentkit_healthcare.steps import Recognition, decoded, recognised

CHOLEC = load("cholec80")
VIDEO = stored_video(duration_s=400.0)
QUIET = {"ask": "never"}


def said(start_s: float, end_s: float, text: str) -> Note:
    return Note(start_s, end_s, "speech", text)


def shown(start_s: float, end_s: float, text: str) -> Note:
    return Note(start_s, end_s, "ocr", text)


def session_of(notes: Sequence[Note], options=QUIET, say=lambda q, v, c: "") -> RecordedSession:
    noted = {VIDEO.video_id: notes}
    return RecordedSession([VIDEO], noted, Domain.load("healthcare"), say, options=options)


def found(notes: Sequence[Note], **options) -> list[tuple[str, float, float]]:
    one = recognised(VIDEO, session_of(notes, {**QUIET, **options}))
    return [(o.step.id, o.start_s, o.end_s) for o in one.occurrences]


IN_ORDER = [
    said(10, 16, "We place the trocar and start the insufflation."),
    said(60, 66, "Now we dissect the cystic duct in Calot's triangle."),
    said(150, 156, "The cystic duct is clipped: we apply a clip, then another."),
    shown(200, 240, "GALLBLADDER DISSECTION"),
    said(300, 305, "It goes into the bag."),
]


def test_a_step_begins_where_it_is_told_and_holds_a_while_after_its_last_cue() -> None:
    assert found(IN_ORDER, hold_s=30) == [
        ("preparation", 10.0, 46.0),
        ("calot-dissection", 60.0, 96.0),
        ("clipping", 150.0, 186.0),
        ("gallbladder-dissection", 200.0, 270.0),
        ("packaging", 300.0, 335.0),
    ]


def test_a_step_lasts_until_the_next_is_told_where_that_is_soon() -> None:
    steps = found(IN_ORDER, hold_s=100)
    assert [(a, b) for _, a, b in steps] == [
        (10, 60),
        (60, 150),
        (150, 200),
        (200, 300),
        (300, 400),
    ]


def test_two_looks_at_the_screen_apart_the_edge_lies_in_the_middle() -> None:
    notes = [shown(0, 28, "CLIPPING AND CUTTING"), shown(31, 60, "GALLBLADDER DISSECTION")]
    assert found(notes)[0][2] == found(notes)[1][1] == 29.5


def test_each_step_cites_the_notes_that_told_it() -> None:
    one = recognised(VIDEO, session_of(IN_ORDER)).of("clipping")[0]
    assert one.evidence == (Citation(VIDEO.video_id, 150, 156, IN_ORDER[2].text),)
    assert 0.9 < one.confidence <= 1


def test_time_without_a_step_is_said() -> None:
    one = recognised(VIDEO, session_of(IN_ORDER[:2]))
    assert one.gaps_s == ((0.0, 10.0), (46.0, 60.0), (96.0, 400.0))
    assert Recognition(CHOLEC, 400.0, ()).gaps_s == ((0.0, 400.0),)


def test_a_word_in_passing_is_no_step() -> None:
    """One second of speech about a step long past does not outweigh a caption that stands."""
    notes = [shown(0, 200, "GALLBLADDER DISSECTION"), said(100, 101, "as in the preparation")]
    assert [step for step, _, _ in found(notes)] == ["gallbladder-dissection"]


def test_the_hmm_sees_steps_out_of_order_and_the_monotone_decoder_does_not() -> None:
    notes = [
        shown(0, 60, "CLIPPING AND CUTTING"),
        shown(80, 140, "CALOT TRIANGLE DISSECTION"),
        shown(160, 220, "GALLBLADDER DISSECTION"),
    ]
    ids = [step for step, _, _ in found(notes)]
    assert ids == ["clipping", "calot-dissection", "gallbladder-dissection"]
    monotone = [CHOLEC.index(step) for step, _, _ in found(notes, decoder="monotone")]
    assert monotone == sorted(monotone)


def test_nothing_told_is_nothing_recognised() -> None:
    assert found([Note(0, 90, "motion", "clipping and cutting"), said(5, 9, "good morning")]) == []


def kinds(notes: Sequence[Note]) -> list[tuple[str, str]]:
    return [(d.kind, d.step.id) for d in deviations(recognised(VIDEO, session_of(notes)))]


def test_what_is_missing_out_of_order_or_repeated_is_named() -> None:
    assert kinds(IN_ORDER) == [("missing", "retraction")]  # cleaning is optional
    swapped = [
        shown(0, 50, "PREPARATION"),
        shown(60, 110, "CLIPPING AND CUTTING"),
        shown(120, 170, "CALOT TRIANGLE DISSECTION"),
        shown(180, 230, "CLIPPING AND CUTTING"),
        shown(240, 290, "GALLBLADDER PACKAGING"),
    ]
    assert kinds(swapped) == [
        ("order", "calot-dissection"),
        ("repeat", "clipping"),
        ("missing", "gallbladder-dissection"),
        ("missing", "retraction"),
    ]


def test_a_step_that_may_repeat_is_no_deviation() -> None:
    notes = [
        shown(0, 50, "CLEANING AND COAGULATION"),
        shown(60, 110, "GALLBLADDER RETRACTION"),
        shown(120, 170, "CLEANING AND COAGULATION"),
    ]
    assert not [k for k in kinds(notes) if k[0] in ("repeat", "order")]


def test_steps_shorter_and_longer_than_usual_are_named() -> None:
    text = """
title.en = "T"
step = [
  { id = "a", name.en = "Alpha", max_s = 20 },
  { id = "b", name.en = "Beta", min_s = 90 },
]"""
    hits = hits_of(parse(text, "t.toml"), [shown(0, 60, "ALPHA"), shown(60, 100, "BETA")])
    one = decoded(VIDEO, parse(text, "t.toml"), hits, Options(hold_s=0.0))
    assert [(d.kind, d.step.id, d.seconds) for d in deviations(one)] == [
        ("long", "a", 60.0),
        ("short", "b", 40.0),
    ]


@given(st.lists(st.integers(0, 6), max_size=8))
def test_the_longest_rise_is_one_of_the_longest_of_all_subsets(places: list[int]) -> None:
    rise = longest_rise(places)
    values = [places[at] for at in rise]
    assert all(a < b for a, b in itertools.pairwise(values))
    subsets = range(1 << len(places))
    rising = (
        bin(mask).count("1")
        for mask in subsets
        if (v := [p for n, p in enumerate(places) if mask >> n & 1]) == sorted(set(v))
    )
    assert len(rise) == max(rising)


hits = st.builds(
    lambda step, start, length, weight: Hit(step, weight, start, start + length, "why"),
    st.integers(0, 2), st.floats(0, 29), st.floats(0, 20), st.floats(0.1, 3),
)  # fmt: skip


@given(st.lists(hits, max_size=6))
def test_the_sum_of_hits_is_the_sum_moment_by_moment(some: list[Hit]) -> None:
    slow = np.zeros((30, 3))
    for hit in some:
        touched = [m for m in range(30) if hit.start_s < m + 1 and hit.end_s > m]
        touched = touched or [min(int(hit.start_s), 29)]
        for moment in touched:
            slow[moment, hit.step] += (
                hit.weight * min(len(touched), WEIGHTS.longest_s) / len(touched)
            )
    np.testing.assert_allclose(scores_of(some, 30, 3, 1.0), slow)


def test_a_cue_that_two_steps_share_counts_half_for_each() -> None:
    weights = Counter({hit.step: hit.weight for hit in hits_of(CHOLEC, [shown(0, 4, "HOOK")])})
    assert weights == {1: WEIGHTS.objects / 2, 3: WEIGHTS.objects / 2}


def test_a_text_that_stays_on_screen_is_one_hit_however_often_it_was_read() -> None:
    notes = [shown(a, a + 4, "CLIPPING AND CUTTING") for a in range(0, 3600, 4)]
    again = shown(4000, 4004, "CLIPPING AND CUTTING")
    spoken = [said(10, 12, "a clip"), said(12, 14, "we clip the cystic duct")]
    spans = [(hit.start_s, hit.end_s) for hit in hits_of(CHOLEC, [*notes, again, *spoken])]
    assert spans == [(0, 3600), (12, 14), (4000, 4004)]


def test_a_title_over_all_does_not_outweigh_what_is_shown_beneath() -> None:
    title = [shown(a, a + 4, "Course: preparation") for a in range(0, 400, 4)]
    steps = [step for step, _, _ in found([*title, *IN_ORDER])]
    assert steps == [step for step, _, _ in found(IN_ORDER)]


@settings(max_examples=20)
@given(st.permutations(range(5)), st.integers(0, 2**16))
def test_occurrences_lie_in_order_inside_the_video_and_carry_their_own_evidence(
    order, seed
) -> None:
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.uniform(0, 399, 5))
    notes = [
        shown(float(a), float(a + rng.uniform(0, 60)), CHOLEC.steps[k].name("en").upper())
        for a, k in zip(starts, order, strict=True)
    ]
    one = recognised(VIDEO, session_of(notes))
    edges = [t for o in one.occurrences for t in (o.start_s, o.end_s)]
    assert edges == sorted(edges)
    assert not edges or (edges[0] >= 0 and edges[-1] <= VIDEO.duration_s)
    for o in one.occurrences:
        assert all(o.start_s <= c.start_s <= c.end_s <= o.end_s for c in o.evidence)
        assert {c.why for c in o.evidence} == {o.step.name("en").upper()}


def test_chunks_that_say_nothing_are_asked_about_at_most_so_often_and_once() -> None:
    options = {"ask": "unsure", "ask_limit": 3}
    session = session_of(IN_ORDER, options, lambda q, v, c: "B. Calot triangle dissection")
    recognised(VIDEO, session)
    recognised(VIDEO, session)
    assert [q.task for q in session.asked] == ["step"] * 3
    assert session.asked[0].options == (*[s.name("en") for s in CHOLEC.steps], "None of these")
    assert session.told == 2 * [("steps", n, 3) for n in range(4)]


def test_a_killed_run_goes_on_where_it_was() -> None:
    spoken = iter(["A", "B", RuntimeError("killed"), "A", "A", "A"])

    def say(question, video, chunks) -> str:
        word = next(spoken)
        if isinstance(word, Exception):
            raise word
        return word

    session = session_of([], {"ask": "unsure", "ask_limit": 4}, say)
    with pytest.raises(RuntimeError):
        recognised(VIDEO, session)
    recognised(VIDEO, session)
    assert len(session.asked) == 5  # two, the killed one, and the two that were left


def test_a_model_that_is_not_trusted_carries_no_step_alone() -> None:
    say = lambda q, v, c: "C. Clipping and cutting"  # noqa: E731
    assert not recognised(VIDEO, session_of([], {"ask": "unsure"}, say)).occurrences
    trusted = recognised(VIDEO, session_of([], {"ask": "always"}, say)).occurrences
    assert [(o.step.id, o.start_s, o.end_s) for o in trusted] == [("clipping", 0.0, 400.0)]


def statuses(notes: Sequence[Note], **options) -> dict[str, str]:
    session = session_of(notes, {**QUIET, **options})
    return {c.check.id: c.status for c in checked(VIDEO, session, recognised(VIDEO, session))}


def test_the_checklist_tells_done_late_denied_and_not_seen() -> None:
    notes = [
        said(2, 4, "Time-out: everybody agrees."),
        said(5, 8, "We have not given antibiotics: no antibiotic prophylaxis."),
        *IN_ORDER,
        said(170, 172, "And here is the critical view of safety."),
    ]
    assert statuses(notes) == {
        "time-out": "done",
        "antibiotics": "denied",
        "critical-view": "late",
        "counts": "not_seen",
    }


def test_a_denial_in_another_clause_denies_nothing() -> None:
    assert statuses([said(2, 4, "No bleeding, the sponge count is correct")])["counts"] == "done"
    assert statuses([said(2, 4, "The sponge count isn't done")])["counts"] == "denied"
    assert statuses([said(2, 4, "还没有手术暂停")])["time-out"] == "denied"


def test_an_item_keeps_what_carries_it_and_when_it_was_due() -> None:
    notes = [*IN_ORDER, said(100, 103, "That is the critical view.")]
    session = session_of(notes)
    items = {c.check.id: c for c in checked(VIDEO, session, recognised(VIDEO, session))}
    check = CHOLEC.checks[2]
    cite = Citation(VIDEO.video_id, 100, 103, "That is the critical view.")
    assert items["critical-view"] == Checked(check, "done", (cite,), 150)
    assert items["counts"] == Checked(CHOLEC.checks[3], "not_seen")


def test_a_trusted_model_may_take_back_an_item_and_never_add_one() -> None:
    notes = [said(2, 4, "time out")]
    for answer, status in (("No.", "denied"), ("Yes", "done"), ("?", "done")):
        session = session_of(notes, {"ask": "always"}, lambda q, v, c, answer=answer: answer)
        items = {
            c.check.id: c.status for c in checked(VIDEO, session, Recognition(CHOLEC, 400, ()))
        }
        assert items == {
            "time-out": status,
            "antibiotics": "not_seen",
            "critical-view": "not_seen",
            "counts": "not_seen",
        }


def test_instruments_are_told_by_how_they_were_noted() -> None:
    notes = [
        said(3, 5, "Hook, please."),
        shown(8, 12, "HOOK"),
        shown(60, 64, "HARMONIC SCALPEL"),
        Note(70, 74, "objects", "1 scissors centre"),
        Note(80, 84, "objects", "2 people left"),
    ]
    seen = instruments_seen(VIDEO, session_of(notes))
    assert [(s.instrument.id, s.how, s.spans_s) for s in seen] == [
        ("hook", ("said", "shown"), ((3, 12),)),
        ("ultrasonic-shears", ("shown",), ((60, 64),)),
        ("scissors", ("seen",), ((70, 74),)),
    ]
    assert seen[0].evidence == (
        Citation(VIDEO.video_id, 3, 5, "Hook, please."),
        Citation(VIDEO.video_id, 8, 12, "HOOK"),
    )


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=8), st.integers(0, 4))
def test_merged_spans_are_those_of_the_seconds_covered(pairs, join_s: int) -> None:
    spans = [(float(a), float(a + length)) for a, length in pairs]
    joined = merged(spans, join_s)
    assert all(b + join_s < c for (_, b), (c, _) in itertools.pairwise(joined))
    assert all(any(a <= c and d <= b for a, b in joined) for c, d in spans)
    edges = {t for span in spans for t in span}
    assert {t for span in joined for t in span} <= edges
