"""Domains: who answers a hook, and what becomes of a plugin that is broken."""

import logging
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import defaults
from agentkit.cli import main
from agentkit.errors import PluginError, UnknownNameError, UsageError
from agentkit.hookspecs import hookimpl
from agentkit.plugin_manager import Domain, Plugin, plugin_states
from agentkit.types import (
    Answer,
    Chunk,
    ChunkHit,
    Coverage,
    Evidence,
    Note,
    Question,
    SamplingPlan,
    StoredVideo,
)

VIDEO = StoredVideo("ab" * 32, "/v/match.mp4", 80.0, 800, 80, 1.0, 5, "ready", ("notes",))
CHUNK = Chunk(VIDEO.video_id, 0, 0.0, 16.0, 0, 4)
HIT = ChunkHit(CHUNK, 0.9, "a dog")
COVERAGE = Coverage("notes", 80, 800, 1.0, (0,), 5, 120, ("objects",))
INSTRUCTION = defaults.prompts()("prompt.instruction")
EVIDENCE = Evidence((HIT,), (), (), COVERAGE, True)


def domain(*plugins: object) -> Domain:
    named = [Plugin(f"p{index}", plugin, "p 1.0") for index, plugin in enumerate(plugins)]
    return Domain("test", named)


class Adds:
    """Describes each chunk by one note."""

    def __init__(self, text: str) -> None:
        self.text = text

    @hookimpl
    def describe_chunk(self, chunk: Chunk) -> list[Note]:
        return [Note(chunk.start_s, chunk.end_s, "plugin", self.text)]


class Raises:
    @hookimpl
    def describe_chunk(self) -> list[Note]:
        raise ZeroDivisionError("one\ntwo")

    @hookimpl
    def user_prompt(self) -> str:
        raise KeyError("prompt")


class Rubbish:
    @hookimpl
    def describe_chunk(self) -> Any:
        return [Note(0.0, 1.0, "plugin", "good"), "no note"]

    @hookimpl
    def system_prompt(self) -> Any:
        return 7


def test_the_defaults_answer_what_nobody_else_does() -> None:
    silent = domain()
    question = Question("Who?", ("Ann", "Ben"))
    assert silent.plan_sampling(VIDEO) is None  # type: ignore[arg-type]  # nobody looks at it
    assert silent.system_prompt(VIDEO) == defaults.SYSTEM_PROMPT
    assert silent.user_prompt(VIDEO, question) == (f"{INSTRUCTION}\nQuestion: Who?\nA. Ann\nB. Ben")
    assert silent.select_chunks(question, [HIT]) == [HIT]
    assert silent.parse_answer(question, " Ann.\n", EVIDENCE) == Answer(
        question, "Ann.", (), COVERAGE, supported=True
    )
    assert silent.describe_chunk(CHUNK, [], []) == []
    assert silent.check_answer(silent.parse_answer(question, "Ann", EVIDENCE), EVIDENCE) == []
    assert silent.fingerprint == ""


def test_the_defaults_ask_in_the_language_of_the_question() -> None:
    asked = domain().user_prompt(VIDEO, Question("谁在说话？", ("甲", "乙"), language="zh"))
    assert asked.splitlines()[1:] == ["问题：谁在说话？", "A. 甲", "B. 乙"]
    assert asked.splitlines()[0].endswith("中文回答。")


def test_the_last_plugin_is_asked_first_and_none_means_not_mine() -> None:
    class Goals:
        @hookimpl
        def user_prompt(self, question: Question) -> str | None:
            return "goals" if "goal" in question.text else None

    class Always:
        @hookimpl
        def user_prompt(self) -> str:
            return "always"

    asked = domain(Always(), Goals())
    assert asked.user_prompt(VIDEO, Question("a goal?")) == "goals"
    assert asked.user_prompt(VIDEO, Question("a save?")) == "always"
    assert domain(Goals()).user_prompt(VIDEO, Question("a save?")).startswith(INSTRUCTION)


def test_a_plan_of_the_domain_is_taken() -> None:
    class Slow:
        @hookimpl
        def plan_sampling(self) -> SamplingPlan:
            return SamplingPlan(fps=0.2)

    assert domain(Slow()).plan_sampling(VIDEO) == SamplingPlan(fps=0.2)  # type: ignore[arg-type]  # not looked at


