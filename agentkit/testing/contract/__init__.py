"""What every plugin is held to: a test class for its own tests, and `agentkit plugins check`.

class TestContract(PluginContract):
    plugin = "cooking"
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from unittest import SkipTest

from agentkit.errors import PluginError
from agentkit.plugin_manager import unlogged
from agentkit.testing.contract import drawing, filing, loading, prompting, reporting
from agentkit.testing.contract.subject import Subject

__all__ = ["Checked", "PluginContract", "Subject", "examine"]

Check = Callable[[Subject], str]


class PluginContract:
    """One test a check. `plugin` is the domain's name, `options` are settings that it needs.

    A check that has nothing to look at is skipped. pytest runs it; it needs hypothesis.
    """

    plugin: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Any]] = {}
    found = ""

    def test_hooks(self) -> None:
        self.hold(loading.hooks)

    def test_import(self) -> None:
        self.hold(loading.light)

    def test_imports_of_agentkit(self) -> None:
        self.hold(loading.public)

    def test_prompts(self) -> None:
        self.hold(prompting.prompts)

    def test_placeholders(self) -> None:
        self.hold(prompting.rendering)

    def test_questions(self) -> None:
        self.hold(prompting.questions)

    def test_rubbish_answers(self) -> None:
        self.hold(prompting.answers)

    def test_ingest(self) -> None:
        self.hold(reporting.ingest)

    def test_segments(self) -> None:
        self.hold(reporting.segments)

    def test_report_sections(self) -> None:
        self.hold(reporting.sections)

    def test_notices(self) -> None:
        self.hold(reporting.notices)

    def test_redaction(self) -> None:
        self.hold(reporting.redaction)

    def test_evaluators(self) -> None:
        self.hold(filing.evaluators)

    def test_exporters(self) -> None:
        self.hold(filing.exporters)

    def test_tools(self) -> None:
        self.hold(filing.tools)

    def hold(self, check: Check) -> None:
        """Run one check and keep what it looked at, in words."""
        self.found = check(Subject(self.plugin, self.options))


@dataclass(frozen=True, slots=True)
class Checked:
    """One check of a plugin; `ok` is None where there was nothing to look at."""

    name: str
    ok: bool | None
    found: str


def examine(plugin: str) -> Iterator[Checked]:
    """Run every test of the contract on an installed plugin, and time its import.

    Raises:
        UnknownNameError: no installed plugin has this name.
    """
    contract = type("Contract", (PluginContract,), {"plugin": plugin})()
    names = [name for name in vars(PluginContract) if name.startswith("test_")]
    try:
        _ = Subject(plugin).hooks
    except PluginError as error:
        yield Checked("hooks", False, str(error))
        yield from (Checked(_title(name), None, "it does not load") for name in names[1:])
        return
    with unlogged(), drawing.home_elsewhere():
        for name in names:
            yield _checked(contract, name, getattr(contract, name))
        yield _checked(contract, "import time", lambda: contract.hold(loading.quick))


def _checked(contract: PluginContract, name: str, run: Callable[[], None]) -> Checked:
    try:
        run()
    except SkipTest as reason:
        return Checked(_title(name), None, str(reason))
    except Exception as error:  # noqa: BLE001 — a plugin may raise anything
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return Checked(_title(name), False, f"{kind}{error}")
    return Checked(_title(name), True, contract.found)


def _title(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")
