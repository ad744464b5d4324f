"""docs/plugins.md, done as it says: its plugin is made block by block, and keeps the contract."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from agentkit.cli import main
from agentkit.new_plugin import FILES, write_plugin

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The tutorial's plugin with all its blocks in place, on the path as if installed."""
    folder = write_plugin("cooking", tmp_path / "agentkit-cooking").folder
    blocks = re.findall(r"^```python\n# (\S+?)(, at the end)?\n(.*?)^```", PAGE, re.M | re.S)
    assert len(blocks) == len(re.findall(r"^```python", PAGE, re.M)), "each names its file"
    for name, added, text in blocks:
        path = folder / name
        path.write_text((path.read_text("utf-8") if added else "") + text, encoding="utf-8")
    info = folder / "agentkit_cooking-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: agentkit-cooking\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[agentkit]\ncooking = agentkit_cooking\n")
    monkeypatch.delenv("AGENTKIT_DISABLE_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith("agentkit_cooking")]:
        del sys.modules[name]
    invalidate_caches()


def commands(*heads: str) -> list[list[str]]:
    """Return the page's commands that begin so."""
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)).splitlines()
    return [shlex.split(line) for line in lines if line.startswith(heads)]


def test_the_plugin_of_the_page_keeps_the_contract_and_its_commands_run(
    plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("true", "a salt\nb milk\n"), ("first", "a salt\n"), ("second", "b milk\n")):
        Path(name).write_text(text)
    asked = commands("agentkit plugins check", "agentkit plugins list", "agentkit eval")
    assert len(asked) == 6
    for command in {shlex.join(command): command for command in asked}.values():
        assert main(command[1:]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "ok    evaluators           ingredient-recall: perfect is best" in said
    assert "ok    exporters            labels-csv: bytes that parse" in said
    assert "of 2 items 1 only the first run has right, 1 only the second; p = 1" in said


def test_the_plugins_own_tests_pass(plugin: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(plugin)!r})\n"
         "import pytest; sys.exit(pytest.main(['-p', 'no:cacheprovider', '-k', 'not Contract', "
         f"{str(plugin)!r}]))"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert "2 passed" in run.stdout


def test_the_page_shows_what_new_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [shown] = re.findall(r"^```text\n(.*?)^```", PAGE, re.M | re.S)
    folder = str(tmp_path / "agentkit-cooking")
    assert main(["plugins", "new", "cooking", "--no-install", "--folder", folder]) == 0
    printed = capsys.readouterr().out.replace(folder, "/home/ann/agentkit-cooking").splitlines()
    lines = shown.splitlines()
    count = len(FILES) + 1
    assert lines[:count] == printed[:count]
    assert lines[-2:] == printed[-2:]
