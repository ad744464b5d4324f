"""One forward of the language model over embedding rows and a cache. Knows no text, no video.

The weights live in transformers' Qwen2 modules; the loop over the layers and the attention are
ours, because keys are needed before rotation and transformers caches them after it.
"""

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from videoxl2_model.config import StepWeights
from videoxl2_model.cuda import move, upload
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.errors import SettingError
from videoxl2_model.pages import KVSpec
from videoxl2_model.static_step import Attention, StaticStep
from videoxl2_model.steps import DecoderOps, gated, model_ops, step_ops

logger = logging.getLogger(__name__)


class Decoder:
    """A Qwen2 language model.

    `steps` names the weight type for single-row steps; `auto` takes int8 on a CPU in float32
    (fastest there, see benchmarks) and the loaded weights elsewhere.

    Raises:
        SettingError: `steps` is int8 and the layers are not on a CPU.
    """

    def __init__(self, model: Any, steps: StepWeights = "auto") -> None:
        self.model = model
        config = model.config
        self.config = config
        self.query_heads: int = config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.query_heads
        self.spec = KVSpec(
            layers=config.num_hidden_layers,
            kv_heads=config.num_key_value_heads,
            head_dim=head_dim,
            rope_base=float(config.rope_parameters["rope_theta"]),
        )
        if steps == "auto":
            on_cpu = self.device.type == "cpu" and self.dtype == torch.float32
            steps = "int8" if on_cpu else "model"
        if steps == "int8" and self.device.type != "cpu":
            raise SettingError(
                f'steps="int8" runs on a CPU only, not on {self.device}; take "model" or "bfloat16"'
            )
        self.steps: StepWeights = steps
        self._ops = model_ops(model)

    @property
    def device(self) -> torch.device:
        """Where the layers are; the embedding table may lie in host memory."""
        return self._norm.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of activations; the weights of linear layers may be narrower."""
        return self._norm.dtype

    @property
    def _norm(self) -> Tensor:
        return self.model.model.norm.weight  # type: ignore[no-any-return]  # transformers is untyped here

    @property
    def hidden_size(self) -> int:
        return int(self.config.hidden_size)

    @property
    def max_positions(self) -> int:
        """Positions the model was trained for."""
        return int(self.config.max_position_embeddings)

    @cached_property
    def _step_ops(self) -> DecoderOps:
        logger.debug("packing weights for single-row steps: %s", self.steps)
        return step_ops(self.model, self.steps)

    def prepare_steps(self) -> None:
        """Pack the single-row weights now instead of at the first step."""
        _ = self._step_ops

    @torch.no_grad()
    def embed(self, ids: Sequence[int]) -> Tensor:
        """Return the embedding rows of ids, [len(ids), hidden]."""
        size = int(self.config.vocab_size)
        if any(not 0 <= each < size for each in ids):
            raise SettingError(f"token ids must lie in 0..{size - 1}")
        table: Tensor = self.model.model.embed_tokens.weight
        return move(F.embedding(upload(list(ids), table.device), table), self.device)

    @torch.no_grad()
    def forward(
        self, rows: Tensor, attention: Attention, *, hidden: bool = True, step: bool = False
    ) -> Tensor:
        """Run rows [R, hidden] through all layers; return the normed last hidden state.

        Without `hidden` the last layer gives its keys and values only and the result is not
        to be read. With `step` the single-row weights are used.
        """
        ops = self._step_ops if step else self._ops
        last = len(ops.layers) - 1
        for index, layer in enumerate(ops.layers):
            query, key, value = (self._heads(x) for x in layer.qkv(layer.input_norm(rows)))
            if index == last and not hidden:
                attention.keep(index, key, value)
                return rows
            seen = attention.attend(index, query, key, value).transpose(0, 1).flatten(1)
            rows = rows + layer.output(seen.to(rows.dtype))
            rows = rows + layer.down(gated(*layer.gate_up(layer.mlp_norm(rows))))
        return ops.norm(rows)

    def _heads(self, x: Tensor) -> Tensor:
        """[R, heads * D] -> [heads, R, D]"""
        return x.view(x.shape[0], -1, self.spec.head_dim).transpose(0, 1)

    @torch.no_grad()
    def logits(self, hidden: Tensor, *, step: bool = False) -> Tensor:
        """Return the logits of normed hidden states [..., hidden], float32."""
        head = (self._step_ops if step else self._ops).head
        return head(hidden).float()

    @torch.no_grad()
    def extend_rows(self, cache: DecodeCache, rows: Tensor) -> Tensor:
        """Run rows [R, hidden] over a cache, causal among themselves; return their states."""
        cache.reserve(rows.shape[0])
        hidden = self.forward(rows, cache)
        cache.advance(rows.shape[0])
        return hidden

    def extend(self, cache: DecodeCache, ids: Sequence[int]) -> Tensor:
        """Run a question's ids over a cache; return the last position's logits, [vocabulary]."""
        if not ids:
            raise SettingError("nothing to run: no token ids")
        return self.logits(self.extend_rows(cache, self.embed(ids))[-1:])[0]

    @torch.no_grad()
    def step(self, cache: DecodeCache, token: int) -> Tensor:
        """Run one more token; return its logits, [vocabulary]. Uses the single-row weights."""
        cache.reserve(1)
        row = self.embed([token])
        one = self._static.step if self.device.type == "cuda" else self.run_row
        logits = one(row, cache)
        cache.advance(1)
        return logits

    @torch.no_grad()
    def run_row(self, row: Tensor, attention: Attention) -> Tensor:
        """Run one row [1, hidden] with the single-row weights; return its logits."""
        return self.logits(self.forward(row, attention, step=True), step=True)[0]

    @cached_property
    def _static(self) -> StaticStep:
        return StaticStep(self.run_row)
