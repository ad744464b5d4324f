"""The store's numbers, each as a ratio to a named baseline of the same run.

    python benchmarks/store.py --out benchmarks/results/store.json
    python benchmarks/store.py --only tokens --only readers          # some parts alone
    python benchmarks/store.py --small                               # does it run at all?
    python benchmarks/store.py --only readers --store postgresql://user@host/db?blobs=/FOLDER
    python benchmarks/store.py --search                              # and a million vectors

`first-token` and `bytes` need the embedded weights and the example clips; the others draw what they
store. With `--store` a second, new store is measured beside the one in a folder.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import store_bytes
import store_copying
import store_database
import store_first_token
import store_readers
import store_tokens
from common import RESULTS, Ratio, write_results
from store_readers import Load

Measured = tuple[dict[str, Any], list[Ratio]]
DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is drawn, and how often it is measured."""

    times: int = 8  # the long video over the short one
    ingests: int = 3
    film: str = "10min"
    token_chunks: int = 100
    token_rounds: int = 21
    bundle_chunks: int = 50
    bundle_rounds: int = 5
    calls: int = 200  # of each kind in each database
    load: Load = Load()  # noqa: RUF009 — frozen


SMALL = Sizes(times=2, ingests=1, token_chunks=4, token_rounds=3, bundle_chunks=3, bundle_rounds=1,
              calls=5, load=Load(2, 4, readers=4, calls=10, rounds=1))  # fmt: skip


def parts(sizes: Sizes, given: Sequence[str]) -> dict[str, Callable[[], Measured]]:
    """Return what there is to measure, by name."""
    return {
        "tokens": lambda: store_tokens.measure(sizes.token_chunks, sizes.token_rounds),
        "readers": lambda: store_readers.measure(sizes.load),
        "copying": lambda: store_copying.measure(2, sizes.bundle_chunks, sizes.bundle_rounds),
        "first-token": lambda: store_first_token.measure(sizes.times, sizes.ingests, given),
        "bytes": lambda: store_bytes.measure(sizes.film, given),
    }


NAMES = tuple(parts(SMALL, ()))


def elsewhere(location: str, sizes: Sizes, wanted: Sequence[str]) -> dict[str, Measured]:
    """Measure a store that is named: its calls beside SQLite's, and its readers beside writers."""
    print(f"\n{location}", flush=True)
    done = {DATABASE: store_database.measure(location, sizes.load, sizes.calls)}
    if "readers" in wanted:
        figures, ratios = store_readers.measure(sizes.load, location)
        named = [replace(ratio, name=f"the other database: {ratio.name}") for ratio in ratios]
        done[f"{DATABASE}-readers"] = (figures, named)
    return done


def run(sizes: Sizes, wanted: Sequence[str], given: Sequence[str] = ()) -> dict[str, Measured]:
    """Measure the parts that are wanted, one after the other."""
    done: dict[str, Measured] = {}
    for name, measure in parts(sizes, given).items():
        if name in wanted:
            print(f"\n{name}", flush=True)
            done[name] = measure()
    return done


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "store.json", metavar="FILE")
    parser.add_argument("--only", action="append", choices=NAMES, help="this part; repeatable")
    parser.add_argument("--store", metavar="URL", help="a new store to measure beside a folder's")
    parser.add_argument("--small", action="store_true", help="tiny, to see that it runs")
    parser.add_argument("--search", action="store_true", help="run store_search.py as well")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE")
    args = parser.parse_args(argv)
    sizes, wanted = SMALL if args.small else Sizes(), args.only or NAMES
    done = run(sizes, wanted, args.set)
    if args.store:
        done |= elsewhere(args.store, sizes, wanted)
    ratios = tuple(ratio for _, found in done.values() for ratio in found)
    figures = {"small": args.small, **{name: figures for name, (figures, _) in done.items()}}
    print(f"figures: {write_results(args.out.stem, figures, ratios, args.out.parent)}")
    met = all(ratio.met for ratio in ratios)
    return 0 if _searched(args.search) and met else 1


def _searched(wanted: bool) -> bool:
    """Run the benchmark of searches, which writes its own results; say whether its aims are met."""
    script = Path(__file__).with_name("store_search.py")
    return not wanted or subprocess.run([sys.executable, str(script)], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
