"""Qwen2's tokenizer, rebuilt from the vocabulary and merges that a GGUF carries."""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors
from tokenizers import pre_tokenizers as pre

from agentkit.models.files import part_path

# The rule by which Qwen2 cuts text into words before it merges bytes (Qwen2Tokenizer):
# contractions, letters with one mark before them, single digits, runs of marks, line ends, blanks.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # token types of the GGUF specification


def build_tokenizer(
    tokens: Sequence[str], kinds: Sequence[int], merges: Sequence[str]
) -> Tokenizer:
    """Return the byte-level BPE tokenizer over `tokens`, whose place is their id.

    `kinds` are GGUF token types: control tokens become special tokens, user-defined ones are found
    in text but kept when decoding, unused padding is left out.
    """
    vocabulary = {
        token: index
        for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind == _NORMAL
    }
    pairs = [_pair(merge) for merge in merges]
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, fuse_unk=False, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre.Sequence(
        [
            pre.Split(Regex(WORDS), behavior="isolated", invert=False),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(
        add_prefix_space=False, trim_offsets=False, use_regex=False
    )
    tokenizer.decoder = decoders.ByteLevel()
    _add_special(tokenizer, tokens, kinds)
    return tokenizer


def write_tokenizer(
    folder: Path,
    *,
    tokens: Sequence[str],
    kinds: Sequence[int],
    merges: Sequence[str],
    end_id: int,
    pad_id: int,
    chat_template: str = "",
) -> None:
    """Write tokenizer.json, and the tokenizer_config.json by which transformers finds it."""
    tokenizer = build_tokenizer(tokens, kinds, merges)
    part = part_path(folder / "tokenizer.json")
    tokenizer.save(str(part))
    part.replace(folder / "tokenizer.json")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": tokens[end_id],
        "pad_token": tokens[pad_id],
        "clean_up_tokenization_spaces": False,
        "model_max_length": 131072,
        "chat_template": chat_template,
    }
    part = part_path(folder / "tokenizer_config.json")
    part.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(folder / "tokenizer_config.json")


def _pair(merge: str) -> tuple[str, str]:
    left, right = merge.split(" ")  # the byte alphabet writes a blank as another letter
    return left, right


def _add_special(tokenizer: Tokenizer, tokens: Sequence[str], kinds: Sequence[int]) -> None:
    """Add control and user-defined tokens, each under the id that it has in the GGUF."""
    for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        if kind in (_CONTROL, _USER_DEFINED):
            special = kind == _CONTROL
            added = AddedToken(token, normalized=False, special=special)
            tokenizer.add_special_tokens([added]) if special else tokenizer.add_tokens([added])
            if tokenizer.token_to_id(token) != index:
                raise ValueError(
                    f"token {token!r} got id {tokenizer.token_to_id(token)}, not {index}"
                )
