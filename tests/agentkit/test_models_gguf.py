"""GGUF to safetensors: the same values under the names that transformers knows."""

import unicodedata
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from gguf.quants import dequantize, quantize
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from agentkit.errors import ModelFilesError
from agentkit.models import recipes
from agentkit.models.gguf_qwen import CONVERTED_FILES, checkpoint_name, convert
from agentkit.models.tokenizer import build_tokenizer

D, D_MLP, HEADS, HEADS_KV, LAYERS = 256, 512, 4, 2, 2
D_KV = D // HEADS * HEADS_KV
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())  # a letter for each of 256 bytes
MERGES = ["Ġ a", "a t", "Ġ c", "Ġc at"]
SPECIAL = ["<|end|>", "<tool>", "[PAD]"]
TOKENS = [*ALPHABET, "Ġa", "at", "Ġc", "Ġcat", *SPECIAL]
KINDS = [1] * (len(TOKENS) - 3) + [3, 4, 5]
V = len(TOKENS)

Packed = tuple[NDArray[Any], Kind]


def packed(rng: np.random.Generator, rows: int, columns: int, kind: Kind) -> Packed:
    """Return a random matrix in a quantised form."""
    if kind == Kind.Q4_K:  # no writer for it: any 144 bytes are a block if its two scales are sane
        blocks = rng.integers(0, 256, (rows, columns // 256, 144), np.uint8)
        scales = rng.uniform(1e-4, 1e-3, (rows, columns // 256, 2)).astype(np.float16)
        blocks[..., :4] = scales.view(np.uint8)
        return blocks.reshape(rows, -1), kind
    values = rng.normal(0, 0.05, (rows, columns)).astype(np.float32)
    return (values if kind == Kind.F32 else quantize(values, kind)), kind


def toy_tensors(seed: int = 0) -> dict[str, Packed]:
    """Return the tensors of a tiny Qwen2, in several kinds."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Packed] = {"token_embd.weight": packed(rng, V, D, Kind.Q8_0)}
    sizes = {
        "attn_q": (D, D, Kind.Q5_0),
        "attn_k": (D_KV, D, Kind.Q4_K),
        "attn_v": (D_KV, D, Kind.Q8_0),
        "attn_output": (D, D, Kind.F16),
        "ffn_gate": (D_MLP, D, Kind.Q4_0),
        "ffn_up": (D_MLP, D, Kind.Q4_K),
        "ffn_down": (D, D_MLP, Kind.BF16),
    }
    for layer in range(LAYERS):
        for name, (rows, columns, kind) in sizes.items():
            tensors[f"blk.{layer}.{name}.weight"] = packed(rng, rows, columns, kind)
        for name, size in (("attn_q", D), ("attn_k", D_KV), ("attn_v", D_KV)):
            tensors[f"blk.{layer}.{name}.bias"] = vector(rng, size)
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{layer}.{name}.weight"] = vector(rng, D)
    tensors["output_norm.weight"] = vector(rng, D)
    return tensors


def vector(rng: np.random.Generator, size: int) -> Packed:
    return rng.normal(1, 0.1, size).astype(np.float32), Kind.F32


def write_gguf(path: Path, tensors: dict[str, Packed], architecture: str = "qwen2") -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(D)
    writer.add_feed_forward_length(D_MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS_KV)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_token_list(TOKENS)
    writer.add_token_types(KINDS)
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(TOKENS.index("<|end|>"))
    writer.add_pad_token_id(TOKENS.index("<|end|>"))
    for name, (values, kind) in tensors.items():
        writer.add_tensor(name, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def tensors() -> dict[str, Packed]:
    return toy_tensors()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, Packed]) -> Path:
    root = tmp_path_factory.mktemp("gguf")
    convert(write_gguf(root / "toy.gguf", tensors), root / "out")
    return root / "out"


def test_every_value_is_the_dequantised_one(folder: Path, tensors: dict[str, Packed]) -> None:
    stored = load_file(folder / "model.safetensors")
    assert set(stored) == {checkpoint_name(name) for name in tensors}
    for name, (values, kind) in tensors.items():
        np.testing.assert_array_equal(stored[checkpoint_name(name)], dequantize(values, kind))
        assert stored[checkpoint_name(name)].dtype == np.float32


def test_transformers_gives_the_same_logits(folder: Path, tensors: dict[str, Packed]) -> None:
    """Against a model filled by hand: other code names the shapes and copies the values."""
    config = Qwen2Config(
        vocab_size=V,
        hidden_size=D,
        intermediate_size=D_MLP,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS_KV,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
    )
    by_hand = Qwen2ForCausalLM(config).eval()

    def put(parameter: torch.Tensor, name: str) -> None:
        parameter.data.copy_(torch.from_numpy(dequantize(*tensors[name])))

    put(by_hand.model.embed_tokens.weight, "token_embd.weight")
    put(by_hand.model.norm.weight, "output_norm.weight")
    for index, layer in enumerate(by_hand.model.layers):
        attention, mlp = layer.self_attn, layer.mlp
        put(layer.input_layernorm.weight, f"blk.{index}.attn_norm.weight")
        put(layer.post_attention_layernorm.weight, f"blk.{index}.ffn_norm.weight")
        put(attention.o_proj.weight, f"blk.{index}.attn_output.weight")
        for letter in "qkv":
            linear = getattr(attention, f"{letter}_proj")
            put(linear.weight, f"blk.{index}.attn_{letter}.weight")
            put(linear.bias, f"blk.{index}.attn_{letter}.bias")
        for name in ("gate", "up", "down"):
            put(getattr(mlp, f"{name}_proj").weight, f"blk.{index}.ffn_{name}.weight")
    loaded = Qwen2ForCausalLM.from_pretrained(folder).eval()
    ids = torch.arange(40)[None] * 7 % V
    with torch.inference_mode():
        torch.testing.assert_close(loaded(ids).logits, by_hand(ids).logits)
    assert loaded.lm_head.weight.data_ptr() == loaded.model.embed_tokens.weight.data_ptr()


def test_two_quantisations_of_one_table_become_the_finer_one(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(0, 0.05, (V, D)).astype(np.float32)
    tensors = toy_tensors() | {
        "token_embd.weight": (quantize(values, Kind.Q5_0), Kind.Q5_0),
        "output.weight": (quantize(values, Kind.Q8_0), Kind.Q8_0),
    }
    convert(write_gguf(tmp_path / "a.gguf", tensors), tmp_path / "out")
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert "lm_head.weight" not in stored
    finer = dequantize(*tensors["output.weight"])
    np.testing.assert_array_equal(stored["model.embed_tokens.weight"], finer)


def test_a_head_of_its_own_stays(tmp_path: Path) -> None:
    head = packed(np.random.default_rng(2), V, D, Kind.Q8_0)
    tensors = toy_tensors() | {"output.weight": head}
    convert(write_gguf(tmp_path / "a.gguf", tensors), tmp_path / "out")
    stored = load_file(tmp_path / "out" / "model.safetensors")
    np.testing.assert_array_equal(stored["lm_head.weight"], dequantize(*head))
    assert not Qwen2Config.from_pretrained(tmp_path / "out").tie_word_embeddings


def test_the_configuration_is_read_from_the_metadata(folder: Path) -> None:
    config = Qwen2Config.from_pretrained(folder)
    assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (D, LAYERS, V)
    assert (config.num_attention_heads, config.num_key_value_heads) == (HEADS, HEADS_KV)
    assert config.rms_norm_eps == 1e-6
    assert config.rope_parameters["rope_theta"] == 1e6
    assert config.tie_word_embeddings


def test_stopped_half_way_there_are_no_weights(tmp_path: Path, tensors: dict[str, Packed]) -> None:
    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    source = write_gguf(tmp_path / "a.gguf", tensors)
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "out", stop)
    assert not (tmp_path / "out" / "model.safetensors").exists()
    convert(source, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(CONVERTED_FILES)


def test_progress_ends_at_one(tmp_path: Path, tensors: dict[str, Packed]) -> None:
    seen: list[float] = []
    convert(write_gguf(tmp_path / "a.gguf", tensors), tmp_path / "out", seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_another_architecture_is_refused(tmp_path: Path, tensors: dict[str, Packed]) -> None:
    source = write_gguf(tmp_path / "a.gguf", tensors, architecture="llama")
    with pytest.raises(ModelFilesError, match="'llama', where 'qwen2' is needed"):
        convert(source, tmp_path / "out")


def test_an_unknown_tensor_is_refused(tmp_path: Path, tensors: dict[str, Packed]) -> None:
    more = tensors | {"blk.0.attn_sinks.weight": vector(np.random.default_rng(0), D)}
    with pytest.raises(ModelFilesError, match=r"blk\.0\.attn_sinks\.weight"):
        convert(write_gguf(tmp_path / "a.gguf", more), tmp_path / "out")


@pytest.mark.parametrize("data", [b"", b"GGUF", b"something else entirely" * 9])
def test_what_is_no_gguf_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.gguf").write_bytes(data)
    with pytest.raises(ModelFilesError, match="no readable GGUF"):
        convert(tmp_path / "a.gguf", tmp_path / "out")


class TestTokenizer:
    TOKENIZER = build_tokenizer(TOKENS, KINDS, MERGES)

    def test_merges_apply_within_words(self) -> None:
        encoded = self.TOKENIZER.encode("a cat at")
        assert encoded.tokens == ["a", "Ġcat", "Ġa", "t"]
        assert encoded.ids == [TOKENS.index(token) for token in encoded.tokens]

    def test_digits_and_line_ends_stand_alone(self) -> None:
        assert self.TOKENIZER.encode("12\n").tokens == ["1", "2", "Ċ"]

    def test_control_tokens_are_one_id_and_not_decoded(self) -> None:
        ids = self.TOKENIZER.encode("a<|end|>a<tool>").ids
        assert ids == [TOKENS.index(token) for token in ("a", "<|end|>", "a", "<tool>")]
        assert self.TOKENIZER.decode(ids) == "aa<tool>"

    def test_padding_of_the_table_is_no_token(self) -> None:
        assert self.TOKENIZER.token_to_id("[PAD]") is None

    @settings(deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_text_comes_back(self, text: str) -> None:
        ids = self.TOKENIZER.encode(text).ids
        assert self.TOKENIZER.decode(ids, skip_special_tokens=False) == unicodedata.normalize(
            "NFC", text
        )

    def test_the_written_one_is_found_by_transformers(self, folder: Path) -> None:
        text = "a cat<|end|> 12"
        plain = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
        theirs = AutoTokenizer.from_pretrained(folder)
        assert theirs(text)["input_ids"] == plain == self.TOKENIZER.encode(text).ids
        assert theirs.eos_token == "<|end|>"


class TestStateDict:
    def test_tensors_are_kept_and_counters_left_out(self, tmp_path: Path) -> None:
        weight = torch.randn(3, 4).t()  # not contiguous
        state = {"a.weight": weight, "bn.num_batches_tracked": torch.tensor(7)}
        torch.save(state, tmp_path / "a.pth")
        recipes.tensors_of_pickle(tmp_path / "a.pth", tmp_path / "out.safetensors")
        stored = load_file(tmp_path / "out.safetensors")
        assert set(stored) == {"a.weight"}
        np.testing.assert_array_equal(stored["a.weight"], weight.numpy())

    def test_a_pickle_that_runs_code_is_refused(self, tmp_path: Path) -> None:
        mark = tmp_path / "was-run"

        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return (Path.touch, (mark,))

        torch.save({"a": Trap()}, tmp_path / "a.pth")
        with pytest.raises(ModelFilesError, match="no plain state dict"):
            recipes.tensors_of_pickle(tmp_path / "a.pth", tmp_path / "out.safetensors")
        assert not mark.exists()
