"""A checkpoint's files: whole or in shards, read by header alone, every fault named at once."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from videoxl2_model.checkpoint import INDEX, Checkpoint, shards_of, write
from videoxl2_model.errors import CheckpointError, SettingError

TENSORS = {
    "a.weight": torch.arange(12.0).view(3, 4),
    "a.bias": torch.ones(3, dtype=torch.bfloat16),
    "b": torch.zeros(2, 2, dtype=torch.int8),
}


@pytest.fixture
def shards(tmp_path):
    write(tmp_path, TENSORS, [["a.weight"], ["a.bias", "b"]])
    return tmp_path


def test_what_is_written_is_read(shards):
    found = Checkpoint.open(shards)
    read = dict(found.read(["b", "a.weight"]))
    assert_close(read, {key: TENSORS[key] for key in read}, rtol=0, atol=0)
    assert set(read) == {"b", "a.weight"}
    assert [path.name for path in found.files] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]


def test_headers_tell_shapes_types_and_bytes(shards):
    found = Checkpoint.open(shards)
    told = {key: (each.shape, each.dtype) for key, each in found.tensors.items()}
    assert told == {
        "a.weight": ((3, 4), "F32"),
        "a.bias": ((3,), "BF16"),
        "b": ((2, 2), "I8"),
    }
    assert found.nbytes == sum(each.nbytes for each in TENSORS.values())
    assert found.num_parameters == 12 + 3 + 4


def test_one_file_needs_no_index(tmp_path):
    write(tmp_path, TENSORS, [list(TENSORS)])
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert_close(dict(Checkpoint.open(tmp_path).read(TENSORS)), TENSORS, rtol=0, atol=0)


def test_shards_are_as_large_as_asked():
    tensors = {name: torch.zeros(size) for name, size in zip("abcd", (4, 4, 9, 1), strict=True)}
    assert shards_of(tensors, 32) == [["a", "b"], ["c"], ["d"]]
    assert shards_of(tensors, 10**6) == [["a", "b", "c", "d"]]


def test_nothing_is_written_over_a_checkpoint(shards):
    before = {path: path.read_bytes() for path in shards.iterdir()}
    with pytest.raises(SettingError, match="already"):
        write(shards, TENSORS, [list(TENSORS)])
    assert {path: path.read_bytes() for path in shards.iterdir()} == before


def drop(folder, name):
    (folder / name).unlink()


def cut(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1])


def listed(folder, key, value):
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"][key] = value
    (folder / INDEX).write_text(json.dumps(index))


def pickled(folder):
    for path in folder.iterdir():
        path.unlink()
    torch.save({"a": torch.ones(1)}, folder / "pytorch_model.bin")


FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: drop(f, FIRST), f"shards are missing: {FIRST}"),
        (lambda f: [drop(f, FIRST), drop(f, SECOND)], f"missing: {FIRST}, {SECOND}"),
        (lambda f: cut(f, SECOND), f"{SECOND}: cut or damaged"),
        (lambda f: (f / FIRST).write_bytes(b""), f"{FIRST}: cut or damaged"),
        (lambda f: (f / INDEX).write_text("{"), "cannot be read as an index"),
        (lambda f: (f / INDEX).write_text("{}"), "no weight_map"),
        (lambda f: listed(f, "c", FIRST), "not where it says: c;"),
        (lambda f: listed(f, "a.weight", SECOND), "not where it says: a.weight;"),
        (lambda f: listed(f, "c", "../c.safetensors"), "outside its folder"),
        (pickled, "pickled weights only"),
        (lambda f: [path.unlink() for path in f.iterdir()], "no safetensors file"),
    ],
)
def test_a_bad_folder_is_told_in_one_line(shards, damage, words):
    damage(shards)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(shards)
    assert words in str(caught.value)
    assert str(shards) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        Checkpoint.open(tmp_path / "x")


def test_a_tensor_in_two_files_is_named(shards):
    drop(shards, INDEX)
    save_file({"b": TENSORS["b"]}, shards / "old.safetensors")
    with pytest.raises(CheckpointError, match=r"b is in .* and in old\.safetensors"):
        Checkpoint.open(shards)


def test_a_file_beside_the_index_is_left_alone(shards):
    save_file({"b": TENSORS["b"]}, shards / "old.safetensors")
    assert len(Checkpoint.open(shards).files) == 2
    assert load_file(shards / "old.safetensors")
