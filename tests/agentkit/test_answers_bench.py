"""The answers benchmark judges strictly, draws films whose seconds are true, and resumes."""

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import answers  # noqa: E402 — benchmarks are scripts, found by the line above
import answers_table as table  # noqa: E402
import common  # noqa: E402
import films  # noqa: E402
import ingest  # noqa: E402
import judging  # noqa: E402
from judging import Asked, Searched, judge  # noqa: E402

CARS = Asked("q", "c.mp4", "seen", "easy", "What passes?", (("car",),), ((4.0, 6.0),))
COUNT = Asked("q", "c.mp4", "count", "easy", "How many?", (("2", "pair"),), ((4.0, 6.0),))
WHEN = Asked("q", "c.mp4", "when", "easy", "When?", (), ((4.0, 6.0),))
BOTH = Asked("q", "c.mp4", "text", "easy", "What?", (("fire",), ("point", "place")), ((4.0, 6.0),))
ABSENT = Asked("q", "c.mp4", "absent", "easy", "What does the dog catch?")
HERE = [(5.0, 9.0)]


def answered(asked: Asked, text: str, supported: bool | None = True) -> bool:
    return judge(asked, text, supported, HERE).answered


def is_false(text: str, supported: bool | None = None) -> bool:
    return judge(ABSENT, text, supported, ()).false


@pytest.mark.parametrize(
    "text",
    ["A car.", "Two cars pass by.", "CARS!", "A red car; no trucks.", "It is not a bus but a car."],
)
def test_right_words_are_right(text: str) -> None:
    assert answered(CARS, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A bus.",
        "A carpet and a cartoon.",
        "There are no cars.",
        "No red or blue cars.",
        "It isn't a car.",
        "Vehicles other than buses, never a car.",
        "The notes do not mention it. Perhaps a car.",
        "No information is given about a car.",
    ],
)
def test_wrong_missing_and_denied_words_are_wrong(text: str) -> None:
    assert not answered(CARS, text)


def test_a_wrong_word_beside_the_right_one_is_wrong() -> None:
    who = Asked("q", "c.mp4", "seen", "easy", "Who walks?", (("person",),), tuple(HERE), ("car",))
    assert answered(who, "A person walks.")
    assert not answered(who, "The person who walks is a car.")
    assert answered(who, "A person walks, not a car.")


def test_another_colour_beside_the_right_one_is_wrong() -> None:
    text = "What colour is the car beside the white bus?"
    colour = Asked("q", "c.mp4", "seen", "hard", text, (("red",),), tuple(HERE))
    assert answered(colour, "It is red.")
    assert answered(colour, "The car beside the white bus is red.")
    assert not answered(colour, "Red or blue.")


def test_an_answer_marked_unsupported_is_no_answer() -> None:
    assert not answered(CARS, "A car.", supported=False)
    assert answered(CARS, "A car.", supported=None)


@pytest.mark.parametrize("text", ["Fire assembly point", "the place of the fire"])
def test_every_group_needs_one_of_its_words(text: str) -> None:
    assert answered(BOTH, text)


@pytest.mark.parametrize("text", ["Fire", "Assembly point", "No fire. A point."])
def test_a_missing_or_denied_group_is_wrong(text: str) -> None:
    assert not answered(BOTH, text)


@pytest.mark.parametrize(
    "text",
    [
        "2",
        "Two.",
        "There are two men.",
        "At 12.5s, 2 men.",
        "Between 3-7 seconds two men",
        "A pair",
    ],
)
def test_the_first_number_that_is_no_time_counts(text: str) -> None:
    assert answered(COUNT, text)


@pytest.mark.parametrize(
    "text",
    [
        "3",
        "12 men",
        "2s",
        "at 0:02 some men",
        "3 or 2",
        "two or three",
        "2, 3, 4",
        "not 2 men",
        "men",
    ],
)
def test_other_numbers_lists_of_numbers_and_times_are_wrong(text: str) -> None:
    assert not answered(COUNT, text)


def test_words_are_compared_in_one_form() -> None:
    assert judging.words_of("Twelve boxes, 3 people") == ["12", "box", "3", "person"]
    assert judging.words_of("It isn\u2019t a bus") == ["it", "is", "not", "a", "bus"]


