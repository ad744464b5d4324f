"""A store in a folder of its own, and videos drawn into it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit_storage import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store.open(folder) as store:
        yield store
