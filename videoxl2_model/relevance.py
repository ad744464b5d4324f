"""Which groups a question looks at: a cheap first pass over pooled keys.

The question runs over the video with every group pooled. In every layer and head its rows share
their attention among the groups' tokens (system text and timestamps left out: they draw attention
whatever is asked); a group's score is the largest share that any row gives it, averaged over heads
and layers. A hint for choosing dense chunks, weaker than a search where there is text: of five
facts among 100 lines the 0.5B model ranked them 17, 7, 6, 3, 6 with step 4 and 13, 3, 2, 3, 1
with step 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from videoxl2_model.config import SparseRule
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.decoder import Decoder
from videoxl2_model.errors import SettingError
from videoxl2_model.kv_cache import VideoKV


@torch.no_grad()
def score(decoder: Decoder, kv: VideoKV, ids: Sequence[int], step: int = 4) -> Tensor:
    """Return one score per group, float32 [num_groups], for a question's ids without template.

    Raises:
        AbsentGroupsError: a group was not read.
    """
    if not ids:
        raise SettingError("nothing to score by: no token ids")
    cache = kv.assemble([], room=len(ids), sparse=SparseRule("pooled", step), keep_ends=False)
    watching = _Watching(cache, _owners(kv, step), kv.num_groups)
    decoder.forward(decoder.embed(ids), watching)
    return watching.shares / decoder.spec.layers


def _owners(kv: VideoKV, step: int) -> Tensor:
    """Return the group of each pooled entry [P], -1 for system text and timestamps."""
    owners = [-1] * len(kv.system_ids)
    for index, entry in enumerate(kv.entries()):
        owners += [-1] * entry.time_length
        owners += [index] * -(-entry.token_length // step)
    return torch.tensor(owners, device=kv.device)


class _Watching:
    """A cache's attention that also adds up whom the rows look at."""

    def __init__(self, cache: DecodeCache, owners: Tensor, num_groups: int) -> None:
        self._cache = cache
        self._entries = (owners >= 0).nonzero().flatten()
        self._owners = owners[self._entries]
        self.shares = torch.zeros(num_groups, device=owners.device)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        keys = self._cache.keys(layer)[:, self._entries]  # [H_kv, E, D]
        heads, rows, dim = query.shape
        turned = self._cache.rotate_new(query).to(keys.dtype).reshape(keys.shape[0], -1, dim)
        weights = (turned @ keys.transpose(1, 2)).float().mul_(dim**-0.5).softmax(-1)
        by_group = weights.new_zeros(heads * rows, len(self.shares))
        by_group.index_add_(1, self._owners, weights.flatten(0, 1))
        self.shares += by_group.view(heads, rows, -1).amax(1).mean(0)
        return self._cache.attend(layer, query, key, value)

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        self._cache.keep(layer, key, value)
