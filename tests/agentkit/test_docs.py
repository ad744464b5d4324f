"""The documentation check sees each kind of drift."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from agentkit import json_forms

ROOT = Path(__file__).resolve().parents[2]
HOOKS = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def check_docs() -> ModuleType:
    """Load tools/check_docs.py, which is no package."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        spec = importlib.util.spec_from_file_location("check_docs", ROOT / "tools/check_docs.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "tools"))
    return module


def test_the_page_of_hooks_is_in_step(check_docs: ModuleType) -> None:
    assert list(check_docs.hook_problems(HOOKS)) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("### plan_sampling", "### plan_samples", "does not document the hook 'plan_sampling'"),
        ("### plan_sampling", "### plan_samples", "has no hook 'plan_samples'"),
        ("Gathered; for each chunk", "First result; for each", "describe_chunk should begin with"),
        ("def system_prompt(video", "def system_prompt(vidoe", "vidoe"),
        ("def user_prompt(question", "def users_prompt(question", "unknown hook 'users_prompt'"),
        ("@hookimpl\ndef check_answer", "def check_answer", "has no example of 'check_answer'"),
    ],
)
def test_each_drift_of_the_page_is_seen(
    check_docs: ModuleType, old: str, new: str, problem: str
) -> None:
    assert old in HOOKS
    assert any(problem in found for found in check_docs.hook_problems(HOOKS.replace(old, new)))


def test_an_undocumented_key_is_seen(
    check_docs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(check_docs.json_problems()) == []
    less = {key: text for key, text in json_forms.COVERAGE.items() if key != "tier"}
    monkeypatch.setattr(json_forms, "COVERAGE", less)
    assert list(check_docs.json_problems()) == [
        "agentkit/json_forms.py: COVERAGE does not say what 'tier' is"
    ]
