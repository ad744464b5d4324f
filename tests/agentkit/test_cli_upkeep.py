"""`store verify|rebuild|gc|stats|migrate` and the filters, by command, on stores that are real."""

import json
import os
import shlex
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from agentkit import Session
from agentkit.cli import main, progress
from agentkit.store_report import VideoReport
from agentkit.types import IngestEvent
from agentkit_storage import Job, Store
from agentkit_storage.schema import REVISION, GroupRow

OpenSession = Callable[..., Session]
Run = Callable[..., tuple[int, str, str]]
QUESTION = "Is there a cut?"
FIRST_REVISION = Path(__file__).parents[1] / "storage" / "data" / "first_revision.tar.gz"


@pytest.fixture
def run(
    open_session: OpenSession,
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command line with tiny models on the test's own store: give exit code and outputs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agentkit.toml").write_text(
        f'store = "store"\nencoder = "notes"\nlanguage_model = {json.dumps(str(tiny_model))}\n'
        '[notes]\ninstruments = ["shots", "motion"]\n'
        '[ask]\nmax_new_tokens = 4\nmin_score = 0.2\ncontext = "dense"\n'
    )

    def run_one(*arguments: str | Path) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_one


@pytest.fixture
def store(run: Run, tmp_path: Path, asked_stores: dict[str, Path]) -> Path:
    """A store of the test's own with the one long clip, asked by nobody else."""
    return Path(shutil.copytree(asked_stores["notes"], tmp_path / "store"))


@pytest.fixture
def video_id(store: Path) -> str:
    with Store.open(store) as kept:
        return kept.videos()[0].video_id


def flip_a_bit(store: Path) -> int:
    """Damage every file of the blobs, which with notes are all of KV; return how many."""
    blobs = list((store / "blobs").rglob("*.safetensors"))
    for blob in blobs:
        data = bytearray(blob.read_bytes())
        data[-5] ^= 1
        blob.write_bytes(data)
    return len(blobs)


def flip_ids(store: Path, video_id: str) -> None:
    with Store.open(store) as kept, kept._db.write("test") as conn:
        mine = (GroupRow.video_id == video_id) & (GroupRow.number == 6)
        ids = conn.scalars(sa.select(GroupRow.ids).where(mine)).one()
        assert ids is not None
        flipped = ids[:-1] + bytes([ids[-1] ^ 1])
        conn.execute(sa.update(GroupRow).where(mine).values(ids=flipped))


def test_a_store_without_problem_is_said_to_be_one(run: Run, store: Path) -> None:
    assert run("store", "verify") == (0, "", "no problems in 1 video\n")
    code, out, err = run("store", "verify", "--json")
    assert (code, json.loads(out), err) == (0, {"problems": [], "videos": 1}, "")


def test_damaged_kv_is_named_and_the_next_question_makes_it_anew(run: Run, store: Path) -> None:
    """What `verify` says to do is what is done here."""
    count = flip_a_bit(store)
    code, out, err = run("store", "verify")
    lines = out.splitlines()
    assert (code, len(lines), err) == (1, count, f"{count} problems in 1 video\n")
    assert sum(line.startswith("long.mp4 00:16-00:32  blob ") for line in lines) == 1
    remedy = "SHA-256 differs; no answer rests on it: the next question that reads it makes the KV"
    assert all(remedy in line for line in lines)
    code, _, err = run("ask", QUESTION)
    assert (code, err.count("the KV is made anew from its tokens")) == (0, 1)
    assert run("store", "verify")[0] == 0


def test_damaged_tokens_are_named_and_an_ingest_makes_them_anew(
    run: Run, store: Path, video_id: str, long_clip: Path
) -> None:
    """The command that `verify` names is the one that is run, and no tag is lost by it."""
    flip_ids(store, video_id)
    code, out, err = run("store", "verify", "--json")
    (problem,) = json.loads(out)["problems"]
    place = {"video_id": video_id, "name": "long.mp4", "start_s": 16.0, "end_s": 32.0}
    assert (code, err) == (1, "")
    assert {key: problem[key] for key in place} == place
    assert problem["what"].startswith("stored tokens are damaged (")
    code, out, _ = run("store", "verify")
    assert out == f"long.mp4 00:16-00:32  {problem['what']}; {problem['remedy']}\n"
    run("videos", "tag", video_id, "--add", "mine")
    _, _, command = problem["remedy"].partition("make it anew: agentkit ")
    assert run(*shlex.split(command), "--tag", "again")[0] == 0
    assert run("store", "verify")[0] == 0
    assert run("videos", "tag", str(long_clip))[1].endswith("  again, mine\n")


