"""The vision tower: SigLIP's patch embedding and encoder layers, the last layer left out.

The modules are our own, with the public key names, and not transformers': the feature is the
residual stream after the last kept layer, and newer transformers hand out the post-layernormed
one under the same name. Here is no such norm, no pooling head and no list of hidden states.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from videoxl2_model.config import VisionConfig
from videoxl2_model.errors import SettingError


class PatchEmbedding(nn.Module):
    """Pixels to patch vectors, a learned position added; what lies beyond the last is unused."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch)
        self.position_embedding = nn.Embedding(config.patches_per_side**2, width)

    def forward(self, pixels: Tensor) -> Tensor:
        """[T, 3, S, S] -> [T, P, C]

        The strided convolution is a matrix product over patches: every device has a fast one,
        not every device a fast convolution of this shape.
        """
        patch = self.patch_embedding.kernel_size[0]
        side = pixels.shape[-1] // patch
        kept = pixels[..., : side * patch, : side * patch]
        cut = kept.reshape(len(pixels), 3, side, patch, side, patch)
        patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2).flatten(2)  # [T, P, 3 * patch**2]
        weight = self.patch_embedding.weight.flatten(1)  # [C, 3 * patch**2]
        rows = F.linear(patches, weight, self.patch_embedding.bias)
        return rows + self.position_embedding.weight


class SelfAttention(nn.Module):
    """Every patch of a frame sees every patch of it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, rows: Tensor) -> Tensor:
        """[T, P, C] -> [T, P, C]"""
        query, key, value = (
            project(rows).view(*rows.shape[:2], self.heads, -1).transpose(1, 2)  # [T, heads, P, D]
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        seen = F.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return mixed


class MLP(nn.Module):
    """Two linear maps around GELU in its tanh form."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, rows: Tensor) -> Tensor:
        mapped: Tensor = self.fc2(F.gelu(self.fc1(rows), approximate="tanh"))
        return mapped


class Layer(nn.Module):
    """x + attention(norm x), then x + MLP(norm x)."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.layer_norm1 = nn.LayerNorm(width, eps=eps)
        self.self_attn = SelfAttention(width, config.num_attention_heads)
        self.layer_norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width, config.intermediate_size)

    def forward(self, rows: Tensor) -> Tensor:
        """[T, P, C] -> [T, P, C]"""
        rows = rows + self.self_attn(self.layer_norm1(rows))
        mapped: Tensor = rows + self.mlp(self.layer_norm2(rows))
        return mapped


class Encoder(nn.Module):
    """Holds the kept layers under their public name; the tower runs them."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.kept_layers))


class VisionModel(nn.Module):
    """Holds the embedding and the encoder under their public names."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.embeddings = PatchEmbedding(config)
        self.encoder = Encoder(config)


class VisionTower(nn.Module):
    """Frames to patch features; keys are relative to `model.vision_tower.vision_tower.`."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = VisionModel(config)

    @torch.no_grad()
    def embed(self, pixels: Tensor) -> Tensor:
        """Return the patch vectors before the first layer, [T, P, C], of pixels [T, 3, S, S].

        Raises:
            SettingError: the frames have another size than the tower's, or another type.
        """
        side = self.config.image_size
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != (3, side, side):
            raise SettingError(
                f"frames of shape {list(pixels.shape)}; the tower takes [T, 3, {side}, {side}]:"
                " resize them first"
            )
        dtype = self.vision_model.embeddings.patch_embedding.weight.dtype
        if pixels.dtype != dtype:
            raise SettingError(f"pixels of type {pixels.dtype}; normalise them as {dtype} first")
        rows: Tensor = self.vision_model.embeddings(pixels)
        return rows

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Return the residual stream after the last kept layer, [T, P, C]; no norm follows.

        pixels: [T, 3, S, S], normalised, in the weights' type. Memory grows with T; give frames
        in lots.
        """
        rows = self.embed(pixels)
        for layer in self.vision_model.encoder.layers:
            rows = layer(rows)
        return rows