@pytest.mark.parametrize(
    ("cited", "right"),
    [
        ([(5.0, 9.0)], True),
        ([(0.0, 4.01)], True),
        ([(0.0, 1.0), (5.9, 30.0)], True),
        ([(0.0, 4.0)], False),  # touching is not overlapping
        ([(6.0, 9.0)], False),
        ([], False),
    ],
)
def test_a_citation_is_right_if_it_overlaps_the_true_seconds(
    cited: list[tuple[float, float]], right: bool
) -> None:
    assert judge(CARS, "A car.", True, cited).cited is right
    assert judge(WHEN, "Then.", True, cited).answered is right


def test_a_wrong_answer_is_never_cited_rightly() -> None:
    assert not judge(CARS, "A bus.", True, HERE).cited


def test_seconds_count_from_where_the_clip_begins_in_the_film() -> None:
    assert judge(CARS, "A car.", True, [(105.0, 106.0)], offset_s=100.0).cited
    assert not judge(CARS, "A car.", True, HERE, offset_s=100.0).cited


def test_the_share_of_cited_seconds_that_are_true() -> None:
    assert judge(CARS, "A car.", True, [(5.0, 9.0)]).cited_share == pytest.approx(0.25)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The notes do not mention a dog.",
        "There is no dog.",
        "Nothing in the notes of this video supports an answer (80 frames looked at).",
        "It's not possible to say.",
        "The dog doesn't catch anything.",
        "No one.",
        "Unknown.",
    ],
)
def test_saying_so_is_right_where_nothing_can_be_answered(text: str) -> None:
    assert not is_false(text)


@pytest.mark.parametrize(
    "text",
    [
        "A ball.",
        "The dog catches a ball. Its colour is not mentioned.",
        "The dog catches nothing but a ball.",
        "Note the ball.",
    ],
)
def test_claims_are_false_where_nothing_can_be_answered(text: str) -> None:
    assert is_false(text)


def test_an_unsupported_claim_counts_as_abstained() -> None:
    assert not is_false("A ball.", supported=False)


def test_precision_looks_at_the_hits_there_are() -> None:
    wanted = Searched("cars", {"a": ((4.0, 6.0),)})
    assert judging.precision([("a", (0.0, 5.0)), ("b", (4.0, 6.0))], wanted) == 0.5
    assert judging.precision([("a", (0.0, 5.0))], wanted) == 1.0
    assert judging.precision([], wanted) == 0.0


def test_the_questions_are_many_unlike_and_do_not_give_the_answer_away() -> None:
    asked, searched = judging.load_questions()
    can = [each for each in asked if each.answerable]
    assert len(can) >= 60
    assert len(asked) - len(can) >= 15
    assert len({each.id for each in asked}) == len({each.text for each in asked}) == len(asked)
    assert {each.kind for each in can} == set(judging.KINDS)
    assert {each.clip for each in asked} == set(films.CLIPS)
    assert [each.id for each in can if each.words and judging.says(each, each.text)] == []
    assert sum(bool(each.relevant) for each in searched) == 10
    assert sum(not each.relevant for each in searched) == 10


def test_spans_lie_inside_their_clips() -> None:
    lengths = {  # seconds of the picture
        "bigbuckbunny.mp4": 5.28,
        "bikes.mp4": 10.0,
        "box.mp4": 15.184,
        "cup.mp4": 8.104,
        "obama_speech.mp4": 8.713,
        "tree.avi": 29.6002,
        "vtest.avi": 79.5,
    }
    asked, _ = judging.load_questions()
    for each in asked:
        for start, end in each.spans:
            assert 0 <= start < end <= lengths[each.clip], each.id


# --- films ---

SMALL = films.FilmPlan("small", 30.0, seed=3, width_px=160, height_px=120)


