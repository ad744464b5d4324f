"""Write docs/cli.md to stdout, from the commands, the settings and the JSON forms themselves."""

from collections.abc import Iterator
from typing import Any

import typer

from agentkit import json_forms
from agentkit.cli.app import app
from agentkit.config import describe

WIDTH = 88
INTRODUCTION = """\
# Command line

<!-- Made by tools/make_cli_docs.py: change the commands, then run `make docs`. -->

Answers go to stdout; progress, remarks and errors to stderr.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | an error: one line on stderr, with its remedy |
| 2 | wrong usage: one line that names the nearest known option, command, video or plugin |
| 130 | interrupted; `ingest` and `models pull` resume where they stopped |

A video is named by its id, an unambiguous beginning of it, its path or its file's name. A plugin's
commands are listed under the commands below; the plugin is imported when one of them is used.
"""
SETTINGS = """\
## Settings

A flag wins over the environment, the environment over `agentkit.toml`, the file over the default.
The file is the one of `--config`, else of `AGENTKIT_CONFIG`, else `agentkit.toml` in the working
folder, else in `AGENTKIT_HOME`. An unknown key is an error that names the nearest known one.
Relative paths in the file are relative to the file.

```toml
domain = "media"

[sampling]
fps = 0.5
```

| variable | meaning |
| --- | --- |
| `AGENTKIT_HOME` | folder of models, store and settings; default: the platform's user data folder |
| `AGENTKIT_CONFIG` | the settings file |
| `AGENTKIT_STORE` | `store`, below |
| `AGENTKIT_OFFLINE` | `1`: `offline`, below |
| `AGENTKIT_DISABLE_PLUGINS` | `1`: `disable_plugins`, below |
| `AGENTKIT_MODELS_FROM` | a folder that `models pull` looks into first |
"""
JSON = """\
## JSON

Stable: a key may be added, none is renamed or removed. Times are in seconds.
"""
FORMS = {
    "`ask --json`: one object": json_forms.ANSWER,
    "each of its `citations`": json_forms.CITATION,
    "each of its `findings`": json_forms.FINDING,
    "its `coverage`": json_forms.COVERAGE,
    '`search --json`: `{"hits": [...]}`, each': json_forms.HIT,
    "`ingest --json`: one object a line": json_forms.EVENT,
    '`videos list --json`: `{"videos": [...]}`, each': json_forms.VIDEO,
    "`videos show --json`: one object": json_forms.WHOLE_VIDEO,
    "each of its `kept`": json_forms.TIER,
    "`videos tag --json`: one object": json_forms.TAGGED,
    "`videos pin --json`: one object": json_forms.PINNED,
    "`videos remove --json`: one object": json_forms.REMOVED,
    '`store verify --json`: `{"problems": [...], "videos": N}`, each problem': json_forms.PROBLEM,
    "`store rebuild --json`: one object": json_forms.REBUILT,
    "`store gc --json`: one object": json_forms.FREED,
    "`store stats --json`: one object": json_forms.STATS,
    "each of its `videos`": json_forms.VIDEO_STATS,
    "the `owner` of each": json_forms.OWNER,
    "each of its `jobs`": json_forms.JOB,
    "`store migrate --json`: one object": json_forms.MIGRATED,
    "`report --json`: one object": json_forms.REPORTED,
    "`store export --json`: one object": json_forms.EXPORTED,
    "`export --json`: one object": json_forms.EXPORTED_FILE,
    "`export --format clip --json`: one object": json_forms.EXPORTED_CLIP,
    '`export --formats --json`: `{"formats": [...]}`, each': json_forms.FORMAT,
    '`store import --json`: `{"videos": [...]}`, each': json_forms.IMPORTED,
    '`plugins list --json`: `{"plugins": [...]}`, each': json_forms.PLUGIN,
    "`plugins new --json`: one object": json_forms.NEW_PLUGIN,
    '`plugins check --json`: `{"plugin": NAME, "checks": [...]}`, each': json_forms.CHECKED,
    '`eval --json`: `{"evaluators": [...]}`, each': json_forms.EVALUATOR,
    "`eval NAME --json`: one object": json_forms.EVALUATION,
    "its `paired`": json_forms.PAIRED,
    "the `mcnemar` of that": json_forms.MCNEMAR,
    "each of its `intervals`": json_forms.INTERVAL,
    '`models list --json`: `{"models": [...]}`, each': json_forms.MODEL,
    '`doctor --json`: `{"checks": [...]}`, each': json_forms.CHECK,
}


def page() -> str:
    """Return docs/cli.md whole."""
    commands = "\n".join(_commands())
    settings = "\n".join(_settings())
    forms = "\n".join(_forms())
    return f"{INTRODUCTION}\n{commands}\n{SETTINGS}\n{settings}\n\n{JSON}\n{forms}"


def _commands() -> Iterator[str]:
    """Yield the help of the program and of each command of ours; plugins document their own."""
    root = typer.main.get_group(app)
    yield _help(root, "agentkit", own_only=True)
    for path, command in _walk(root, "agentkit"):
        yield _help(command, path)


def _walk(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if hasattr(command, "commands"):
            yield from _walk(command, f"{path} {name}")


def _help(command: Any, path: str, own_only: bool = False) -> str:
    if own_only:
        command.list_commands = lambda _context: list(command.commands)
    context = command.context_class(command, info_name=path, terminal_width=WIDTH)
    return f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"


def _settings() -> Iterator[str]:
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, kind, default, text in describe():
        shown = f"`{default}`" if default else ""
        yield f"| `{name}` | {kind} | {shown} | {text} |"


def _forms() -> Iterator[str]:
    for title, keys in FORMS.items():
        yield f"### {title}\n\n| key | meaning |\n| --- | --- |"
        yield from (f"| `{key}` | {text} |" for key, text in keys.items())
        yield ""


if __name__ == "__main__":
    print(page().rstrip())
