"""The official place over HTTP, against a local server, and the model that only the hub has."""

import http.server
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from agentkit import models
from agentkit.errors import ModelFilesError
from agentkit.models import snapshot
from agentkit.models.sources import Hub, SourceError
from agentkit.models.spec import Digest, FileSpec, ModelSpec

DATA = bytes(range(256)) * 400
MODEL = ModelSpec("toy", "", "", "")


class Server(http.server.BaseHTTPRequestHandler):
    """Serves DATA at /whole, half of it at /cut, nothing elsewhere; honours Range."""

    ranges: list[str | None] = []  # noqa: RUF012 # one server a test; cleared by the fixture

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.ranges.append(wanted)
        if self.path not in ("/whole", "/cut"):
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        self.wfile.write(DATA[start:] if self.path == "/whole" else DATA[start : len(DATA) // 2])

    def log_message(self, *_args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Server.ranges.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def file_at(url: str) -> FileSpec:
    return FileSpec("a.bin", Digest(len(DATA), "0" * 64), (), url)


def test_a_file_comes_whole(server: str, tmp_path: Path) -> None:
    seen: list[int] = []
    Hub().fetch(MODEL, file_at(f"{server}/whole"), tmp_path / "part", seen.append)
    assert (tmp_path / "part").read_bytes() == DATA
    assert seen[-1] == len(DATA)


def test_it_goes_on_where_the_part_ends(server: str, tmp_path: Path) -> None:
    part = tmp_path / "part"
    Hub().fetch(MODEL, file_at(f"{server}/cut"), part, lambda _done: None)
    assert part.read_bytes() == DATA[: len(DATA) // 2]
    Hub().fetch(MODEL, file_at(f"{server}/whole"), part, lambda _done: None)
    assert part.read_bytes() == DATA
    assert Server.ranges == [None, f"bytes={len(DATA) // 2}-"]


def test_a_mirror_of_the_hub_is_asked(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{server}/")
    file = file_at("https://huggingface.co/whole")
    Hub().fetch(MODEL, file, tmp_path / "part", lambda _done: None)
    assert (tmp_path / "part").read_bytes() == DATA


def test_a_refused_file_is_not_an_unreachable_host(server: str, tmp_path: Path) -> None:
    hub = Hub()
    with pytest.raises(SourceError, match="answers 404"):
        hub.fetch(MODEL, file_at(f"{server}/none"), tmp_path / "part", lambda _done: None)
    hub.fetch(MODEL, file_at(f"{server}/whole"), tmp_path / "part", lambda _done: None)


def test_an_unreachable_host_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unreachable(request: urllib.request.Request, timeout: float) -> None:
        asked.append((request.full_url, timeout))
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    hub = Hub(timeout_s=3.0)
    for name in "ab":
        file = file_at(f"https://example.org/{name}")
        with pytest.raises(SourceError, match=r"example\.org cannot be reached \(Name or service"):
            hub.fetch(MODEL, file, tmp_path / "part", lambda _done: None)
    assert asked == [("https://example.org/a", 3.0)]


class TestSnapshot:
    """A whole repository: complete when config and all shards of the index are there."""

    MODEL = models.spec("videoxl2")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "config.json").write_text("{}")
        index = {"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        for number in (1, 2):
            save_file({"a": np.zeros(9, np.float32)}, tmp_path / f"x-{number}.safetensors")
        return tmp_path

    def test_all_shards_make_it_complete(self, folder: Path) -> None:
        assert snapshot.is_complete(folder)
        assert snapshot.problems(self.MODEL, folder) == []
        (folder / "x-2.safetensors").unlink()
        assert not snapshot.is_complete(folder)
        assert snapshot.problems(self.MODEL, folder) == [f"{folder}/x-2.safetensors: missing"]

    def test_a_cut_shard_is_a_problem(self, folder: Path) -> None:
        shard = folder / "x-1.safetensors"
        shard.write_bytes(shard.read_bytes()[:-1])
        (problem,) = snapshot.problems(self.MODEL, folder)
        assert "x-1.safetensors: damaged" in problem

    @pytest.mark.parametrize("index", ["not json", "[]", '{"weight_map": 3}'])
    def test_an_index_that_is_none_is_not_complete(self, folder: Path, index: str) -> None:
        (folder / "model.safetensors.index.json").write_text(index)
        assert not snapshot.is_complete(folder)

    def test_a_gated_repository_asks_for_licence_and_token(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import huggingface_hub
        from huggingface_hub.errors import GatedRepoError

        def refuse(*_args: object, **_kwargs: object) -> None:
            raise GatedRepoError.__new__(GatedRepoError)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
        with pytest.raises(ModelFilesError) as caught:
            snapshot.pull(self.MODEL, tmp_path, [Hub()])
        words = str(caught.value)
        for said in (
            "licence",
            "https://huggingface.co/BAAI/Video-XL-2",
            "HF_TOKEN",
            "videoxl2_path",
        ):
            assert said in words
        assert "\n" not in words

    def test_an_unreachable_hub_is_said_in_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import huggingface_hub

        def fail(*_args: object, **_kwargs: object) -> None:
            raise ConnectionError("no route\nand more")

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
        with pytest.raises(ModelFilesError, match=r"\(no route\)") as caught:
            snapshot.pull(self.MODEL, tmp_path, [Hub()])
        assert "\n" not in str(caught.value)

    def test_what_the_hub_gave_is_looked_at(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import huggingface_hub

        asked = {}
        monkeypatch.setattr(
            huggingface_hub,
            "snapshot_download",
            lambda repo, **options: asked.update(options, repo=repo),
        )
        snapshot.pull(self.MODEL, folder, [Hub()])
        assert (asked["repo"], asked["local_dir"]) == ("BAAI/Video-XL-2", folder)
        assert "*.py" not in asked["allow_patterns"]
        (folder / "x-1.safetensors").unlink()
        with pytest.raises(ModelFilesError, match=r"lacks x-1\.safetensors"):
            snapshot.pull(self.MODEL, folder, [Hub()])