def draw_clip(path: Path, colour: tuple[int, int, int], tone_hz: float) -> Path:
    """Draw two seconds: the colour grows brighter each frame; a tone sounds in the second one."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=20)
        video.width, video.height, video.pix_fmt = 96, 72, "yuv420p"
        audio = out.add_stream("aac", rate=24_000, layout="mono")
        for number in range(40):
            picture = np.full((72, 96, 3), colour, np.uint8) + np.uint8(2 * number)
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode(None))
        seconds = np.arange(48_000) / 24_000
        tone = 0.5 * np.sin(2 * np.pi * tone_hz * seconds) * (seconds >= 1)
        sound = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], "fltp", "mono")
        sound.sample_rate = 24_000
        out.mux(audio.encode(sound))
        out.mux(audio.encode(None))
    return path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[films.Film, dict[str, Path]]:
    folder = tmp_path_factory.mktemp("films")
    clips = {
        "red": draw_clip(folder / "red.mp4", (150, 20, 20), 440.0),
        "blue": draw_clip(folder / "blue.mp4", (20, 20, 150), 880.0),
    }
    return films.film(SMALL, clips, folder), clips


def picture_at(path: Path, time_s: float) -> np.ndarray:
    with av.open(str(path)) as source:
        shown = None
        for frame in source.decode(video=0):
            if frame.time > time_s + 1e-6:
                break
            shown = frame
    return films.fitted(shown, SMALL).astype(np.float32)


def test_a_film_shows_each_clip_at_its_second(
    drawn: tuple[films.Film, dict[str, Path]],
) -> None:
    made, clips = drawn
    for name, path in clips.items():
        for at_s in (0.0, 1.0, 1.9):
            wanted = picture_at(path, at_s)
            shown = picture_at(made.path, made.offsets_s[name] + at_s)
            assert np.abs(wanted - shown).mean() < 6, (name, at_s)
        before = picture_at(made.path, made.offsets_s[name] - 0.1)
        after = picture_at(made.path, made.offsets_s[name] + made.lengths_s[name])
        assert np.abs(before - picture_at(path, 0.0)).mean() > 12
        assert np.abs(after - picture_at(path, 1.9)).mean() > 12


def test_a_film_sounds_when_its_clips_do(drawn: tuple[films.Film, dict[str, Path]]) -> None:
    made, clips = drawn
    sound = films.clip_sound(made.path)
    for name in clips:
        begin = made.offsets_s[name]
        quiet = sound[round((begin + 0.2) * films.RATE_HZ) : round((begin + 0.8) * films.RATE_HZ)]
        loud = sound[round((begin + 1.2) * films.RATE_HZ) : round((begin + 1.8) * films.RATE_HZ)]
        assert np.sqrt((quiet**2).mean()) < 0.02 < 0.2 < np.sqrt((loud**2).mean())


def test_a_film_has_its_length_and_each_clip_once(
    drawn: tuple[films.Film, dict[str, Path]],
) -> None:
    made, clips = drawn
    with av.open(str(made.path)) as source:
        assert source.streams.video[0].frames == SMALL.duration_s * SMALL.fps
    ranges = sorted((at, at + made.lengths_s[name]) for name, at in made.offsets_s.items())
    assert set(made.offsets_s) == set(clips)
    assert ranges[0][0] >= films.SHORTEST_GAP_S - 0.1
    assert ranges[1][0] - ranges[0][1] >= films.SHORTEST_GAP_S - 0.1
    assert ranges[1][1] <= made.duration_s - films.SHORTEST_GAP_S + 0.1


def test_a_film_is_drawn_once_and_another_seed_is_another_film(
    drawn: tuple[films.Film, dict[str, Path]], tmp_path: Path
) -> None:
    made, clips = drawn
    changed_ns = made.path.stat().st_mtime_ns
    assert films.film(SMALL, clips, made.path.parent) == made
    assert made.path.stat().st_mtime_ns == changed_ns
    again = films.film(SMALL, clips, tmp_path)
    assert again.offsets_s == made.offsets_s
    other = films.film(films.FilmPlan("small", 30.0, 4, 160, 120), clips, tmp_path)
    assert other.path != again.path
    assert other.offsets_s != again.offsets_s


def test_a_film_too_short_for_its_clips_is_refused(
    drawn: tuple[films.Film, dict[str, Path]], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="too short"):
        films.film(films.FilmPlan("short", 9.0, 3, 160, 120), drawn[1], tmp_path)


@pytest.mark.parametrize("kind", sorted(films.SCENES))
def test_scenes_of_one_kind_differ_and_move(kind: str) -> None:
    first, second = (films.SCENES[kind]((160, 120), np.random.default_rng(s)) for s in (1, 2))
    begin, later = first(0.0).astype(np.float32), first(4.0).astype(np.float32)
    assert np.abs(begin - second(0.0)).mean() > 4
    assert np.abs(begin - later).mean() > 0.5


# --- keeping, resuming, reporting ---


class Asking:
    """Stands where a session would: counts the questions it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Let `run_case` answer from a list, without models, films or store."""
    asking = Asking()

    class Opened:
        def __enter__(self) -> "Opened":
            return self

        def __exit__(self, *error: object) -> None:
            return None

    def answer(session: object, case: answers.Case, asked: Asked, video: object) -> dict:
        asking.asked.append(asked.id)
        if len(asking.asked) == 3:
            raise KeyboardInterrupt
        return {"text": "A car.", "supported": True, "citations": [[4.5, 5.0]], "seconds": 1.0}

    monkeypatch.setattr(answers.Session, "open", lambda settings: Opened())
    monkeypatch.setattr(answers, "ask", answer)
    monkeypatch.setattr(answers, "ingest", lambda session, path: None)
    monkeypatch.setattr(
        answers, "places", lambda film: {"c.mp4": answers.Place(Path("c.mp4"), 0.0)}
    )
    return asking


def questions(count: int) -> list[Asked]:
    return [
        Asked(f"q{n}", "c.mp4", "seen", "easy", f"What passes, {n}?", (("car",),), ((4.0, 6.0),))
        for n in range(count)
    ]


CASE = answers.Case("alone", "small", "dense", {})


def test_a_stopped_run_goes_on_where_it_stopped(asking: Asking, tmp_path: Path) -> None:
    kept = tmp_path / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answers.run_case(CASE, questions(5), answers.Results(kept), tmp_path, "code")
    answers.run_case(CASE, questions(5), answers.Results(kept), tmp_path, "code")
    answers.run_case(CASE, questions(5), answers.Results(kept), tmp_path, "code")
    assert asking.asked == ["q0", "q1", "q2", "q2", "q3", "q4"]
    rows = answers.judged([CASE], questions(5), answers.Results(kept), "code")
    assert [row.verdict.answered for row in rows] == [True] * 5


def test_half_a_line_left_by_a_kill_is_asked_again(asking: Asking, tmp_path: Path) -> None:
    kept = tmp_path / "answers.jsonl"
    answers.run_case(CASE, questions(2), answers.Results(kept), tmp_path, "code")
    kept.write_text(kept.read_text()[:-20])
    assert answers.Results(kept).get(CASE.key(questions(2)[0], "code"))
    assert answers.Results(kept).get(CASE.key(questions(2)[1], "code")) is None


@pytest.mark.parametrize(
    ("case", "code"),
    [
        (answers.Case("10min", "small", "dense", {}), "code"),
        (answers.Case("alone", "large", "dense", {}), "code"),
        (answers.Case("alone", "small", "bilevel", {}), "code"),
        (answers.Case("alone", "small", "dense", {"ask": {"k": 6}}), "code"),
        (CASE, "other code"),
    ],
)
def test_another_film_model_context_setting_or_code_is_asked_anew(
    case: answers.Case, code: str
) -> None:
    assert case.key(questions(1)[0], code) != CASE.key(questions(1)[0], "code")


def test_code_fingerprint_follows_the_source(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_text("x = 1\n")
    before = answers.code_fingerprint(("a",), tmp_path)
    assert answers.code_fingerprint(("a",), tmp_path) == before
    (tmp_path / "a" / "b.py").write_text("x = 2\n")
    assert answers.code_fingerprint(("a",), tmp_path) != before


def judged_row(kind: str, verdict: judging.Verdict, context: str = "dense") -> table.Judged:
    asked = Asked("q", "c.mp4", kind, "easy", "What?", (("car",),), ((4.0, 6.0),))
    return table.Judged(
        "alone", "small", context, asked, "A car.", ((4.0, 6.0),), True, 1.0, verdict
    )


def test_scores_count_each_share_over_the_right_questions() -> None:
    right = judging.Verdict(True, True, False, 1.0)
    elsewhere = judging.Verdict(True, False, False, 0.0)
    wrong = judging.Verdict(False, False, False, 0.0)
    rows = [
        judged_row("seen", right),
        judged_row("seen", elsewhere),
        judged_row("seen", wrong),
        judged_row("when", right),
        judged_row("absent", judging.Verdict(False, False, True, 0.0)),
        judged_row("absent", wrong),
    ]
    (score,) = table.scores(rows)
    assert score.answered == table.Share(3, 4)
    assert score.cited == table.Share(1, 2)  # `when` is cited by definition, so it is left out
    assert score.answered_and_cited == table.Share(2, 4)
    assert score.false == table.Share(1, 2)
    assert score.kinds["when"] == table.Share(1, 1)


def test_requirements_compare_each_in_its_direction() -> None:
    (score,) = table.scores(
        [
            judged_row("seen", judging.Verdict(True, True, False, 1.0)),
            judged_row("seen", judging.Verdict(False, False, False, 0.0)),
            judged_row("absent", judging.Verdict(False, False, True, 0.0)),
        ]
    )
    assert table.unmet([score], {"answered": 0.5, "cited": 1.0, "false": 1.0}) == []
    assert len(table.unmet([score], {"answered": 0.6, "cited": 1.0, "false": 0.1})) == 2
    assert table.parse_requirements("answered=.6,cited=.9,false=.1") == {
        "answered": 0.6,
        "cited": 0.9,
        "false": 0.1,
    }
    with pytest.raises(ValueError, match="known: answered, cited, false"):
        table.parse_requirements("anwsered=.6")


def test_nothing_judged_meets_no_requirement() -> None:
    assert answers.verdict([], {"answered": 0.6}) == 1
    assert answers.verdict([], {}) == 0


def test_failures_are_listed_with_what_was_said() -> None:
    wrong = judged_row("seen", judging.Verdict(False, False, False, 0.0))
    right = judged_row("seen", judging.Verdict(True, True, False, 1.0), context="bilevel")
    listed = table.failures([wrong, right])
    assert "### alone, small, dense" in listed
    assert "not answered" in listed
    assert "bilevel" not in listed


def test_the_page_keeps_what_stands_around_the_table(tmp_path: Path) -> None:
    page = tmp_path / "answers.md"
    page.write_text("above\n<!-- answers:begin -->\nold\n<!-- answers:end -->\nbelow\n")
    table.put_between(page, "answers", "new")
    assert page.read_text() == (
        "above\n<!-- answers:begin -->\n\nnew\n\n<!-- answers:end -->\nbelow\n"
    )
    with pytest.raises(ValueError, match="failures:begin"):
        table.put_between(page, "failures", "new")


def test_the_page_in_docs_has_its_markers() -> None:
    page = (BENCHMARKS.parent / "docs" / "answers.md").read_text()
    for marker in ("answers", "failures"):
        assert page.count(f"<!-- {marker}:begin -->") == page.count(f"<!-- {marker}:end -->") == 1


def test_overrides_become_nested_settings() -> None:
    given = ["ask.k=6", "ask.sparse=pooled", "notes.budget_tokens=40", "offline=true"]
    assert common.parse_overrides(given) == {
        "ask": {"k": 6, "sparse": "pooled"},
        "notes": {"budget_tokens": 40},
        "offline": True,
    }


def test_a_subset_is_spread_over_the_list() -> None:
    ids = [each.id for each in answers.chosen(questions(10), (), 3)]
    assert ids == ["q0", "q3", "q6"]
    assert answers.chosen(questions(10), ("when",), None) == []


def test_results_say_when_where_and_on_what(tmp_path: Path) -> None:
    ratio = common.Ratio("decoding", 12.0, 5.0, "tokens/s", aim=2.0)
    path = common.write_results("speed", {"clip": "vtest.avi"}, (ratio,), folder=tmp_path)
    body = json.loads(path.read_text())
    assert {"date", "commit", "machine", "clip", "name"} <= set(body)
    assert body["ratios"]["decoding"]["met"] is True
    assert str(ratio) == "decoding: 12 / 5 tokens/s = 2.4x  (aim 2x: met)"


def test_peak_memory_keeps_what_is_gone_again() -> None:
    with common.PeakMemory() as memory:
        before = common.tree_rss_bytes()
        block = np.ones(80_000_000, dtype=np.uint8)
        memory.look()
        del block
        after = common.tree_rss_bytes()
    assert memory.peak_bytes - before > 60_000_000 > after - before


@pytest.mark.parametrize(
    ("ratio", "met"),
    [
        (common.Ratio("r", 4.0, 2.0, "s"), True),
        (common.Ratio("r", 4.0, 2.0, "s", aim=2.0), True),
        (common.Ratio("r", 4.0, 2.0, "s", aim=2.1), False),
        (common.Ratio("r", 4.0, 2.0, "s", limit=1.9), False),
        (common.Ratio("r", 4.0, 2.0, "s", limit=2.0), True),
    ],
)
def test_a_ratio_has_an_aim_or_a_limit(ratio: common.Ratio, met: bool) -> None:
    assert ratio.met is met


def test_a_file_joined_to_itself_goes_on_in_time(tmp_path: Path) -> None:
    clip = draw_clip(tmp_path / "clip.mp4", (150, 20, 20), 440.0)
    with av.open(str(ingest.joined(clip, 3, tmp_path))) as source:
        times = [frame.time for frame in source.decode(video=0)]
    assert len(times) == 3 * 40
    assert np.all(np.diff(times) > 0)
    assert times[-1] == pytest.approx(3 * 2.0, abs=0.2)
