import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentkit import video_id
from agentkit.video_id import content_id


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the hashes that were computed, in order."""
    calls: list[str] = []
    digest = hashlib.file_digest

    def counting(file: object, name: str) -> object:
        calls.append(name)
        return digest(file, name)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", counting)
    return calls


def settled(path: Path, content: bytes, mtime_s: int = 1_700_000_000) -> Path:
    path.write_bytes(content)
    os.utime(path, (mtime_s, mtime_s))
    return path


def test_id_is_the_sha256_of_the_bytes_read_once(tmp_path: Path, hashed: list[str]) -> None:
    path = settled(tmp_path / "a", b"content")
    expected = hashlib.sha256(b"content").hexdigest()
    assert [content_id(path) for _ in range(3)] == [expected] * 3
    assert len(hashed) == 1


def test_a_changed_file_is_read_again(tmp_path: Path, hashed: list[str]) -> None:
    path = settled(tmp_path / "a", b"content")
    content_id(path)
    settled(path, b"changed", mtime_s=1_700_000_001)  # as long as before
    assert content_id(path) == hashlib.sha256(b"changed").hexdigest()
    assert len(hashed) == 2


def test_a_name_does_not_matter(tmp_path: Path, hashed: list[str]) -> None:
    path = settled(tmp_path / "a", b"content")
    assert content_id(path) == content_id(path.rename(tmp_path / "b"))
    assert len(hashed) == 1


def test_a_file_written_just_now_is_not_remembered(tmp_path: Path, hashed: list[str]) -> None:
    """It could change again within the resolution of its modification time."""
    path = tmp_path / "a"
    path.write_bytes(b"content")
    content_id(path)
    content_id(path)
    assert len(hashed) == 2


def test_a_damaged_cache_is_replaced(tmp_path: Path, home: Path, hashed: list[str]) -> None:
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "content_ids.sqlite").write_bytes(b"no database" * 1000)
    path = settled(tmp_path / "a", b"content")
    assert {content_id(path) for _ in range(3)} == {hashlib.sha256(b"content").hexdigest()}
    assert len(hashed) < 3


def test_without_a_place_for_the_cache_ids_are_still_right(tmp_path: Path, home: Path) -> None:
    home.write_text("a file where the folder should be")
    path = settled(tmp_path / "a", b"content")
    assert content_id(path) == hashlib.sha256(b"content").hexdigest()


def test_numbers_beyond_63_bits_are_kept_apart() -> None:
    assert video_id._signed(2**64 - 1) == -1
    assert video_id._signed(2**63 - 1) == 2**63 - 1


def test_several_processes_share_the_cache(tmp_path: Path) -> None:
    for number in range(20):
        settled(tmp_path / f"{number:02}", bytes([number]))
    script = (
        "import sys; from pathlib import Path; from agentkit.video_id import content_id;"
        " [print(content_id(p)) for _ in range(3) for p in sorted(Path(sys.argv[1]).glob('??'))]"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    expected = [hashlib.sha256(bytes([number])).hexdigest() for number in range(20)]
    for process in running:
        assert process.communicate(timeout=60)[0].split() == expected * 3
        assert process.returncode == 0
