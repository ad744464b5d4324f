"""Checks of how a plugin is made: its hooks, what its import loads, what it imports of us."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

from agentkit import entry_points, hookspecs
from agentkit.testing.contract.subject import Subject, search_path

PUBLIC = ("agentkit.types", "agentkit.hookspecs", "agentkit.testing")
OURS = ("agentkit", "agentkit_storage", "videoxl2_model")
HEAVY = (
    *("torch", "transformers", "cv2", "pandas", "scipy", "sklearn", "matplotlib", "faiss"),
    *("onnxruntime", "supervision", "motmetrics", "sqlalchemy", "langchain", "PIL"),
)
MOST_MS = 100
TRIES = 3

# Seconds are those of the plugin alone: what the hooks and types load is there before.
LOADED = """
import json, sys, time
name, sys.path[:] = sys.argv[1], json.loads(sys.argv[2])
import agentkit.hookspecs, agentkit.types
before, start_s = set(sys.modules), time.perf_counter()
__import__(name)
took_s = time.perf_counter() - start_s
print(json.dumps([took_s * 1000, sorted(set(sys.modules) - before)]))
"""


def hooks(subject: Subject) -> str:
    """Load the plugin: pluggy refuses unknown hooks and arguments. A bare function is a slip."""
    known = {name for name, value in vars(hookspecs).items() if hasattr(value, "agentkit_spec")}
    for name, value in vars(subject.module).items():
        own = getattr(value, "__module__", "") == subject.module_name and callable(value)
        if name in known and own and not hasattr(value, "agentkit_impl"):
            raise AssertionError(f"{name} is a hook's name, but it is not marked @hookimpl")
    answered = subject.hooks
    assert answered, "it answers no hook; see docs/hooks.md"
    _check_commands(subject)
    return ", ".join(answered)


def _check_commands(subject: Subject) -> None:
    """Hold the commands that the metadata names to those that the plugin registers."""
    import typer

    cli = typer.Typer()
    subject.ask("register_commands", cli)
    anything = bool(cli.registered_commands or cli.registered_groups)
    added = typer.main.get_group(cli).commands if anything else {}
    for name, entries in entry_points.installed(entry_points.COMMANDS).items():
        mine = any(entry.module == subject.module_name for entry in entries)
        assert not mine or name in added, f"no register_commands adds the command {name!r}"


def light(subject: Subject) -> str:
    """Import the plugin in a process of its own and look at what came with it."""
    _, modules = _loaded(subject)
    found = sorted({name.split(".")[0] for name in modules} & set(HEAVY))
    remedy = "import it inside the function that needs it"
    assert not found, f"its import loads {', '.join(found)}; {remedy}"
    return "nothing heavy is loaded with it"


def quick(subject: Subject) -> str:
    """Say how long the import takes, the best of three."""
    best_ms = min(_loaded(subject)[0] for _ in range(TRIES))
    assert best_ms < MOST_MS, f"its import takes {best_ms:.0f} ms; {MOST_MS} ms is the most"
    return f"{best_ms:.0f} ms, of {MOST_MS} ms at most"


def _loaded(subject: Subject) -> tuple[float, list[str]]:
    """Return the milliseconds of a fresh import, and the modules that it loads."""
    arguments = [subject.module_name, json.dumps(search_path())]
    run = subprocess.run(  # noqa: S603 — our own interpreter on the line above
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=False
    )
    last = (run.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    assert run.returncode == 0, f"it does not import in a process of its own: {last}"
    took_ms, modules = json.loads(run.stdout.splitlines()[-1])
    return took_ms, modules


def public(subject: Subject) -> str:
    """Look at every import of agentkit in the plugin's files: public modules only."""
    for path in subject.sources:
        for name, line in foreign_imports(path, subject.folder, subject.module_name):
            where = f"{path.relative_to(subject.folder)}:{line}"
            raise AssertionError(f"{where} imports {name}; import from {', '.join(PUBLIC)} only")
    return f"of {', '.join(PUBLIC)} alone"


def foreign_imports(path: Path, folder: Path, package: str) -> Iterator[tuple[str, int]]:
    """Yield what a file imports of us that is not public, with its line."""
    for name, line in imports(path, folder, package):
        ours = name.split(".")[0] in OURS
        if ours and not any(name == one or name.startswith(f"{one}.") for one in PUBLIC):
            yield name, line


def imports(path: Path, folder: Path, package: str) -> Iterator[tuple[str, int]]:
    """Yield every module that a file imports, absolute, with its line."""
    parts = path.relative_to(folder).with_suffix("").parts
    inside = ".".join([package, *parts[:-1]])
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level + (node.module or "")
            base = resolve_name(dots, inside) if node.level else dots
            # `from agentkit import types` names a module by the name that it imports.
            whole = (f"{base}.{a.name}" if base in OURS else base for a in node.names)
            yield from ((name, node.lineno) for name in whole)
