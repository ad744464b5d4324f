"""A language model with its tokenizer, over a prefilled video. Knows text; knows no video file."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from videoxl2_model.config import GenerationSettings, PrefillConfig, SparseRule, StepWeights
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.decoder import Decoder
from videoxl2_model.generate import generate
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.prefill import Prefill, TokenGroup
from videoxl2_model.relevance import score
from videoxl2_model.tokenizing import load_tokenizer
from videoxl2_model.weights import load_decoder

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
LONGEST_CHARACTER = 4  # bytes of UTF-8, so tokens that may wait for one
STOPS = ("<|im_end|>", "<|endoftext|>")


class LanguageModel:
    """A decoder and its tokenizer, in the ChatML form of Qwen2.5."""

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer) -> None:
        self.decoder = decoder
        self.tokenizer = tokenizer
        # Set once: control words in a text are text, unless `encode` is told otherwise.
        tokenizer.encode_special_tokens = True
        added = tokenizer.get_added_tokens_decoder()
        self._control_ids = {token.content: index for index, token in added.items()}
        words = "|".join(map(re.escape, self._control_ids)) or "(?!)"  # else: never
        self._control = re.compile(f"({words})")
        known = (tokenizer.token_to_id(word) for word in STOPS)
        self.stop_ids = tuple(each for each in known if each is not None)

    @classmethod
    def from_folder(
        cls,
        folder: Path | str,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        steps: StepWeights = "auto",
    ) -> "LanguageModel":
        """Load a folder with config.json, safetensors and tokenizer.json.

        Raises:
            CheckpointError: a file is missing, damaged, or does not fit.
        """
        tokenizer = load_tokenizer(Path(folder))
        return cls(load_decoder(folder, dtype, device, steps), tokenizer)

    @property
    def max_positions(self) -> int:
        return self.decoder.max_positions

    def encode(self, text: str, *, specials: bool = False) -> list[int]:
        """Return a text's ids; `specials` lets words such as <|im_end|> stand for their token.

        Without it they are plain text, as whatever people, pictures or sound say must be.
        """
        if not specials:
            return list(self.tokenizer.encode(text, add_special_tokens=False).ids)
        pieces = self._control.split(text)  # texts and control words in turn
        ids: list[int] = []
        for index, piece in enumerate(pieces):
            ids += [self._control_ids[piece]] if index % 2 else self.encode(piece)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def embed_ids(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the embedding rows of ids, [len(ids), hidden]."""
        return self.decoder.embed(ids).float().cpu().numpy()

    def system_ids(self, system: str) -> list[int]:
        """Return what stands before the video: the system turn and the opening of the user's."""
        return [
            *self.encode("<|im_start|>", specials=True),
            *self.encode(f"system\n{system}"),  # one piece, as the reference tokenises it
            *self.encode("<|im_end|>\n<|im_start|>user\n", specials=True),
        ]

    def question_ids(self, text: str, history: Iterable[tuple[str, str]] = ()) -> list[int]:
        """Return what stands after the video; earlier questions and answers first."""
        ids: list[int] = []
        before = "\n"  # one piece with the first question: that is how it is tokenised
        for question, answer in history:
            ids += [*self.encode(before + question), *self._answer_ids(), *self.encode(answer)]
            ids += self.encode("<|im_end|>\n<|im_start|>", specials=True)
            before = "user\n"
        return [*ids, *self.encode(before + text), *self._answer_ids()]

    def _answer_ids(self) -> list[int]:
        return self.encode("<|im_end|>\n<|im_start|>assistant\n", specials=True)

    def group(self, time_text: str, text: str) -> TokenGroup:
        """Return a group whose tokens are a line of text."""
        return TokenGroup(tuple(self.encode(time_text)), ids=tuple(self.encode(text)))

    def start(
        self, system: str, config: PrefillConfig | None = None, kv: VideoKV | None = None
    ) -> Prefill:
        """Return a prefill to add groups to, new or after the groups of `kv`."""
        return Prefill(self.decoder, self.system_ids(system), config, kv)

    def prefill(
        self, system: str, groups: Iterable[TokenGroup], config: PrefillConfig | None = None
    ) -> VideoKV:
        """Run all groups after the system text and return the cache."""
        run = self.start(system, config)
        for group in groups:
            run.add(group)
        run.flush()
        return run.kv

    def score(self, kv: VideoKV, question: str, step: int = 4) -> Tensor:
        """Return how much a question looks at each group, [num_groups] (see `relevance`)."""
        return score(self.decoder, kv, self.encode(question), step)

    def generate(
        self,
        kv: VideoKV,
        prompt: str | Sequence[int],
        dense: Collection[int],
        *,
        settings: GenerationSettings | None = None,
        chunk_groups: int = 4,
        sparse: SparseRule | None = None,
        keep_ends: bool = True,
    ) -> Iterator[str]:
        """Yield the answer's text as it comes, over chunks in `dense` whole and others sparse.

        The prompt is what stands after the video: ids (see `question_ids`), or text in which
        ChatML words stand for their tokens; text of others does not belong in there.

        Raises:
            UnknownChunkError, AbsentGroupsError: see `VideoKV.assemble`.
            RoomError: video, question and answer exceed the model's positions.
        """
        settings = settings or GenerationSettings()
        ids = self.encode(prompt, specials=True) if isinstance(prompt, str) else list(prompt)
        cache = kv.assemble(
            dense,
            room=len(ids) + settings.max_new_tokens,
            chunk_groups=chunk_groups,
            sparse=sparse,
            keep_ends=keep_ends,
            max_positions=self.max_positions,
        )
        return self.answer(cache, ids, settings)

    def answer(
        self, cache: DecodeCache, ids: Sequence[int], settings: GenerationSettings
    ) -> Iterator[str]:
        """Yield the answer's text over an assembled cache; stops at the end of the turn too."""
        settings = replace(settings, stop_ids=(*settings.stop_ids, *self.stop_ids))
        return self.stream(generate(self.decoder, cache, ids, settings))

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yield the text of ids as they come, never half a character."""
        held: list[int] = []  # ids whose text has not been given yet, after one that gives context
        given = ""
        for each in ids:
            held.append(each)
            text = self.decode(held)
            if text.endswith(UNFINISHED) and len(held) <= LONGEST_CHARACTER:
                continue
            if len(text) > len(given):
                yield text[len(given) :]
            held, given = held[-1:], self.decode(held[-1:])
        rest = self.decode(held)[len(given) :]
        if rest:
            yield rest
