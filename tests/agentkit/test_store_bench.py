"""The store's benchmark runs whole at a tiny size, and counts what it should."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import store  # noqa: E402 — benchmarks are scripts, found by the line above
import store_bytes  # noqa: E402
import store_readers  # noqa: E402
import store_tokens  # noqa: E402
from store_readers import ALONE, BURNERS, WRITERS  # noqa: E402

from agentkit_storage import Store  # noqa: E402
from agentkit_storage.errors import StoreError  # noqa: E402

LOAD = store_readers.Load(videos=1, chunks=2, readers=2, writers=1, calls=5, rounds=1)
TINY = replace(store.SMALL, token_chunks=1, token_rounds=1, bundle_chunks=1, calls=1, load=LOAD)
DRAWN = ("tokens", "readers", "copying")  # what needs no weights


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a tiny run writes, a second store measured beside the first."""
    monkeypatch.setattr(store, "SMALL", TINY)
    out = tmp_path / "small.json"
    only = [word for name in DRAWN for word in ("--only", name)]
    other = tmp_path / "other"
    assert store.main(["--small", *only, "--store", str(other), "--out", str(out)]) in (0, 1)
    written: dict[str, Any] = json.loads(out.read_text())
    return written


def test_all_that_needs_no_weights_runs(results: dict[str, Any]) -> None:
    assert {*DRAWN, "database", "database-readers"} <= set(results)
    assert (results["name"], results["small"]) == ("small", True)
    ratios = results["ratios"]
    for held in ("errors of readers and writers", "lossless: groups that differ by SHA-256"):
        assert ratios[held]["over"] == 0
    assert ratios["tokens in int8 over lossless"]["met"]
    errors = [name for name in ratios if name.startswith("int8: largest error")]
    assert len(errors) == 4
    assert all(0 < ratios[name]["over"] <= 0.03 for name in errors)
    for name in ("readers", "database-readers"):
        runs = results[name]
        assert {runs[kind]["calls"] for kind in (ALONE, WRITERS, BURNERS)} == {2 * 5}
        assert runs[WRITERS]["errors"] == []


@pytest.mark.parametrize("kind", ["vectors", "notes", "groups", "kv"])
def test_a_reader_that_finds_nothing_is_an_error(tmp_path: Path, kind: str) -> None:
    with Store.open(tmp_path) as empty, pytest.raises((LookupError, StoreError)):
        store_readers.call(empty, kind, LOAD, np.random.default_rng(0))


def test_reading_in_turn_runs_every_way_as_often() -> None:
    calls: list[str] = []
    spent = store_tokens.in_turn(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3
    )
    assert calls == ["a", "b"] * 4
    assert set(spent) == {"a", "b"}


def test_an_hour_of_pictures_is_counted_from_the_checkpoints_sizes() -> None:
    """900 groups of 144 rows; 7 tokens a timestamp, one more from 10, 100 and 1000 s on."""
    counted = store_bytes.of_pictures()
    rows = 900 * 144
    times = 7 * 900 + (900 - 3) + (900 - 25) + (900 - 250)
    assert counted["videoxl2: tokens float16"] == rows * 3584 * 2
    assert counted["videoxl2: tokens int8"] == rows * (3584 + 3584 / 128 * 4)
    row, pooled = 28 * 2 * 4 * 128 * 2, times + rows // 4
    assert counted["videoxl2: kv float16"] == (14 + times + rows + pooled) * row
    assert counted["videoxl2: kv float16, read for a question"] == pytest.approx(pooled * row)
    assert 0.5 < counted["videoxl2: kv int8"] / counted["videoxl2: kv float16"] < 0.52
