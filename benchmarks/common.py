"""What every benchmark needs: a clock, peak memory, a ratio against a baseline, figures as JSON.

A number means something only beside another one measured in the same run on the same machine, so
results are printed as ratios and written with the date, the commit and the machine.
"""

import ctypes
import gc
import json
import os
import platform
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from agentkit.paths import home

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def bench_dir() -> Path:
    """Return the folder for drawn films and the benchmarks' own store."""
    return home() / "bench"


def clip(name: str) -> Path:
    """Return one of the example clips, fetching it if it is not there."""
    if str(ROOT / "examples") not in sys.path:
        sys.path.append(str(ROOT / "examples"))
    from clips import clip as fetched  # type: ignore[import-not-found]  # see the line above

    path: Path = fetched(name)
    return path


@dataclass(slots=True)
class Elapsed:
    """Seconds of a `with timed()` block: on the clock, and of CPU over all threads."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def timed() -> Iterator[Elapsed]:
    """Measure a block; the result is filled in when the block ends."""
    elapsed, wall, cpu = Elapsed(), time.perf_counter(), time.process_time()
    try:
        yield elapsed
    finally:
        elapsed.wall_s = time.perf_counter() - wall
        elapsed.cpu_s = time.process_time() - cpu


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure over another, both in `unit`; it should be at least `aim`, at most `limit`."""

    name: str
    over: float
    under: float
    unit: str
    aim: float | None = None
    limit: float | None = None

    @property
    def value(self) -> float:
        return self.over / self.under

    @property
    def met(self) -> bool:
        """Whether the ratio is what it should be; true where nothing was said."""
        enough = self.aim is None or self.value >= self.aim
        return enough and (self.limit is None or self.value <= self.limit)

    def __str__(self) -> str:
        figures = f"{self.over:.4g} / {self.under:.4g} {self.unit}"
        return f"{self.name}: {figures} = {self.value:.3g}x{self._verdict()}"

    def _verdict(self) -> str:
        bounds = [f"aim {self.aim:g}x"] if self.aim is not None else []
        bounds += [f"limit {self.limit:g}x"] if self.limit is not None else []
        return f"  ({', '.join(bounds)}: {'met' if self.met else 'missed'})" if bounds else ""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.value, "met": self.met}


def show(ratio: Ratio) -> Ratio:
    """Print a ratio on its own line and hand it back."""
    print(ratio, flush=True)
    return ratio


class PeakMemory:
    """The highest resident memory of this process and its children inside a `with` block.

    Read from /proc every `step_s`; elsewhere than on Linux the process's own peak since its start.
    A page that two processes of the tree share is counted for each.
    """

    def __init__(self, step_s: float = 0.02) -> None:
        self.peak_bytes = 0
        self._step_s = step_s
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self.peak_bytes = tree_rss_bytes()
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._watch.join()
        self.look()

    def look(self) -> None:
        """Take in what is resident right now."""
        self.peak_bytes = max(self.peak_bytes, tree_rss_bytes())

    def _run(self) -> None:
        while not self._stop.wait(self._step_s):
            self.look()


def tree_rss_bytes() -> int:
    """Return the resident bytes of this process and everything it started."""
    if not Path("/proc/self/statm").exists():
        import resource  # not there on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return sum(_rss_bytes(pid) for pid in _tree(os.getpid()))


def _tree(pid: int) -> list[int]:
    found = [pid]
    for each in found:  # grows while it is walked
        for listing in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found.extend(int(child) for child in listing.read_text().split())
            except OSError:  # the thread ended between listing and reading
                continue
    return found


def _rss_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def release_memory() -> None:
    """Collect garbage and hand freed pages back, so that a peak is the work's own."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def machine() -> dict[str, Any]:
    """Say what the figures were measured on."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(_memory_bytes() / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0


def commit() -> str:
    """Return the commit the figures belong to, with `+` where the code was changed since."""
    words = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay settings over settings, section by section."""
    out = dict(below)
    for name, value in above.items():
        section = isinstance(value, Mapping) and isinstance(out.get(name), Mapping)
        out[name] = merged(out[name], value) if section else value
    return out


def parse_overrides(given: Sequence[str]) -> dict[str, Any]:
    """Return {"ask": {"k": 6}} for ["ask.k=6"]; what is no TOML value is text."""
    out: dict[str, Any] = {}
    for entry in given:
        name, _, text = entry.partition("=")
        try:
            value = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            value = text
        for part in reversed(name.strip().split(".")):
            value = {part: value}
        out = merged(out, value)
    return out


def write_results(
    name: str, figures: Mapping[str, Any], ratios: tuple[Ratio, ...] = (), folder: Path = RESULTS
) -> Path:
    """Write benchmarks/results/NAME.json, whole or not at all, and return its path."""
    body = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "ratios": {ratio.name: ratio.as_json() for ratio in ratios},
        **figures,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n")
    part.replace(path)
    return path
