"""A Qwen2 GGUF file to a safetensors folder, once. Knows tensors and metadata; knows no download.

The stored type is float32: a GGUF's values are half-precision scales times small integers, which
float32 holds and bfloat16 rounds, and float32 is the fastest type on a CPU. Loading is then a
memory map and no work: nothing is read before it is used.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from agentkit.errors import ModelFilesError
from agentkit.models.files import part_path, sync_folder
from agentkit.models.tokenizer import write_tokenizer

logger = logging.getLogger(__name__)

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
CONVERTED_FILES = (CONFIG, WEIGHTS, TOKENIZER, TOKENIZER_CONFIG)

_ROWS_AT_ONCE = 4096  # 15 MB of float32 for 0.5B's table of words, whose whole is 545 MB
_TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# Two quantisations of one table differ by their noise: 4 % (Q5_0 to Q8_0) in the 0.5B. Tables that
# were trained apart differ by more than their own size.
_SAME_TABLE = 0.25


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One tensor to be stored: its name in the checkpoint and where its values come from."""

    name: str
    shape: tuple[int, ...]
    packed: NDArray[Any]  # [rows, bytes] as quantised, or the plain values
    kind: Any  # gguf.GGMLQuantizationType

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * 4

    def rows(self) -> Iterator[NDArray[np.float32]]:
        """Yield the values in order, a run of rows at a time."""
        from gguf.quants import dequantize

        packed = self.packed.reshape(-1, self.packed.shape[-1])  # [rows, bytes or values]
        for start in range(0, len(packed), _ROWS_AT_ONCE):
            values = dequantize(packed[start : start + _ROWS_AT_ONCE], self.kind)
            yield np.ascontiguousarray(values, dtype="<f4")


def convert(source: Path, folder: Path, progress: Callable[[float], None] | None = None) -> None:
    """Write config.json, model.safetensors and tokenizer files of the GGUF `source` into `folder`.

    Streams tensor by tensor; the weights appear last and whole or not at all. `progress` is told
    the share done, 0..1.

    Raises:
        ModelFilesError: the file is no GGUF, of another architecture, or holds unknown tensors.
    """
    reader = _open(source)
    tensors = _tensors(reader)
    folder.mkdir(parents=True, exist_ok=True)
    tied = all(tensor.name != "lm_head.weight" for tensor in tensors)
    _write_json(folder / CONFIG, config_of(reader, tied=tied))
    write_tokenizer(
        folder,
        tokens=_value(reader, "tokenizer.ggml.tokens"),
        kinds=_value(reader, "tokenizer.ggml.token_type"),
        merges=_value(reader, "tokenizer.ggml.merges"),
        end_id=_value(reader, "tokenizer.ggml.eos_token_id"),
        pad_id=_value(reader, "tokenizer.ggml.padding_token_id"),
        chat_template=_value(reader, "tokenizer.chat_template", ""),
    )
    _write_weights(folder / WEIGHTS, tensors, progress or (lambda _share: None))


def config_of(reader: Any, *, tied: bool) -> dict[str, object]:
    """Return the config.json of transformers' Qwen2Config for the metadata of a GGUF."""
    embedding = next(t for t in reader.tensors if t.name == "token_embd.weight")
    eps = np.float32(_value(reader, "qwen2.attention.layer_norm_rms_epsilon"))
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": int(embedding.shape[1]),
        "hidden_size": _value(reader, "qwen2.embedding_length"),
        "intermediate_size": _value(reader, "qwen2.feed_forward_length"),
        "num_hidden_layers": _value(reader, "qwen2.block_count"),
        "num_attention_heads": _value(reader, "qwen2.attention.head_count"),
        "num_key_value_heads": _value(reader, "qwen2.attention.head_count_kv"),
        "max_position_embeddings": _value(reader, "qwen2.context_length"),
        "rope_theta": float(_value(reader, "qwen2.rope.freq_base", 10000.0)),
        "rms_norm_eps": float(np.format_float_scientific(eps)),  # shortest: 1e-06 again
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "use_cache": True,
        "use_sliding_window": False,
        "tie_word_embeddings": tied,
        "bos_token_id": _value(reader, "tokenizer.ggml.bos_token_id", None),
        "eos_token_id": _value(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _value(reader, "tokenizer.ggml.padding_token_id"),
        "torch_dtype": "float32",
    }


