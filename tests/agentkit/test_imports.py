"""What is loaded when nothing is asked yet."""

import json
import subprocess
import sys

import pytest

import agentkit

HEAVY = ("torch", "transformers", "faiss", "onnxruntime", "numpy", "sqlalchemy", "av", "pydantic")


def loaded_by(code: str) -> set[str]:
    """Return which heavy packages a fresh interpreter has after `code`."""
    found = f"[name for name in {HEAVY!r} if name in sys.modules]"
    report = f"\nimport sys, json; sys.stderr.write(json.dumps({found}))"
    run = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stderr))


@pytest.mark.parametrize(
    "code",
    ["import agentkit", "from agentkit.cli import main; assert main(['--help']) == 0"],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str) -> None:
    assert loaded_by(code) == set()


def test_a_commands_help_loads_what_typer_itself_needs() -> None:
    code = "from agentkit.cli import main; assert main(['ask', '--help']) == 0"
    assert loaded_by(code) <= {"pydantic"}


def test_settings_and_hooks_load_no_model() -> None:
    code = "import agentkit.plugin_manager; from agentkit import Settings; Settings.load()"
    assert loaded_by(code) <= {"numpy", "pydantic"}


def test_the_check_sees_what_is_loaded() -> None:
    assert "numpy" in loaded_by("import numpy")


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        agentkit.Sesion  # noqa: B018 — reading it is the test
    assert agentkit.Settings.__name__ == "Settings"
