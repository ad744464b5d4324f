"""A new plugin out of a name: its files from templates, and its installation. Knows no model."""

import keyword
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import invalidate_caches
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from agentkit import entry_points
from agentkit.errors import PluginError, UsageError

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST = 40
SETUPTOOLS = 77  # as in the pyproject.toml that is written
OURS = frozenset(("general", "defaults", "agentkit"))

# What is written, from which template, and what it is for.
FILES = (
    ("pyproject.toml", "pyproject.toml", "the distribution, and the entry point of the domain"),
    ("@PACKAGE@/__init__.py", "hooks.py", "the hooks: what the domain looks for and says"),
    ("@PACKAGE@/prompts/en.toml", "en.toml", "its words in English"),
    ("@PACKAGE@/prompts/zh.toml", "zh.toml", "the same in Chinese"),
    ("@PACKAGE@/py.typed", "", "says that it has types"),
    ("tests/test_@NAME@.py", "test.py", "the contract of every plugin, and a test of its own"),
    ("README.md", "README.md", "for people"),
    (".gitignore", "gitignore", "what git leaves alone"),
)


@dataclass(frozen=True, slots=True)
class NewPlugin:
    """A plugin that was written: where, and what each of its files is for."""

    name: str
    distribution: str
    folder: Path
    files: tuple[tuple[str, str], ...]  # path in the folder, what it is for


def check_name(name: str) -> str:
    """Return a name that a new domain can have.

    Raises:
        UsageError: it is no name, or it is taken; says a name that would do.
    """
    nearest = _nearest(name)
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        rule = f"a name is of a-z, 0-9 and single _, begins with a letter, up to {LONGEST} long"
        hint = f"; did you mean {nearest!r}?" if NAME.fullmatch(nearest) else ""
        raise UsageError(f"{name!r} cannot be a domain's name: {rule}{hint}")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        other = f"{name}_video"
        raise UsageError(f"{name!r} is a word of Python's own; {other!r} would do")
    owner = _owner(name)
    if owner:
        raise UsageError(f"the name {name!r} is taken by {owner}; choose another")
    return name


def _nearest(name: str) -> str:
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    plain = re.sub(r"[^a-z0-9]+", "_", words).strip("_")
    return plain.lstrip("0123456789_")[:LONGEST].strip("_")


def _owner(name: str) -> str:
    """Return who has a domain, a distribution or a module of this name; empty where nobody has."""
    if name in OURS:
        return "agentkit itself"
    entries = entry_points.installed().get(name)
    if entries:
        return f"{entry_points.distribution(entries[0])}, which is installed"
    try:
        found = distribution(_distribution(name))
        return f"{found.name} {found.version}, which is installed"
    except PackageNotFoundError:
        there = find_spec(_package(name)) is not None
        return f"the module {_package(name)}, which is there" if there else ""


def _distribution(name: str) -> str:
    return f"agentkit-{name.replace('_', '-')}"


def _package(name: str) -> str:
    return f"agentkit_{name}"


def write_plugin(name: str, folder: Path | None = None) -> NewPlugin:
    """Write a plugin that works into a new folder, by default `agentkit-NAME` here.

    Raises:
        UsageError: the name cannot be used, or the folder is there already.
    """
    check_name(name)
    folder = (folder or Path(_distribution(name))).absolute()
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} is there already; name another with --folder")
    written = tuple((_filled(path, name), what) for path, _, what in FILES)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # All files or none: the folder takes its name when it is whole.
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        whole = Path(beside) / folder.name
        for path, template, _ in FILES:
            _write(whole / _filled(path, name), _filled(_template(template), name))
        whole.rename(folder)
    return NewPlugin(name, _distribution(name), folder, written)


def _template(name: str) -> str:
    if not name:
        return ""
    return (files("agentkit") / "templates" / "plugin" / f"{name}.in").read_text("utf-8")


def _filled(text: str, name: str) -> str:
    values = {"NAME": name, "PACKAGE": _package(name), "DISTRIBUTION": _distribution(name)}
    return re.sub(r"@(NAME|PACKAGE|DISTRIBUTION)@", lambda found: values[found[1]], text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def install_command(folder: Path) -> list[str]:
    """Return the command that puts a folder into the environment that runs this, to be edited on.

    What it needs is here already: nothing is fetched, if a setuptools that can build
    it is here too; the one that `python -m venv` brings may be too old.

    Raises:
        PluginError: neither pip nor uv is here.
    """
    alone = ["--no-build-isolation"] if _can_build() else []
    arguments = ["--quiet", "--no-deps", *alone, "--editable", str(folder)]
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--python", sys.executable, *arguments]
    raise PluginError(f"neither pip nor uv is here to install {folder}; python -m ensurepip")


def _can_build() -> bool:
    """Say whether the setuptools that is here is one that the plugin asks for."""
    try:
        return int(version("setuptools").split(".")[0]) >= SETUPTOOLS
    except (PackageNotFoundError, ValueError):
        return False


def install(plugin: NewPlugin) -> None:
    """Install a plugin that was written, into the environment that runs this.

    Raises:
        PluginError: it could not be installed; the files stay, and the command is said.
    """
    command = install_command(plugin.folder)
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 — our own
    invalidate_caches()
    if run.returncode:
        reason = _reason([*run.stdout.splitlines(), *run.stderr.splitlines()])
        again = shown_install_command(plugin.folder)
        raise PluginError(f"{plugin.folder} is written, but not installed: {reason}; run {again}")


def shown_install_command(folder: Path) -> str:
    """Return what a person types to install a folder here."""
    return shlex.join([sys.executable, "-m", "pip", "install", "--editable", str(folder)])


def _reason(lines: Sequence[str]) -> str:
    """Return the line of an installer's output that says what went wrong."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if line.lower().startswith(("error", "\u00d7"))]
    return (errors or said or ["it ended without a word"])[0]