def test_a_question_makes_damaged_tokens_anew_as_well(run: Run, store: Path, video_id: str) -> None:
    flip_ids(store, video_id)
    with Store.open(store) as kept:
        kept.drop_kv(video_id)
    code, out, err = run("ask", QUESTION, "--json")
    assert (code, json.loads(out)["coverage"]["tier"]) == (0, "frames")
    assert err.count("\n") == 1
    assert "its tokens are damaged from 16 to 32 s; made anew" in err
    assert run("store", "verify")[0] == 0


def test_a_terminal_sees_the_ingest_that_a_question_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bar from its first event to its last; none where nothing has to be made again."""
    drawn: list[object] = []

    @contextmanager
    def bar(what: str) -> Iterator[Callable[[int, int], None]]:
        drawn.append(what)
        yield lambda done, of: drawn.append((done, of))
        drawn.append("gone")

    monkeypatch.setattr(progress, "bar", bar)
    with progress.again() as on_event:
        assert drawn == []
        for event, chunk in (("start", 0), ("stage", 0), ("chunk", 1), ("chunk", 2), ("done", 2)):
            on_event(IngestEvent(event, "a", "a.mp4", chunk=chunk, of=2))  # type: ignore[arg-type]
        assert drawn == ["made again from its file, chunks", (0, 0), (0, 0), (1, 2), (2, 2), "gone"]


def test_what_nothing_refers_to_is_freed(run: Run, store: Path, video_id: str) -> None:
    with Store.open(store) as kept:
        kept.remove_video(video_id)
        nbytes = kept.stats().unreferenced
    young = store / "blobs" / "ab" / "young.tmp"
    young.parent.mkdir(exist_ok=True)
    young.write_bytes(bytes(10))
    freed = {"freed": nbytes, "unreferenced": 10}
    assert nbytes > 0
    assert json.loads(run("store", "gc", "--json")[1]) == freed
    said = "10 B are of unfinished files younger than 1:00:00\n"
    assert run("store", "gc") == (0, "freed 0 B\n", said)
    old_s = young.stat().st_mtime - 100
    os.utime(young, (old_s, old_s))
    assert run("store", "gc", "--grace", "1:30") == (0, "freed 10 B\n", "")
    assert not young.exists()


def test_stats_count_tiers_and_say_who_works(run: Run, store: Path, video_id: str) -> None:
    with Store.open(store) as kept:
        kept.update_video(video_id, state="ingesting")
        kept.start_job(video_id, 7, "worker-1")
        kept.fail_job(video_id, 7, "killed")
        found = kept.stats()
        with kept.ingest_lock(video_id):
            owner = kept.owner(video_id)
            code, out, err = run("store", "stats", "--json")
            shown = run("store", "stats")[1]
    form = json.loads(out)
    (video,) = form.pop("videos")
    tiers = {"notes": 0, "vectors": 0, "tokens": 0, "kv": 0}
    tiers = {tier: getattr(found.videos[0], tier) for tier in tiers}
    assert (code, err) == (0, "")
    assert form["tiers"] == tiers
    assert form["kv_budget"] is None
    assert all(form[part] > 0 for part in ("database", "blobs"))
    assert owner is not None
    assert video["owner"]["pid"] == owner.pid == os.getpid()
    (job,) = video["jobs"]
    assert (job["chunk"], job["attempts"], job["error"]) == (7, 1, "killed")
    assert f"process {os.getpid()} on {owner.host}" in shown
    assert "chunk 7 with worker-1, attempt 1: killed" in shown
    assert "no budget" in shown
    with Store.open(store) as kept:  # its end was damaged: the last chunk never came
        kept.update_video(video_id, state="ready")
    assert json.loads(run("store", "stats", "--json")[1])["videos"][0]["jobs"] == []


def test_chunks_of_which_the_same_is_said_are_said_together() -> None:
    given = [(3, 2, "killed"), (4, 1, ""), (5, 1, ""), (6, 1, ""), (9, 1, "")]
    jobs = tuple(Job("ab", chunk, tries, "local", error) for chunk, tries, error in given)
    video = VideoReport("ab", "a.mp4", 0, 0, 0, 0, None, jobs)
    assert list(video.job_words()) == [
        "chunk 3 with local, attempt 2: killed",
        "chunks 4-6 with local, attempt 1",
        "chunk 9 with local, attempt 1",
    ]


def test_indexes_are_made_anew(run: Run, store: Path) -> None:
    index = store / "index" / "text.faiss"
    index.unlink(missing_ok=True)
    code, out, err = run("store", "rebuild")
    assert (code, out.startswith("made the indexes anew  "), err) == (0, True, "")
    nbytes = sum(file.stat().st_size for file in index.parent.iterdir())
    assert index.exists()
    assert json.loads(run("store", "rebuild", "--json")[1]) == {"index": nbytes}


def test_an_old_store_is_migrated_and_it_is_said_from_where(run: Run, tmp_path: Path) -> None:
    with tarfile.open(FIRST_REVISION) as archive:
        archive.extractall(tmp_path / "store", filter="data")
    shutil.copytree(tmp_path / "store", tmp_path / "other")
    assert run("store", "migrate") == (0, f"migrated from revision 0001 to {REVISION}\n", "")
    said = f"nothing to do: the store has revision {REVISION}\n"
    assert run("store", "migrate") == (0, said, "")
    _, out, _ = run("store", "migrate", "--json", "--store", "other")
    assert json.loads(out) == {"from": "0001", "to": REVISION}


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("command", ["verify", "rebuild", "gc", "stats", "migrate", "export"])
def test_no_store_is_made_by_looking_after_one(run: Run, command: str, is_there: bool) -> None:
    """Where there is nothing, and in a folder of something else."""
    folder = Path("store")
    if is_there:
        folder.mkdir()
    more = ["--all", "-o", "all.tar"] if command == "export" else []
    code, out, err = run("store", command, *more)
    assert (code, out) == (2, "")
    said = "no store; name one with --store, or agentkit ingest PATH"
    assert err == f"error: {folder.absolute()}: {said}\n"
    assert folder.exists() == is_there
    assert not is_there or list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search", "cut", "--tag", "nigth"], "unknown tag 'nigth'; did you mean 'night'?"),
        (["ask", "cut?", "--tag", "day"], "unknown tag 'day'; known: night"),
        (["videos", "list", "--of-domain", "generall"], "did you mean 'general'?"),
        (["ask", "cut?", "--collection", "film"], "unknown collection 'film'"),
        (["search", "cut", "--video", "long.mp4", "--from", "1:20"], "70.000 s long"),
        (["search", "cut", "--from", "30", "--to", "20"], "ends before it starts"),
        (["ask", "cut?", "--to", "2:00:00"], "is outside the video, which is 70.000 s long"),
        (["videos", "tag", "long.mp4", "--add", "a,b"], "'a,b' is no tag"),
    ],
)
def test_a_filter_that_cannot_be_is_one_line(
    run: Run, store: Path, video_id: str, arguments: list[str], says: str
) -> None:
    run("videos", "tag", video_id, "--add", "night")
    code, out, err = run(*arguments)
    assert (code > 0, out, err.count("\n")) == (True, "", 1), err
    assert says in err


def test_filters_hold_for_search_and_question(run: Run, store: Path, video_id: str) -> None:
    run("videos", "tag", video_id, "--add", "night")
    found = ["--tag", "night", "--of-domain", "general", "--from", "0:40", "--to", "50", "--json"]
    hits = json.loads(run("search", "cut", *found)[1])["hits"]
    assert hits
    assert all(hit["start_s"] < 50 and hit["end_s"] > 40 for hit in hits)
    answer = json.loads(run("ask", QUESTION, *found)[1])
    assert answer["citations"]
    assert all(cite["start_s"] < 50 and cite["end_s"] > 40 for cite in answer["citations"])
    assert run("videos", "list", "--tag", "night")[1].count("\n") == 2


def test_like_chunks_are_held_to_the_filter(open_session: OpenSession, store: Path) -> None:
    session = open_session(store)
    (video,) = session.videos()
    late = session.similar(video, 20.0, start_s=40.0)
    assert sorted(hit.chunk.index for hit in late) == [2, 3, 4]
    assert session.similar(video, 20.0, collection="default")
    assert not np.isnan([hit.score for hit in late]).any()
