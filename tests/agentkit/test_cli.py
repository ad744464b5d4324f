"""The command line over a session that is made up here: every output compared whole."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.cli import main, show
from agentkit.cli.options import Options
from agentkit.errors import QuestionError, VideoOpenError
from agentkit.types import (
    Answer,
    Chunk,
    ChunkHit,
    Citation,
    Coverage,
    IngestEvent,
    Question,
    SamplingPlan,
    StoredVideo,
    Tier,
)
from agentkit_storage.errors import StoreBusyError, UnknownVideoError

MATCH = StoredVideo(
    *("ab" * 32, "/v/match.mp4", 3725.5, 93_138, 3726, 1.0, 233, "ready", ("notes", "kv")),
    width_px=1280,
    height_px=720,
    has_sound=True,
    instruments=("objects", "speech"),
    missing=("ocr: extra 'ocr' is not installed",),
    warnings=("2 damaged frames",),
)
TALK = StoredVideo("cd" * 32, "/v/talk.mkv", 80.0, 800, 80, 1.0, 5, "ingesting", ("notes",))
COVERAGE = Coverage(
    *("notes/tiny (asked for)", 80, 800, 1.0, (0, 3), 5, 412, ("objects", "speech")),
    missing=("ocr: extra 'ocr' is not installed",),
    seconds={"search": 0.25, "generate": 1.0},
)
ANSWER = Answer(
    Question("Who scores?"),
    "The player in red scores.",
    (
        Citation(MATCH.video_id, 12.9, 20.0, "goal, person in red", 14.0),
        Citation(TALK.video_id, 3661.0, 3700.0, 'says "goal"'),
    ),
    COVERAGE,
    supported=True,
)
HITS = [
    ChunkHit(Chunk(MATCH.video_id, 3, 48.0, 64.0, 12, 4), 0.8312, "goal"),
    ChunkHit(Chunk(TALK.video_id, 0, 0.0, 16.0, 0, 4), 0.5, 'says "goal"'),
]
SEEN = (
    "seen: 80 of 800 frames (one every 1 s) by objects, speech; 2 of 5 chunks read whole; "
    "notes/tiny (asked for); 1.2 s\n"
    "not seen: ocr: extra 'ocr' is not installed\n"
)
CITED = '[match.mp4 00:12-00:20] goal, person in red\n[talk.mkv 1:01:01-1:01:40] says "goal"\n'


TIERS = [
    Tier("notes", "", "a" * 200, 1234, 233, ""),
    Tier("vectors", "text", "minilm", 99, 230, "float16"),
    Tier("kv", "", "b" * 64, 5_000_000, 233, "float16", 86400.0 * 365, True),
]
USED = datetime.fromtimestamp(86400.0 * 365)  # as the clock on the wall has it


class FakeSession:
    """Answers as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.stored = [MATCH, TALK]
        self.asked: list[tuple[Any, ...]] = []
        self.held_to: list[dict[str, Any]] = []
        self.more: list[dict[str, Any]] = []  # that an ingest was told
        self.pieces = ["The player ", "in red scores."]
        self.answer = ANSWER
        self.hits = HITS
        self.fails: dict[str, BaseException] = {}
        self.is_open = False

    def __enter__(self) -> Self:
        self.is_open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.is_open = False

    def _note(self, *what: Any) -> None:
        assert self.is_open
        self.asked.append(what)
        if what[0] in self.fails:
            raise self.fails[what[0]]

    def ingest(
        self,
        path: str,
        plan: SamplingPlan | None,
        on_event: Callable[[IngestEvent], None],
        **more: Any,
    ) -> StoredVideo:
        self.more.append(more)
        start = IngestEvent("start", MATCH.video_id, str(path), of=2)
        on_event(start)
        on_event(replace(start, event="stage", stage="speech", share=0.5))
        on_event(replace(start, event="chunk", chunk=1, seconds=1.5))
        self._note("ingest", str(path), plan)
        on_event(replace(start, event="chunk", chunk=2, seconds=3.0))
        on_event(replace(start, event="done", chunk=2, seconds=3.25))
        return replace(MATCH, path=str(path))

    def ask(
        self,
        text: str,
        videos: Sequence[str] | None = None,
        *,
        on_text: Callable[[str], None] | None = None,
        history: Sequence[tuple[str, str]] = (),
        on_event: Callable[[IngestEvent], None] | None = None,
        **where: Any,
    ) -> Answer:
        self.held_to.append(where)
        self._note("ask", text, videos, history)
        for piece in self.pieces if on_text else ():
            on_text(piece)  # type: ignore[misc]  # it is there
        return self.answer

    def search(
        self,
        text: str,
        videos: Sequence[str] = (),
        k: int = 10,
        **where: Any,
    ) -> list[ChunkHit]:
        self.held_to.append(where)
        self._note("search", text, videos, k)
        return self.hits[:k]

    def videos(self, **which: Any) -> list[StoredVideo]:
        if which:
            self.held_to.append(which)
        collection = which.get("collection")
        return [video for video in self.stored if collection in (None, video.collection)]

    def tag(self, name: str, add: Sequence[str], remove: Sequence[str]) -> StoredVideo:
        video = self.video(name)
        self._note("tag", video.video_id, list(add), list(remove))
        return replace(video, tags=tuple(add))

    def tiers(self, video: StoredVideo) -> list[Tier]:
        return TIERS

    def pin(self, video: StoredVideo, pinned: bool) -> None:
        self._note("pin", video.video_id, pinned)

    def video(self, name: str) -> StoredVideo:
        for video in self.stored:
            if video.video_id.startswith(name):
                return video
        raise UnknownVideoError(name, ["match.mp4", "talk.mkv"])

    def remove(self, name: str) -> None:
        self.stored.remove(self.video(name))


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path / "home"))
    for name in ("STORE", "CONFIG", "OFFLINE", "DISABLE_PLUGINS"):
        monkeypatch.delenv(f"AGENTKIT_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    fake = FakeSession()
    monkeypatch.setattr(Options, "open_session", lambda self, settings=None: fake)
    return fake


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line; give the exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_ask_prints_answer_and_citations_and_says_beside_it_what_was_seen(
    session: FakeSession, run: Any
) -> None:
    assert run("ask", "Who scores?") == (0, f"The player in red scores.\n{CITED}", SEEN)
    assert session.asked == [("ask", "Who scores?", None, ())]
    assert not session.is_open


def test_ask_takes_videos_in_the_order_given(session: FakeSession, run: Any) -> None:
    assert run("ask", "Who?", "--video", "cd", "--video", "/v/match.mp4")[0] == 0
    assert session.asked == [("ask", "Who?", ["cd", "/v/match.mp4"], ())]


@pytest.mark.parametrize(
    ("pieces", "text", "screen"),
    [
        (["The ", "end."], "The end.", "The end.\n"),
        (["The ", "end.\n"], "The end.", "The end.\n"),
        (["The "], "The end, as seen.", "The end, as seen.\n"),
        (["A: the end"], "The end.", "A: the end\nThe end.\n"),
        (
            [],
            "Nothing in the video supports an answer.",
            "Nothing in the video supports an answer.\n",
        ),
    ],
)
def test_a_terminal_sees_the_text_as_it_comes_and_in_the_end_the_answer(
    session: FakeSession,
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
    pieces: list[str],
    text: str,
    screen: str,
) -> None:
    monkeypatch.setattr(show, "stream_is_terminal", lambda: True)
    session.pieces, session.answer = pieces, replace(ANSWER, text=text, citations=())
    assert run("ask", "What?") == (0, screen, SEEN)


def test_ask_json_is_as_documented(session: FakeSession, run: Any) -> None:
    code, out, err = run("ask", "Who scores?", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out) == {
        "text": "The player in red scores.",
        "citations": [
            {
                "video_id": MATCH.video_id,
                "start_s": 12.9,
                "end_s": 20.0,
                "why": "goal, person in red",
                "frame_s": 14.0,
            },
            {
                "video_id": TALK.video_id,
                "start_s": 3661.0,
                "end_s": 3700.0,
                "why": 'says "goal"',
                "frame_s": None,
            },
        ],
        "coverage": {
            "engine": "notes/tiny (asked for)",
            "frames_seen": 80,
            "frames_in_file": 800,
            "step_s": 1.0,
            "dense_chunks": [0, 3],
            "chunks": 5,
            "tokens": 412,
            "instruments": ["objects", "speech"],
            "missing": ["ocr: extra 'ocr' is not installed"],
            "seconds": {"search": 0.25, "generate": 1.0},
            "tier": "kv",
            "reading": "",
        },
        "question": "Who scores?",
        "supported": True,
        "fields": {},
        "findings": [],
    }


def test_chat_hands_on_what_was_said_before(
    session: FakeSession, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Who scores?\n\nAnd then?\nexit\nnot asked\n"))
    answered = f"The player in red scores.\n{CITED}"
    assert run("chat", "--video", "ab") == (0, answered * 2, SEEN * 2)
    first = ("Who scores?", "The player in red scores.")
    assert session.asked == [
        ("ask", "Who scores?", ["ab"], ()),
        ("ask", "And then?", ["ab"], (first,)),
    ]


def test_chat_goes_on_after_a_bad_question_and_ends_with_the_input(
    session: FakeSession, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\0\n"))
    session.fails["ask"] = QuestionError("the question holds control characters")
    assert run("chat") == (0, "\n", "error: the question holds control characters\n")


def test_search_prints_hits_best_first(session: FakeSession, run: Any) -> None:
    assert run("search", "goal", "-k", "5", "--video", "ab") == (
        0,
        '[match.mp4 00:48-01:04] 0.83 goal\n[talk.mkv 00:00-00:16] 0.50 says "goal"\n',
        "",
    )
    assert session.asked == [("search", "goal", ["ab"], 5)]


def test_search_that_finds_nothing_says_so(session: FakeSession, run: Any) -> None:
    session.hits = []
    assert run("search", "whale") == (0, "", "nothing near enough was found\n")
    assert run("search", "whale", "--json") == (0, '{"hits": []}\n', "")


def test_search_json_is_as_documented(session: FakeSession, run: Any) -> None:
    code, out, err = run("search", "goal", "-k", "1", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "hits": [
            {
                "video_id": MATCH.video_id,
                "start_s": 48.0,
                "end_s": 64.0,
                "score": 0.8312,
                "why": "goal",
            }
        ]
    }


LISTED = (
    "ID            NAME       LENGTH   CHUNKS  STATE      TIERS\n"
    "abababababab  match.mp4  1:02:05  233     ready      notes, kv\n"
    "cdcdcdcdcdcd  talk.mkv   01:20    5       ingesting  notes\n"
)


@pytest.mark.parametrize("arguments", [("videos",), ("videos", "list")])
def test_videos_are_listed(session: FakeSession, run: Any, arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == (0, LISTED, "")


def test_an_empty_store_says_what_to_do(session: FakeSession, run: Any) -> None:
    session.stored = []
    remark = "the store holds no video yet; agentkit ingest PATH\n"
    assert run("videos") == (0, "", remark)
    assert run("videos", "list", "--json") == (0, '{"videos": []}\n', "")


def test_videos_list_json_is_as_documented(session: FakeSession, run: Any) -> None:
    session.stored = [MATCH]
    code, out, _ = run("videos", "list", "--json")
    assert code == 0
    assert json.loads(out) == {
        "videos": [
            {
                "video_id": MATCH.video_id,
                "path": "/v/match.mp4",
                "duration_s": 3725.5,
                "chunks": 233,
                "state": "ready",
                "tiers": ["notes", "kv"],
            }
        ]
    }


def test_only_a_collection_is_listed_and_asked(session: FakeSession, run: Any) -> None:
    session.stored = [MATCH, replace(TALK, collection="talks")]
    code, out, _ = run("videos", "list", "--collection", "talks")
    assert (code, out.count("\n")) == (0, 2)
    assert "talk.mkv" in out
    run("ask", "Who?", "--collection", "talks")
    run("ask", "Who?", "--json")
    run("search", "who", "--collection", "talks")
    talks = {"collection": "talks"}
    assert session.held_to == [talks, talks, {}, talks]


WHERE = ("--tag", "night", "--tag", "door", "--of-domain", "media")
HELD_TO = {"domain": "media", "tags": ("night", "door")}


@pytest.mark.parametrize(
    ("arguments", "held_to"),
    [
        (("videos", "list", *WHERE), HELD_TO),
        (("ask", "Who?", *WHERE), HELD_TO),
        (("search", "who", *WHERE, "--from", "1:02:03.5"), HELD_TO | {"start_s": 3723.5}),
        (("search", "who", "--to", "90"), {"end_s": 90.0}),
        (("ask", "Who?", "--from", "0", "--to", "01:30"), {"start_s": 0.0, "end_s": 90.0}),
    ],
)
def test_filters_reach_the_session(
    session: FakeSession, run: Any, arguments: tuple[str, ...], held_to: dict[str, Any]
) -> None:
    code, _, _ = run(*arguments)
    assert code == 0
    assert session.held_to == [held_to]


def test_what_is_no_time_is_one_line(session: FakeSession, run: Any) -> None:
    said = "error: 'noon' is no time; write seconds, MM:SS or HH:MM:SS.mmm\n"
    assert run("search", "who", "--from", "noon") == (1, "", said)
    assert session.held_to == []


def test_tags_are_put_on_and_taken_off(session: FakeSession, run: Any) -> None:
    arguments = ("videos", "tag", "ab", "--add", "night", "--add", "door", "--remove", "day")
    assert run(*arguments) == (0, "abababababab  match.mp4  night, door\n", "")
    said = json.dumps({"video_id": MATCH.video_id, "tags": ["day"]})
    assert run("videos", "tag", "ab", "--add", "day", "--json") == (0, f"{said}\n", "")
    assert run("videos", "tag", "ab") == (0, "abababababab  match.mp4  no tag\n", "")
    assert session.asked[0] == ("tag", MATCH.video_id, ["night", "door"], ["day"])


def test_an_answer_from_frames_says_so(session: FakeSession, run: Any) -> None:
    session.answer = replace(ANSWER, coverage=replace(COVERAGE, tier="frames"))
    _, _, err = run("ask", "Who?")
    assert "tier: frames; its tokens could not be read, and were made again from the file" in err


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (10**12, "1000.0 GB")],
)
def test_sizes_are_for_people(nbytes: int, text: str) -> None:
    assert show.size(nbytes) == text


def test_kv_is_pinned_and_let_go(session: FakeSession, run: Any) -> None:
    assert run("videos", "pin", "ab") == (0, "pinned abababababab  match.mp4\n", "")
    assert run("videos", "pin", "ab", "--off") == (0, "unpinned abababababab  match.mp4\n", "")
    said = json.dumps({"video_id": MATCH.video_id, "pinned": False})
    assert run("videos", "pin", "ab", "--off", "--json") == (0, f"{said}\n", "")
    assert session.asked == [("pin", MATCH.video_id, pinned) for pinned in (True, False, False)]


def test_a_video_is_shown_with_what_was_not_seen(session: FakeSession, run: Any) -> None:
    assert run("videos", "show", "ab") == (
        0,
        f"id:          {MATCH.video_id}\n"
        "path:        /v/match.mp4\n"
        "title:       -\n"
        "length:      1:02:05\n"
        "picture:     1280x720, sound\n"
        "frames:      3726 of 93138, one every 1 s\n"
        "chunks:      233\n"
        "state:       ready\n"
        "collection:  default\n"
        "domain:      -\n"
        "tags:        -\n"
        "tiers:       notes, kv\n"
        "seen by:     objects, speech\n"
        "not seen:    ocr: extra 'ocr' is not installed\n"
        "warning:     2 damaged frames\n"
        "\n"
        "TIER            BYTES      CHUNKS  NUMBERS  USED              MAKING\n"
        "notes           1,234      233     -        -                 c2a908d98f5d\n"
        "vectors (text)  99         230     float16  -                 minilm\n"
        f"kv, pinned      5,000,000  233     float16  {USED:%Y-%m-%d %H:%M}  a0fab1377f49\n",
        "",
    )
    code, out, _ = run("videos", "show", "ab", "--json")
    assert code == 0
    assert json.loads(out)["missing"] == ["ocr: extra 'ocr' is not installed"]
    assert json.loads(out)["kept"][2] == {
        "name": "kv",
        "part": "",
        "fingerprint": "b" * 64,
        "nbytes": 5_000_000,
        "chunks": 233,
        "dtype": "float16",
        "used_at": 86400.0 * 365,
        "pinned": True,
    }


def test_a_video_is_removed(session: FakeSession, run: Any) -> None:
    assert run("videos", "remove", "ab") == (0, "removed abababababab  match.mp4\n", "")
    assert session.stored == [TALK]
    removed = json.dumps({"removed": TALK.video_id})
    assert run("videos", "remove", "cd", "--json") == (0, f"{removed}\n", "")


def test_ingest_prints_a_line_for_each_video(session: FakeSession, run: Any) -> None:
    assert run("ingest", "a.mp4", "b.mkv") == (
        0,
        "abababababab  a.mp4  1:02:05  233 chunks  3.2 s of work\n"
        "abababababab  b.mkv  1:02:05  233 chunks  3.2 s of work\n",
        "",
    )
    assert session.asked == [("ingest", "a.mp4", None), ("ingest", "b.mkv", None)]


def test_ingest_json_is_as_documented(session: FakeSession, run: Any) -> None:
    code, out, err = run("ingest", "a.mp4", "--json")
    assert (code, err) == (0, "")
    common = {"video_id": MATCH.video_id, "of": 2, "path": "a.mp4", "message": ""}
    assert [json.loads(line) for line in out.splitlines()] == [
        {"event": "start", "chunk": 0, "seconds": 0.0} | common,
        {"event": "chunk", "chunk": 1, "seconds": 1.5} | common,
        {"event": "chunk", "chunk": 2, "seconds": 3.0} | common,
        {"event": "done", "chunk": 2, "seconds": 3.25} | common,
    ]


def test_a_folder_is_searched_for_videos_and_a_file_taken_once(
    session: FakeSession, run: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "films"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.MP4", "a.mkv", "notes.txt", "sub/c.avi"):
        (folder / name).touch()
    code, *_ = run("ingest", "films", "films/a.mkv", "odd.name")
    assert code == 0
    assert [path for _, path, _ in session.asked] == [
        *("films/a.mkv", "films/b.MP4", "films/sub/c.avi", "odd.name")
    ]


def test_a_folder_without_video_is_wrong_usage(
    session: FakeSession, run: Any, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert run("ingest", "empty") == (
        2,
        "",
        "error: empty: no video in this folder; name a file to try it all the same\n",
    )


def test_flags_of_ingest_make_a_plan_over_the_settings(
    session: FakeSession, run: Any, tmp_path: Path
) -> None:
    (tmp_path / "agentkit.toml").write_text("[sampling]\nmax_fps = 4.0\nfps = 2.0\n")
    run("ingest", "a.mp4")
    run("ingest", "a.mp4", "--max-frames", "9")
    run("ingest", "a.mp4", "--fps", "0.5")
    assert [plan for _, _, plan in session.asked] == [
        None,
        SamplingPlan("fps", 2.0, 9, 4.0),
        SamplingPlan("fps", 0.5, None, 4.0),
    ]
    assert run("ingest", "a.mp4", "--fps", "-1")[0::2] == (
        2,
        "error: setting 'sampling.fps': input should be greater than 0, not -1.0 "
        f"(settings read from {tmp_path / 'agentkit.toml'})\n",
    )


def test_one_bad_file_does_not_stop_the_others(session: FakeSession, run: Any) -> None:
    session.fails["ingest"] = VideoOpenError("a.mp4: not a video")
    error = "error: a.mp4: not a video\n"
    assert run("ingest", "a.mp4", "b.mp4") == (1, "", error * 2)
    code, out, err = run("ingest", "a.mp4", "--json")
    assert (code, err) == (1, error)
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["start", "chunk", "error"]
    last = json.loads(out.splitlines()[-1])
    assert (last["message"], last["chunk"], last["of"]) == ("a.mp4: not a video", 1, 2)


def test_tags_and_anew_reach_the_ingest(session: FakeSession, run: Any) -> None:
    code, _, _ = run("ingest", "a.mp4", "--tag", "night", "--tag", "door", "--anew")
    assert (code, session.more) == (0, [{"tags": ["night", "door"], "anew": True}])
    said = "error: 'a,b' is no tag; use up to 64 characters, and no comma\n"
    assert run("ingest", "a.mp4", "--tag", "a,b") == (2, "", said)
    session.fails["ingest"] = KeyboardInterrupt()
    assert "run it again without --anew" in run("ingest", "a.mp4", "--anew")[2]


def test_an_interrupted_ingest_says_that_it_resumes(session: FakeSession, run: Any) -> None:
    session.fails["ingest"] = KeyboardInterrupt()
    code, out, err = run("ingest", "a.mp4")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == (
        "error: interrupted; every finished chunk is kept: "
        "run the same command again and it resumes there"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serch", "x"), "unknown command 'serch'; did you mean 'search'?"),
        (("videos", "lst"), "unknown command 'lst'; did you mean 'list'?"),
        (("ask", "x", "--vidoe", "y"), "unknown option '--vidoe'; did you mean '--video'?"),
        (("ask",), "Missing argument 'QUESTION'."),
        (("videos", "show", "match.mp"), "unknown video 'match.mp'; did you mean 'match.mp4'?"),
        (("models", "path", "minilmm"), "unknown model 'minilmm'; did you mean 'minilm'?"),
        (
            ("doctor", "--encoder", "note"),
            "setting 'encoder': input should be 'auto', 'notes' or 'videoxl2', not 'note'",
        ),
    ],
)
def test_wrong_usage_is_one_line_with_the_nearest_name(
    session: FakeSession, run: Any, arguments: tuple[str, ...], message: str
) -> None:
    assert run(*arguments) == (2, "", f"error: {message}\n")


def test_an_unknown_domain_is_one_line(run: Any) -> None:
    message = "error: unknown domain 'medai'; did you mean 'media'?\n"
    assert run("--domain", "medai", "videos") == (2, "", message)


def test_a_domains_settings_want_a_domain(run: Any) -> None:
    message = "error: --set is for a domain's own settings; say which: --domain NAME\n"
    assert run("--set", "sport=true", "videos") == (2, "", message)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StoreBusyError("store is locked;\nwait"), "store is locked; wait"),
        (VideoOpenError("x.mp4: not a video"), "x.mp4: not a video"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (TypeError("oops"), "TypeError: oops; this is a defect, -vv shows where it happened"),
    ],
)
def test_an_error_is_one_line_and_a_traceback_only_on_request(
    session: FakeSession, run: Any, error: Exception, message: str
) -> None:
    session.fails["ask"] = error
    assert run("ask", "x") == (1, "", f"error: {message}\n")
    code, out, err = run("ask", "x", "-vv")
    assert (code, out) == (1, "")
    assert err.startswith("Traceback")
    assert err.endswith(f"error: {message}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--store", "s", "--domain", "media", "--encoder", "notes", "-v", "videos", "list", "-v"),
        ("videos", "list", "--store", "s", "--domain", "media", "--encoder", "notes", "-vv"),
        ("--store", "lost", "-v", "videos", "--store", "s", "--domain", "media", "list",
         "--encoder", "notes", "-v"),
    ],
)  # fmt: skip
def test_common_options_stand_anywhere_and_the_last_wins(
    run: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    seen = []

    def open_session(options: Options, settings: object = None) -> FakeSession:
        seen.append(options.settings())
        assert options.verbose == 2
        return FakeSession()

    monkeypatch.setattr(Options, "open_session", open_session)
    assert run(*arguments)[0] == 0
    assert [(one.store, one.domain, one.encoder) for one in seen] == [(Path("s"), "media", "notes")]


def test_what_a_file_is_called_cannot_command_a_terminal(session: FakeSession, run: Any) -> None:
    session.stored = [replace(MATCH, path="/v/\x1b[2Jred\udcff\n.mp4")]
    session.answer = replace(ANSWER, citations=(replace(ANSWER.citations[0], why="a\x07b\nc"),))
    _, out, _ = run("ask", "Who?")
    assert out.splitlines()[-1] == "[ [2Jred  .mp4 00:12-00:20] a b c"


def test_the_version_is_said(run: Any) -> None:
    assert run("--version") == (0, f"agentkit {version('videoxl2-agentkit')}\n", "")


def test_help_without_a_command_is_wrong_usage(run: Any) -> None:
    code, out, err = run()
    assert (code, err) == (2, "")
    assert out.startswith("Usage: agentkit [OPTIONS] COMMAND")


@given(st.floats(0, 360_000))
def test_a_clock_reads_back_to_the_second(seconds: float) -> None:
    parts = [int(part) for part in show.clock(seconds).split(":")]
    hours, minutes, rest = [0, *parts][-3:]
    assert hours * 3600 + minutes * 60 + rest == int(seconds)
    assert max(minutes, rest) < 60