def checkpoint_name(name: str) -> str:
    """Return the name that transformers' Qwen2 gives a tensor of a GGUF.

    Raises:
        ModelFilesError: Qwen2 has no such tensor.
    """
    if name in _TOP_NAMES:
        return _TOP_NAMES[name]
    match name.split("."):
        case ["blk", index, part, ("weight" | "bias") as what] if part in _BLOCK_NAMES:
            return f"model.layers.{index}.{_BLOCK_NAMES[part]}.{what}"
    raise ModelFilesError(f"a Qwen2 model has no tensor {name!r}; is this a Qwen2 GGUF?")


def _open(source: Path) -> Any:
    import gguf

    try:
        reader = gguf.GGUFReader(source)
    except (ValueError, OSError, IndexError) as error:
        raise ModelFilesError(f"{source}: no readable GGUF ({error})") from error
    architecture = _value(reader, "general.architecture", "nothing")
    if architecture != "qwen2":
        raise ModelFilesError(f"{source}: a GGUF of {architecture!r}, where 'qwen2' is needed")
    return reader


def _value(reader: Any, key: str, *default: object) -> Any:
    field = reader.get_field(key)
    if field is None:
        if default:
            return default[0]
        raise ModelFilesError(f"the GGUF lacks {key!r}")
    return field.contents()


def _tensors(reader: Any) -> list[_Tensor]:
    found = {}
    for tensor in reader.tensors:
        shape = tuple(int(size) for size in reversed(tensor.shape))  # GGUF: fastest axis first
        name = checkpoint_name(tensor.name)
        found[name] = _Tensor(name, shape, tensor.data, tensor.tensor_type)
    _tie(found)
    return sorted(found.values(), key=lambda tensor: tensor.name)


def _tie(found: dict[str, _Tensor]) -> None:
    """Keep one table where the file holds two quantisations of it: the finer one.

    A GGUF stores a tied model's table twice, coarse for the way in and fine for the way out.
    """
    table, head = found["model.embed_tokens.weight"], found.get("lm_head.weight")
    if head is None or table.shape != head.shape or not _same_table(table, head):
        return
    finer = head if head.packed.nbytes >= table.packed.nbytes else table
    found[table.name] = _Tensor(table.name, finer.shape, finer.packed, finer.kind)
    del found[head.name]


def _same_table(table: _Tensor, head: _Tensor) -> bool:
    first, second = next(table.rows()), next(head.rows())  # [<= 4096, D]
    return bool(np.linalg.norm(first - second) < _SAME_TABLE * np.linalg.norm(first))


def _write_weights(target: Path, tensors: list[_Tensor], progress: Callable[[float], None]) -> None:
    part = part_path(target)
    total = sum(tensor.nbytes for tensor in tensors)
    done = 0
    with part.open("wb") as out:
        out.write(_header(tensors))
        for tensor in tensors:
            _write_tensor(out, tensor)
            done += tensor.nbytes
            progress(done / total)
        out.flush()
        os.fsync(out.fileno())
    part.replace(target)
    sync_folder(target.parent)


def _write_tensor(out: BinaryIO, tensor: _Tensor) -> None:
    written = 0
    for values in tensor.rows():
        written += out.write(values.data)
    if written != tensor.nbytes:
        raise ModelFilesError(f"{tensor.name}: {written} bytes where {tensor.shape} was announced")


def _header(tensors: list[_Tensor]) -> bytes:
    """Return the head of a safetensors file: a length of 8 bytes, then JSON padded to 8 bytes."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for tensor in tensors:
        end = start + tensor.nbytes
        entries[tensor.name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write_json(target: Path, value: dict[str, object]) -> None:
    part = part_path(target)
    part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    part.replace(target)
