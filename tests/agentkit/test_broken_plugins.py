"""Row 36: a plugin that fails in every hook is named, hook by hook, and the rest works."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import invalidate_caches
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer

from agentkit import Session, hookspecs
from agentkit.cli import main
from agentkit.errors import PluginError
from agentkit.hookspecs import hookimpl
from agentkit.plugin_manager import Domain, Plugin
from agentkit.testing import RecordedSession, stored_video
from agentkit.types import (
    Answer,
    Chunk,
    ChunkHit,
    Coverage,
    Evidence,
    Note,
    Question,
    Report,
    VideoInfo,
)

OpenSession = Callable[..., Session]

SPECS = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, "agentkit_spec")}
REGISTERING = {name for name in SPECS if name.startswith("register_")} - {"register_tools"}
FIRST = {name for name, spec in SPECS.items() if spec.agentkit_spec["firstresult"]}
CLOSED = {"redact_frames", "redact_text"}
INGEST = {"plan_sampling", "register_instruments", "describe_chunk", "system_prompt"}

VIDEO = stored_video()
OTHER = stored_video("/films/other.mp4", video_id="cd" * 32)
CHUNK = Chunk(VIDEO.video_id, 0, 0.0, 16.0, 0, 4)
HIT = ChunkHit(CHUNK, 0.9, "a dog")
COVERAGE = Coverage("notes", 80, 800, 1.0, (0,), 5, 120, ("objects",))
EVIDENCE = Evidence((HIT,), (), (), COVERAGE, True)
QUESTION = Question("Who?", ("Ann", "Ben"))
ANSWER = Answer(QUESTION, "Ann.", (), COVERAGE, supported=True)
IMAGE = np.zeros((4, 6, 3), np.uint8)


def info() -> VideoInfo:
    fields = dict.fromkeys(VideoInfo.__slots__, 0)
    return VideoInfo(**fields)  # type: ignore[arg-type]  # nobody looks at it


def session() -> RecordedSession:
    noted = {VIDEO.video_id: [Note(20.0, 20.0, "shot", "cut")]}
    return RecordedSession([VIDEO, OTHER], noted)


def registered(hook: str, domain: Domain) -> list[Any]:
    given: list[Any] = []
    getattr(domain, hook)(lambda *item: given.append(item))
    return given


def commands(domain: Domain) -> int:
    cli = typer.Typer()
    domain.register_commands(cli)
    return len(cli.registered_commands)


# What each hook is asked, of any domain.
CASES: Mapping[str, Callable[[Domain], Any]] = {
    "plan_sampling": lambda domain: domain.plan_sampling(info()),
    "register_instruments": lambda domain: registered("register_instruments", domain),
    "describe_chunk": lambda domain: domain.describe_chunk(CHUNK, [], []),
    "system_prompt": lambda domain: domain.system_prompt(VIDEO),
    "user_prompt": lambda domain: domain.user_prompt(VIDEO, QUESTION),
    "select_chunks": lambda domain: domain.select_chunks(QUESTION, [HIT]),
    "parse_answer": lambda domain: domain.parse_answer(QUESTION, "Ann.", EVIDENCE),
    "check_answer": lambda domain: domain.check_answer(ANSWER, EVIDENCE),
    "segments": lambda domain: domain.segments(VIDEO, session()),
    "report_sections": lambda domain: domain.report_sections(VIDEO, session()),
    "overview_sections": lambda domain: domain.overview_sections([VIDEO, OTHER], session()),
    "notices": lambda domain: domain.notices("zh"),
    "redact_frames": lambda domain: domain.redact_frames([IMAGE], VIDEO, session()),
    "redact_text": lambda domain: domain.redact_text("Ann", VIDEO, session()),
    "render_report": lambda domain: domain.render_report(Report("T", (), ()), "pdf"),
    "register_tools": lambda domain: domain.register_tools(session()),
    "register_evaluators": lambda domain: registered("register_evaluators", domain),
    "register_exporters": lambda domain: registered("register_exporters", domain),
    "register_commands": commands,
}


def test_every_hook_has_a_case() -> None:
    assert CASES.keys() == SPECS.keys()


def raising(hook: str) -> Callable[..., Any]:
    def fail() -> Any:
        raise RuntimeError(f"no {hook}\ntoday")

    return fail


def rubbish(hook: str) -> Callable[..., Any]:
    if hook == "register_commands":
        return lambda cli: cli.no_such_decorator()
    if hook in REGISTERING:
        return lambda register: register(7)
    return lambda: 7 if hook in FIRST else [7]


def ending(hook: str) -> Callable[..., Any]:
    def end() -> Any:
        sys.exit(3)

    return end


WAYS = {"raises": raising, "gives rubbish": rubbish, "ends the program": ending}


def broken_in(hooks: set[str], way: Callable[[str], Callable[..., Any]]) -> Domain:
    """Return a domain of a plugin that fails in some hooks."""
    module = ModuleType("broken")
    for hook in hooks:
        setattr(module, hook, hookimpl(way(hook)))
    return Domain("broken", [Plugin("broken", module, "broken 1.0")])


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("hook", CASES)
def test_a_failure_in_a_hook_is_named_and_the_defaults_answer(
    hook: str, way: Callable[[str], Callable[..., Any]]
) -> None:
    domain = broken_in(set(SPECS), way)
    if hook in CLOSED:
        with pytest.raises(PluginError, match=f"plugin 'broken', hook {hook}: [^\n]*$"):
            CASES[hook](domain)
        return
    general = Domain.load("general")
    for _ in range(2):
        assert CASES[hook](domain) == CASES[hook](general)
    [line] = domain.broken
    assert line.startswith(f"plugin 'broken', hook {hook}: ")
    assert "\n" not in line


# The same through a real session: what a plugin's failure changes is what is said of it.

SOURCES = {
    "raises": "    raise RuntimeError('no {hook} today')\n",
    "gives rubbish": "    {rubbish}\n",
}


def source(way: str, hooks: set[str]) -> str:
    """Return a plugin's module that fails in each of the hooks."""
    lines = ["from agentkit.hookspecs import hookimpl"]
    for hook in sorted(hooks):
        argument = "cli" if hook == "register_commands" else "register"
        given = f"{hook}({argument})" if hook in REGISTERING else f"{hook}()"
        wrong = f"{argument}(7)" if hook in REGISTERING else f"return {7 if hook in FIRST else [7]}"
        body = SOURCES[way].format(hook=hook, rubbish=wrong)
        lines.append(f"@hookimpl\ndef {given}:\n{body}")
    return "\n".join(lines)


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Install the plugin `broken`, with an entry point for a command of its own."""
    site = tmp_path / "site"
    info = site / "broken_tried-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-tried\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[agentkit]\nbroken = broken_tried\n[agentkit.commands]\nbroken-command = broken_tried\n"
    )
    monkeypatch.delenv("AGENTKIT_DISABLE_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(site)
    yield lambda text: (site / "broken_tried.py").write_text(text) and None  # type: ignore[func-returns-value]
    sys.modules.pop("broken_tried", None)
    invalidate_caches()


@pytest.mark.parametrize("way", SOURCES)
def test_ingest_and_questions_go_as_without_the_plugin(
    way: str,
    put: Callable[[str], None],
    open_session: OpenSession,
    asked_stores: dict[str, Path],
    long_clip: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put(source(way, set(SPECS)))
    whole, failing = open_session(asked_stores["notes"]), open_session(domain="broken")
    video = failing.ingest(long_clip)
    assert video.state == "ready"
    assert failing.notes(video) == whole.notes(video)
    for question in ("Is there a cut?", "Is there much motion?"):
        asked, expected = failing.ask(question, video), whole.ask(question, video)
        assert (asked.text, asked.citations) == (expected.text, expected.citations)
    assert failing.search("cut") == whole.search("cut")
    named = {line.split("hook ")[1].split(":")[0] for line in failing._domain.broken}
    assert named == {*INGEST, "user_prompt", "select_chunks", "parse_answer", "check_answer"}
    said = [r.getMessage() for r in caplog.records if "'broken'" in r.getMessage()]
    assert len(said) == len(named), "each is said once"


@pytest.mark.parametrize("way", SOURCES)
def test_reports_and_exports_go_as_without_the_plugin(
    way: str,
    put: Callable[[str], None],
    open_session: OpenSession,
    asked_stores: dict[str, Path],
) -> None:
    put(source(way, set(SPECS) - CLOSED))
    whole = open_session(asked_stores["notes"])
    failing = open_session(asked_stores["notes"], domain="broken")
    [video] = failing.videos()
    for name in ("vtt", "srt", "csv", "chapters", "edl"):
        assert failing.export(video, name) == whole.export(video, name), name
    assert failing.formats() == whole.formats()
    made, expected = failing.report([video]).report, whole.report([video]).report
    assert made.sections == expected.sections
    assert made.exhibits == expected.exhibits
    missing = tuple(f"A part of this report is missing: {line}" for line in failing._domain.broken)
    assert set(made.notices) - set(expected.notices) <= set(missing)
    named = {line.split("hook ")[1].split(":")[0] for line in failing._domain.broken}
    assert {"segments", "report_sections", "notices", "register_exporters"} <= named


@pytest.mark.parametrize("way", SOURCES)
@pytest.mark.parametrize("hook", sorted(CLOSED))
def test_where_redaction_fails_nothing_leaves_the_store(
    way: str,
    hook: str,
    put: Callable[[str], None],
    open_session: OpenSession,
    asked_stores: dict[str, Path],
) -> None:
    put(source(way, {hook}))
    failing = open_session(asked_stores["notes"], domain="broken")
    [video] = failing.videos()
    with pytest.raises(PluginError, match=f"plugin 'broken', hook {hook}: "):
        failing.report([video])
    if hook == "redact_text":
        with pytest.raises(PluginError, match=f"plugin 'broken', hook {hook}: "):
            failing.export(video, "csv")
    assert failing.ask("Is there a cut?", video).text


@pytest.mark.parametrize("way", SOURCES)
def test_lists_and_checks_name_the_plugin_and_show_the_others(
    way: str, put: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    put(source(way, set(SPECS)))
    assert main(["plugins", "list", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)["plugins"]}
    assert set(listed["broken"]["hooks"]) == set(SPECS)
    assert {listed[name]["error"] for name in ("healthcare", "media", "security")} == {""}
    assert main(["plugins", "check", "broken", "--json"]) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    failed = {check["name"] for check in checks if check["ok"] is False}
    of_hooks = {"questions", "rubbish answers", "ingest", "segments", "report sections"}
    of_files = {"notices", "redaction", "evaluators", "exporters", "tools", "hooks"}
    assert failed == of_hooks | of_files
    assert all("plugin 'broken', hook " in c["found"] for c in checks if c["ok"] is False)
    assert main(["eval"]) == 0
    said = capsys.readouterr()
    assert "left out: plugin 'broken', hook register_evaluators: " in said.err
    assert " (security)\n  metrics  " in said.out
    assert main(["broken-command"]) == 1
    assert "hook register_commands: " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["import no_such_module", "1 / 0", "import sys; sys.exit(3)", "("])
def test_what_does_not_import_is_named_and_the_others_are_there(
    text: str, put: Callable[[str], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    put(text)
    named = "plugin 'broken' (broken-tried 1.2) does not import: "
    assert main(["plugins", "list", "--json"]) == 0
    listed = {one["name"]: one["error"] for one in json.loads(capsys.readouterr().out)["plugins"]}
    assert listed.pop("broken").startswith(named)
    assert listed == dict.fromkeys(("healthcare", "media", "security"), "")
    assert main(["plugins", "check", "broken"]) == 1
    assert f"FAIL  hooks                {named}" in capsys.readouterr().out
    assert main(["eval"]) == 0
    assert f"left out: {named}" in capsys.readouterr().err
    store = str(tmp_path / "store")
    assert main(["--domain", "broken", "--store", store, "ask", "Who?"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {named}")
    assert error.count("\n") == 1