@given(st.lists(st.sampled_from(["good", "raises", "rubbish", "silent"]), max_size=5))
def test_what_is_gathered_is_that_of_the_plugins_that_work(kinds: list[str]) -> None:
    make: dict[str, Callable[[], object]] = {
        "good": lambda: Adds("good"),
        "raises": Raises,
        "rubbish": Rubbish,
        "silent": object,
    }
    gathered = domain(*(make[kind]() for kind in kinds))
    notes = gathered.describe_chunk(CHUNK, [], [])
    assert notes == [Note(0.0, 16.0, "plugin", "good")] * kinds.count("good")
    assert len(gathered.broken) == kinds.count("raises") + kinds.count("rubbish")


def test_a_failure_in_a_gathered_hook_names_plugin_and_hook_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    broken = domain(Raises(), Rubbish())
    for _ in range(3):
        broken.describe_chunk(CHUNK, [], [])
    expected = (
        "plugin 'p0', hook describe_chunk: ZeroDivisionError: one two",
        "plugin 'p1', hook describe_chunk: gave str, not Note",
    )
    assert broken.broken == expected
    assert [record.getMessage() for record in caplog.records] == [
        f"{line}; left out" for line in expected
    ]


@pytest.mark.parametrize(
    ("plugin", "ask", "message"),
    [
        (
            Raises(),
            lambda domain: domain.user_prompt(VIDEO, Question("?")),
            "plugin 'p0', hook user_prompt: KeyError: 'prompt'",
        ),
        (
            Rubbish(),
            lambda domain: domain.system_prompt(VIDEO),
            "plugin 'p0', hook system_prompt: gave int, not str",
        ),
    ],
)
def test_where_one_answer_is_needed_the_defaults_stand_in_for_a_failing_plugin(
    plugin: object, ask: Callable[[Domain], object], message: str
) -> None:
    failing = domain(plugin)
    assert ask(failing) == ask(domain())
    assert failing.broken == (message,)


def test_what_the_user_said_wrongly_to_a_domain_is_no_failure_of_it() -> None:
    class Strict:
        @hookimpl
        def report_sections(self) -> list[Any]:
            raise UsageError("no option 'zone'; did you mean 'zones'?")

    strict = domain(Strict())
    with pytest.raises(UsageError, match="did you mean 'zones'"):
        strict.report_sections(VIDEO, object())  # type: ignore[arg-type]  # nobody looks at it
    assert strict.broken == ()


class ShowsNobody:
    """Redacts, and fails at it in one way or another."""

    def __init__(self, give: Callable[[], Any]) -> None:
        self.give = give

    @hookimpl
    def redact_frames(self) -> Any:
        return self.give()

    @hookimpl
    def redact_text(self) -> Any:
        return self.give()


@pytest.mark.parametrize("give", [lambda: 1 / 0, lambda: 7, list, lambda: [np.zeros(3)]])
def test_where_redacting_fails_nothing_stands_in(give: Callable[[], Any]) -> None:
    failing = domain(ShowsNobody(give))
    images = [np.zeros((4, 6, 3), np.uint8)]
    with pytest.raises(PluginError):
        failing.redact_frames(images, VIDEO, object())  # type: ignore[arg-type]  # nobody looks at it
    with pytest.raises(PluginError):
        failing.redact_text("Ann", VIDEO, object())  # type: ignore[arg-type]  # nobody looks at it
    assert failing.redacts("redact_text")
    assert not domain().redacts("redact_text")


def test_what_a_plugin_registers_comes_whole_or_not_at_all() -> None:
    class Half:
        @hookimpl
        def register_exporters(self, register: Callable[..., None]) -> None:
            register("half", str)
            raise OSError("lost")

    class Whole:
        @hookimpl
        def register_exporters(self, register: Callable[..., None]) -> None:
            register("one", str)
            register("two", repr)

    got: dict[str, Any] = {}
    mixed = domain(Half(), Whole())
    mixed.register_exporters(got.__setitem__)
    assert got == {"one": str, "two": repr}
    assert mixed.broken == ("plugin 'p0', hook register_exporters: OSError: lost",)


def test_an_error_of_the_host_is_not_blamed_on_the_plugin() -> None:
    class Twice:
        @hookimpl
        def register_exporters(self, register: Callable[..., None]) -> None:
            register("one", str)

    def refuse(name: str, export: object) -> None:
        raise UsageError(f"there is a format {name!r} already")

    with pytest.raises(UsageError, match="there is a format 'one' already"):
        domain(Twice()).register_exporters(refuse)


def test_misspelt_hooks_and_arguments_are_refused() -> None:
    class Misspelt:
        @hookimpl
        def plan_samplng(self) -> None: ...

    class WrongArgument:
        @hookimpl
        def user_prompt(self, vidoe: object) -> str:
            return ""

    for plugin, word in ((Misspelt(), "plan_samplng"), (WrongArgument(), "vidoe")):
        with pytest.raises(PluginError, match=f"plugin 'p0': .*{word}"):
            domain(plugin)


