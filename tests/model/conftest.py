"""Tiny models, and the slow obvious twin that the fast paths are held against.

The twin is transformers' own Qwen2 with an L x L mask built from the rules in words; un-rotated
keys and values are caught at the projections. It shares no code with the package's attention.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from videoxl2_model import Decoder, LanguageModel, PrefillConfig, TokenGroup
from videoxl2_model.testing import tiny_decoder, write_tiny_checkpoint

sys.path.insert(0, str(Path(__file__).parent))  # the modules that tests of this folder share


@dataclass(frozen=True)
class TwinRun:
    hidden: Tensor  # [L, hidden], normed
    keys: Tensor  # [layers, H_kv, L, D], un-rotated
    values: Tensor


class Twin:
    """transformers' forward over a whole prompt at once."""

    def __init__(self, decoder: Decoder) -> None:
        self.model = decoder.model
        self.head_dim = decoder.spec.head_dim

    @torch.no_grad()
    def run(self, rows: Tensor, allowed: Tensor, positions: Tensor | None = None) -> TwinRun:
        caught: dict[str, list[Tensor]] = {"k": [], "v": []}
        hooks = []
        for layer in self.model.model.layers:
            for name, kept in caught.items():
                projection = getattr(layer.self_attn, f"{name}_proj")
                hooks.append(
                    projection.register_forward_hook(
                        lambda _m, _i, out, kept=kept: kept.append(out)
                    )
                )
        mask = torch.zeros(allowed.shape).masked_fill(~allowed, float("-inf"))
        out = self.model.model(
            inputs_embeds=rows[None],
            attention_mask=mask[None, None],
            position_ids=None if positions is None else positions[None],
            use_cache=False,
        )
        for hook in hooks:
            hook.remove()
        keys, values = (torch.stack([self._heads(x) for x in xs]) for xs in caught.values())
        return TwinRun(out.last_hidden_state[0], keys, values)

    def _heads(self, x: Tensor) -> Tensor:
        return x[0].view(x.shape[1], -1, self.head_dim).transpose(0, 1)

    @torch.no_grad()
    def logits(self, ids: Sequence[int]) -> Tensor:
        """Logits [L, vocabulary] of a plain causal pass over ids."""
        return self.model(torch.tensor([list(ids)])).logits[0]

    @torch.no_grad()
    def after(self, keys: Tensor, values: Tensor, ids: Sequence[int]) -> Tensor:
        """Logits [n, vocabulary] of ids after a cache of un-rotated keys at positions 0..P-1."""
        cache = DynamicCache()
        for layer, (key, value) in enumerate(zip(keys, values, strict=True)):
            cache.update(rotated(key, self.model.config)[None], value[None], layer)
        length = keys.shape[2]
        seen = torch.ones(len(ids), length + len(ids)).tril(length) > 0
        mask = torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))
        return self.model(
            torch.tensor([list(ids)]),
            attention_mask=mask[None, None],
            position_ids=torch.arange(length, length + len(ids))[None],
            past_key_values=cache,
        ).logits[0]


def rotated(keys: Tensor, config: object) -> Tensor:
    """Rotate [H, n, D] to positions 0..n-1 as complex numbers."""
    base = config.rope_parameters["rope_theta"]
    half = keys.shape[-1] // 2
    turn = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(keys.shape[1], dtype=torch.float64)[:, None] * turn
    pairs = torch.complex(keys[..., :half].double(), keys[..., half:].double())
    pairs = pairs * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((pairs.real, pairs.imag), -1).to(keys.dtype)


def allowed_pairs(
    system: int, groups: Sequence[tuple[int, int]], config: PrefillConfig, after: int = 0
) -> Tensor:
    """The rules in words, as an L x L matrix; groups are (time length, token length)."""
    block, is_time = [-1] * system, [True] * system
    index, count, rows = 0, 0, 0
    for time, tokens in groups:
        if count >= config.block_groups and rows >= config.min_block_rows:
            index, count, rows = index + 1, 0, 0
        count, rows = count + 1, rows + time + tokens
        block += [index] * (time + tokens)
        is_time += [True] * time + [False] * tokens
    block += [10**6] * after
    is_time += [True] * after  # the question sees everything
    blocks, everywhere = torch.tensor(block), torch.tensor(is_time)
    behind = blocks[:, None] - blocks[None, :]
    near = behind >= 0
    if config.lookback_blocks is not None:
        near &= behind <= config.lookback_blocks
    pairs = near | everywhere[:, None] | everywhere[None, :]
    return pairs & torch.ones_like(pairs).tril()


def random_groups(lengths: Sequence[tuple[int, int]], seed: int = 0) -> list[TokenGroup]:
    """Groups of random ids, by (time length, token length)."""
    random = torch.Generator().manual_seed(seed)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(torch.randint(0, 256, (n,), generator=random).tolist())

    return [TokenGroup(ids(time), ids=ids(tokens)) for time, tokens in lengths]


def ids_of(groups: Sequence[TokenGroup]) -> list[int]:
    return [each for group in groups for each in (*group.time_ids, *(group.ids or ()))]


class Tools:
    """What the tests of this folder share."""

    allowed_pairs = staticmethod(allowed_pairs)
    random_groups = staticmethod(random_groups)
    ids_of = staticmethod(ids_of)
    rotated = staticmethod(rotated)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Products this small take longer to share among threads than to do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), tie_word_embeddings=False)


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    return tiny_decoder(tmp_path_factory.mktemp("decoder"), tie_word_embeddings=False)


@pytest.fixture(scope="session")
def twin(decoder: Decoder) -> Twin:
    return Twin(decoder)


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> LanguageModel:
    return LanguageModel.from_folder(checkpoint, steps="model")
