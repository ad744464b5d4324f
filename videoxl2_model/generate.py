"""Token by token over a cache: greedy or drawn, streaming. Knows ids, no text."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from videoxl2_model.config import GenerationSettings
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.decoder import Decoder


def generate(
    decoder: Decoder, cache: DecodeCache, ids: Sequence[int], settings: GenerationSettings
) -> Iterator[int]:
    """Run the question's ids over the cache and yield the answer's ids as they come.

    A stop id ends it and is not yielded. The cache grows by question and answer; `rewind` it for
    another question. A device is waited for once a token: whoever streams needs the id.

    Raises:
        RoomError: question and answer do not fit the cache.
    """
    cache.reserve(len(ids) + settings.max_new_tokens - 1)
    random = torch.Generator().manual_seed(settings.seed)
    logits = decoder.extend(cache, ids)
    answer: list[int] = []
    while True:
        token = choose(logits, answer, settings, random)
        if token in settings.stop_ids:
            return
        answer.append(token)
        yield token
        if len(answer) == settings.max_new_tokens:
            return
        logits = decoder.step(cache, token)


def choose(
    logits: Tensor, answer: Sequence[int], settings: GenerationSettings, random: torch.Generator
) -> int:
    """Return the next id from logits [vocabulary], given the ids generated so far."""
    logits = _penalised(logits, answer, settings.repetition_penalty)
    if settings.temperature == 0:
        return int(logits.argmax())
    weights = torch.softmax(logits.cpu() / settings.temperature, dim=-1)
    order = weights.argsort(descending=True)
    sums = weights[order].cumsum(0)
    # The smallest set whose weight reaches top_p: an entry stays if those before it do not.
    kept = order[(sums - weights[order]) < settings.top_p]
    return int(kept[torch.multinomial(weights[kept], 1, generator=random)])


def _penalised(logits: Tensor, answer: Sequence[int], penalty: float) -> Tensor:
    if penalty == 1.0 or not answer:
        return logits
    seen = torch.tensor(sorted(set(answer)), device=logits.device)
    values = logits[seen]
    changed = torch.where(values > 0, values / penalty, values * penalty)
    return logits.index_copy(0, seen, changed)