def test_two_domains_share_nothing() -> None:
    first, second = domain(Adds("first")), domain(Adds("second"))
    texts = [note.text for one in (first, second) for note in one.describe_chunk(CHUNK, [], [])]
    assert texts == ["first", "second"]


def test_only_a_plugin_with_a_say_at_ingest_is_in_the_fingerprint() -> None:
    assert domain(Adds("a")).fingerprint == "p0 (p 1.0)"
    assert Domain.load("media").fingerprint == ""


# Installed plugins: a folder on the path with a module and its metadata is what pip makes, too.


def install(folder: Path, name: str, source: str, commands: Sequence[str] = ()) -> None:
    (folder / f"{name}.py").write_text(textwrap.dedent(source))
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = [f"[agentkit]\n{name} = {name}\n", "[agentkit.commands]"]
    lines += [f"{command} = {name}" for command in commands]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AGENTKIT_DISABLE_PLUGINS", raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def test_an_installed_plugin_is_loaded_by_name(site: Path) -> None:
    install(
        site,
        "cooking_on_path",
        """
        from agentkit.hookspecs import hookimpl

        @hookimpl
        def system_prompt():
            return "You are a cook."
        """,
    )
    cooking = Domain.load("cooking_on_path")
    assert cooking.system_prompt(VIDEO) == "You are a cook."
    assert cooking.hooks_of("cooking_on_path") == ("system_prompt",)


def test_an_unknown_domain_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown domain 'medai'; did you mean 'media'\\?"):
        Domain.load("medai")


def test_a_plugin_that_does_not_import_is_named_and_left_out(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "broken_on_path", "import no_such_module_at_all\n")
    reason = "ModuleNotFoundError: No module named 'no_such_module_at_all'"
    message = f"plugin 'broken_on_path' (broken_on_path 1.2) does not import: {reason}"
    with pytest.raises(PluginError) as error:
        Domain.load("broken_on_path")
    assert str(error.value) == message
    states = {state.name: state for state in plugin_states()}
    assert states["broken_on_path"].error == message
    assert states["media"].error == ""
    assert main(["plugins", "list"]) == 0
    printed = capsys.readouterr().out
    assert message in printed
    assert "user_prompt" in printed


def test_two_distributions_with_one_name_are_refused(site: Path) -> None:
    install(site, "twice_on_path", "")
    other = site / "other_dist-3.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other-dist\nVersion: 3\n")
    (other / "entry_points.txt").write_text("[agentkit]\ntwice_on_path = twice_on_path\n")
    with pytest.raises(PluginError, match=r"claimed by other-dist 3, twice_on_path 1\.2"):
        Domain.load("twice_on_path")


def test_one_variable_switches_every_plugin_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="switched off"):
        Domain.load("media", third_party=False)
    monkeypatch.setenv("AGENTKIT_DISABLE_PLUGINS", "1")
    with pytest.raises(UsageError, match="switched off"):
        Domain.load("media")
    assert Domain.load("general").name == "general"
    assert plugin_states() == []


COMMAND = """
    import typer
    from agentkit.hookspecs import hookimpl

    @hookimpl
    def register_commands(cli):
        @cli.command("scenes-on-path")
        def scenes(context: typer.Context, video: str):
            typer.echo(f"scenes of {video} in {context.obj.store}")
"""


def test_a_plugins_command_is_listed_by_metadata_and_run_when_used(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "scenes_plugin", COMMAND, ["scenes-on-path"])
    assert main(["--store", "here", "scenes-on-path", "a.mp4"]) == 0
    assert capsys.readouterr().out == "scenes of a.mp4 in here\n"
    assert main(["--help"]) == 0
    assert "scenes-on-path  From scenes_plugin 1.2." in capsys.readouterr().out


def test_a_list_of_commands_imports_no_plugin(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "not_to_be_imported", "raise SystemExit('imported')", ["never-on-path"])
    assert main(["--help"]) == 0
    assert "never-on-path" in capsys.readouterr().out


def test_a_command_that_the_plugin_does_not_have_is_one_line(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "empty_plugin", "", ["lost-on-path"])
    assert main(["lost-on-path"]) == 1
    assert capsys.readouterr().err == (
        "error: empty_plugin 1.2 names the command 'lost-on-path', "
        "but its register_commands adds no such command\n"
    )


def test_every_hook_is_a_method_of_the_domain() -> None:
    from agentkit import hookspecs

    specified = {name for name, value in vars(hookspecs).items() if hasattr(value, "agentkit_spec")}
    assert len(specified) == 19
    assert specified <= set(dir(Domain))
