"""What tells one model's weights from another's."""

import os
import shutil
from pathlib import Path

import pytest

from agentkit.engine import weights_fingerprint
from videoxl2_model.testing import write_tiny_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_checkpoint(tmp_path / "model")


def test_a_copy_and_a_touched_file_are_the_same_weights(folder: Path, tmp_path: Path) -> None:
    before = weights_fingerprint(folder)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    os.utime(copy / "model.safetensors", (0, 0))
    assert weights_fingerprint(copy) == before


def test_other_training_and_other_settings_are_others(folder: Path, tmp_path: Path) -> None:
    other = write_tiny_checkpoint(tmp_path / "other", seed=1)
    wider = write_tiny_checkpoint(tmp_path / "wider", rope_theta=20000.0)
    assert len({weights_fingerprint(each) for each in (folder, other, wider)}) == 3


def test_the_last_bytes_count_too(folder: Path) -> None:
    before = weights_fingerprint(folder)
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert weights_fingerprint(folder) != before


def test_a_manifest_says_it_all(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"files": {}}', encoding="utf-8")
    before = weights_fingerprint(folder)
    (folder / "model.safetensors").write_bytes(b"")
    assert weights_fingerprint(folder) == before
