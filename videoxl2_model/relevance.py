"""Which chunks a question looks at: how they are scored, and how many of them stay dense.

`score` is a cheap first pass over pooled keys. The question runs over the video with every group
pooled. In every layer and head its rows share their attention among the groups' tokens (system
text and timestamps left out: they draw attention whatever is asked); a group's score is the
largest share that any row gives it, averaged over heads and layers. A hint for choosing dense
chunks, weaker than a search where there is text: of five facts among 100 lines the 0.5B model
ranked them 17, 7, 6, 3, 6 with step 4 and 13, 3, 2, 3, 1 with step 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from videoxl2_model.assembly import Piece
from videoxl2_model.config import Budget, Relevance, SparseRule
from videoxl2_model.decoder import Decoder
from videoxl2_model.errors import SettingError
from videoxl2_model.kv_cache import VideoKV

GROUPS_PER_UNIT = 2
TILE_VALUES = 1 << 24  # attention weights at a time: 64 MiB, and some copies


@torch.no_grad()
def score(decoder: Decoder, kv: VideoKV, ids: Sequence[int], step: int = 4) -> Tensor:
    """Return one score per group, float32 [num_groups], for a question's ids without template.

    One layer of the pooled cache is alive at a time.

    Raises:
        AbsentGroupsError: a group was not read.
    """
    if not ids:
        raise SettingError("nothing to score by: no token ids")
    pieces = kv.select([], sparse=SparseRule("pooled", step), keep_ends=False)
    watching = _Watching(kv, pieces, len(ids), _owners(kv, step))
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
    """Attention over the pooled video, layer by layer, that adds up whom the rows look at."""

    def __init__(self, kv: VideoKV, pieces: Sequence[Piece], room: int, owners: Tensor) -> None:
        self._kv = kv
        self._pieces = pieces
        self._room = room
        self._others = owners < 0
        self._owners = owners.where(owners >= 0, kv.num_groups)  # one more, for all others
        self.shares = torch.zeros(kv.num_groups, device=kv.device)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        cache = self._kv.assemble_layer(layer, self._pieces, self._room)
        self.shares += self._look(cache.keys(0), cache.rotate_new(query))
        return cache.attend(0, query, key, value)

    def _look(self, keys: Tensor, query: Tensor) -> Tensor:
        """Return each group's share [G] for rotated keys [H_kv, P, D] and query [H_q, R, D]."""
        heads, rows, _ = query.shape
        at_once = max(1, TILE_VALUES // (heads * keys.shape[1]))
        best = torch.zeros(heads, self.shares.shape[0], device=keys.device)
        for start in range(0, rows, at_once):
            part = query[:, start : start + at_once].to(keys.dtype)
            best = torch.maximum(best, self._by_group(keys, part).amax(1))
        return best.mean(0)

    def _by_group(self, keys: Tensor, query: Tensor) -> Tensor:
        """Return what every head and row gives each group, [H_q, R, G]; without groups 0."""
        heads, rows, dim = query.shape
        turned = query.reshape(keys.shape[0], -1, dim)
        weights = (turned @ keys.transpose(1, 2)).float().mul_(dim**-0.5)  # [H_kv, n, P]
        weights.masked_fill_(self._others, -torch.inf)
        weights = weights.softmax(-1).nan_to_num_(0.0)
        groups = self.shares.shape[0]
        sums = weights.new_zeros(heads * rows, groups + 1)
        sums.index_add_(1, self._owners, weights.flatten(0, 1))
        return sums[:, :groups].view(heads, rows, groups)

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Nothing reads the question's own keys of a layer without output."""


def by_chunk(group_scores: Sequence[float], chunk_groups: int) -> list[float]:
    """Return each chunk's score: that of its best group."""
    starts = range(0, len(group_scores), chunk_groups)
    return [max(group_scores[start : start + chunk_groups]) for start in starts]


def chunk_sizes(kv: VideoKV, chunk_groups: int) -> list[int]:
    """Return each chunk's tokens, timestamps included.

    Raises:
        AbsentGroupsError: a group was not read.
    """
    sizes = [len(entry.rows) for entry in kv.entries()]
    starts = range(0, len(sizes), chunk_groups)
    return [sum(sizes[start : start + chunk_groups]) for start in starts]


def choose(
    scores: Sequence[float], sizes: Sequence[int], budget: Budget, *, keep_ends: bool = True
) -> set[int]:
    """Return the chunks to keep dense: the best by score, as far as the budget goes.

    Chunks are taken from the best on, the earlier of equals first, and the first that does not
    fit ends it: a larger budget only ever adds chunks. With `keep_ends` the first and the last
    chunk stay dense whatever they score, and are paid for first. Never more than the budget,
    except for those ends.

    Raises:
        SettingError: not as many scores as sizes, or a score is not a number.
    """
    if len(scores) != len(sizes):
        raise SettingError(f"{len(scores)} scores were given for {len(sizes)} chunks")
    if any(score != score for score in scores):
        raise SettingError("a score is not a number; check the search or the model it comes from")
    chosen = {0, len(sizes) - 1} if keep_ends and sizes else set()
    costs, limit = _priced(sizes, budget)
    spent = sum(costs[index] for index in chosen)
    order = sorted(range(len(sizes)), key=lambda index: (-scores[index], index))
    for index in (each for each in order if each not in chosen):
        spent += costs[index]
        if spent > limit:
            break
        chosen.add(index)
    return chosen


def _priced(sizes: Sequence[int], budget: Budget) -> tuple[Sequence[int], float]:
    """Return what each chunk costs, and what may be spent."""
    if budget.top_k is not None:
        return [1] * len(sizes), budget.top_k
    if budget.tokens is not None:
        return sizes, budget.tokens
    assert budget.share is not None
    return sizes, budget.share * sum(sizes)


def dense_chunks_for(
    relevance: Relevance,
    kv: VideoKV,
    *,
    chunk_groups: int = 4,
    keep_ends: bool = True,
    decoder: Decoder | None = None,
    question: Sequence[int] = (),
    scores: Sequence[float] | None = None,
) -> set[int]:
    """Return the chunks to keep dense by a strategy, to be given to `VideoKV.assemble`.

    `attention` needs the decoder and the question's ids, `scores` one score a chunk.

    Raises:
        SettingError: what the strategy needs is not given.
        AbsentGroupsError: a group that was not read is needed.
    """
    num_chunks = -(-kv.num_groups // chunk_groups)
    if relevance.by == "all":
        return set(range(num_chunks))
    if relevance.by == "chunks":
        return set(relevance.which)
    if relevance.by == "units":
        return {unit * GROUPS_PER_UNIT // chunk_groups for unit in relevance.which}
    if relevance.budget is None:
        return set()
    if relevance.by == "attention":
        if decoder is None:
            raise SettingError("relevance by attention needs the decoder and the question's ids")
        scores = by_chunk(score(decoder, kv, question).tolist(), chunk_groups)
    if scores is None:
        raise SettingError("relevance by scores needs a score for every chunk")
    sizes = chunk_sizes(kv, chunk_groups)
    return choose(scores, sizes, relevance.budget, keep_ends=keep_ends)
