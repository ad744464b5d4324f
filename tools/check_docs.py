"""Fail where the documentation and the program have drifted apart. Runs in `make lint`.

Every hook is in docs/hooks.md, with its arguments and an example that a domain accepts; docs/cli.md
is what tools/make_cli_docs.py writes; every key of the JSON is documented.
"""

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import make_cli_docs

from agentkit import hookspecs, json_forms
from agentkit.doctor import Check
from agentkit.errors import PluginError
from agentkit.plugin_manager import Domain, Plugin, PluginState
from agentkit.types import Answer, Citation, Coverage, Finding, StoredVideo, Tier

DOCS = Path(__file__).resolve().parent.parent / "docs"
SOURCES = {  # the JSON that must show every field of its value
    "ANSWER": (Answer, set()),
    "CITATION": (Citation, set()),
    "FINDING": (Finding, set()),
    "COVERAGE": (Coverage, set()),
    "WHOLE_VIDEO": (StoredVideo, set()),
    "TIER": (Tier, set()),
    "PLUGIN": (PluginState, set()),
    "CHECK": (Check, set()),
}


def problems() -> Iterator[str]:
    """Yield what is wrong, one line each."""
    yield from hook_problems((DOCS / "hooks.md").read_text(encoding="utf-8"))
    if (DOCS / "cli.md").read_text(encoding="utf-8").rstrip() != make_cli_docs.page().rstrip():
        yield "docs/cli.md is not what the program says of itself; run `make docs`"
    yield from json_problems()


def hook_problems(page: str) -> Iterator[str]:
    """Yield what docs/hooks.md says wrongly of the hooks, or not at all."""
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", page, re.M | re.S))
    hooks = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, "agentkit_spec")}
    for name in sorted(hooks.keys() ^ sections.keys()):
        where = "has no hook" if name in sections else "does not document the hook"
        yield f"docs/hooks.md {where} {name!r}"
    for name in hooks.keys() & sections.keys():
        kind = "First result" if hooks[name].agentkit_spec["firstresult"] else _kind_of(hooks[name])
        if not sections[name].strip().startswith(f"{kind};"):
            yield f"docs/hooks.md: {name} should begin with {kind!r}"
    yield from _example_problems(page, set(hooks))


def _kind_of(spec: object) -> str:
    gives = inspect.signature(spec).return_annotation  # type: ignore[arg-type]  # it is a function
    return "Registering" if gives is None else "Gathered"


def _example_problems(page: str, hooks: set[str]) -> Iterator[str]:
    """Run the examples as one plugin: it must load, and answer every hook."""
    plugin = ModuleType("example")
    for block in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S):
        exec(block, vars(plugin))  # our own documentation
    try:
        domain = Domain("example", [Plugin("example", plugin, "docs/hooks.md")])
    except PluginError as error:
        yield f"docs/hooks.md: {error}"
        return
    for name in sorted(hooks - set(domain.hooks_of("example"))):
        yield f"docs/hooks.md has no example of {name!r}"


def json_problems() -> Iterator[str]:
    """Yield the fields of a value that its JSON form does not document."""
    for form, (value, left_out) in SOURCES.items():
        fields = {field.name for field in dataclasses.fields(value)} - left_out
        for name in sorted(fields - set(getattr(json_forms, form))):
            yield f"agentkit/json_forms.py: {form} does not say what {name!r} is"


if __name__ == "__main__":
    found = list(problems())
    for problem in found:
        print(problem, file=sys.stderr)
    sys.exit(bool(found))
