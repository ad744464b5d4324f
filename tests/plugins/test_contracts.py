"""The domains that come with this project, held to what every plugin promises."""

import pytest

from agentkit.testing import PluginContract
from agentkit.testing.contract.subject import Subject

REDACTS = {
    "healthcare": {"redact_frames", "redact_text"},
    "media": set(),
    "security": {"redact_frames"},
}


class TestHealthcare(PluginContract):
    plugin = "healthcare"


class TestMedia(PluginContract):
    plugin = "media"


class TestSecurity(PluginContract):
    plugin = "security"


@pytest.mark.parametrize("name", ["healthcare", "media", "security"])
def test_what_a_domain_answers_is_written_down(name: str) -> None:
    """A check of the contract is skipped where there is no hook: none goes missing unseen."""
    hooks = set(Subject(name).hooks)
    asked = {"user_prompt", "parse_answer", "segments", "report_sections", "notices"}
    registered = {"register_tools", "register_evaluators", "register_exporters"}
    assert asked | registered | {"register_commands"} <= hooks
    assert hooks & {"redact_frames", "redact_text"} == REDACTS[name]
