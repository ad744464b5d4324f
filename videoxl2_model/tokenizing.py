"""The tokenizer of a checkpoint's folder, as a fast tokenizer whatever files it comes in."""

from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from videoxl2_model.checkpoint import read_json
from videoxl2_model.errors import CheckpointError

# How Qwen2 cuts text before merging bytes; digits stand alone.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONTROL = {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645}


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of tokenizer.json, else of vocab.json and merges.txt (Qwen2's BPE).

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    path = folder / "tokenizer.json"
    if not path.is_file() and (folder / "vocab.json").is_file():
        path = folder / "vocab.json"
    try:
        if path.name == "tokenizer.json":
            return Tokenizer.from_str(path.read_text(encoding="utf-8"))
        return _from_merges(folder)
    except CheckpointError:
        raise
    except Exception as error:  # the library raises plain Exception
        raise CheckpointError(f"{path}: cannot be read as a tokenizer: {error}") from error


def _from_merges(folder: Path) -> Tokenizer:
    vocabulary = read_json(folder / "vocab.json", "a vocabulary")
    tokenizer = Tokenizer(models.BPE(vocabulary, _merges(folder / "merges.txt")))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    for word, index in sorted(_added(folder).items(), key=lambda each: each[1]):
        tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False)])
        if tokenizer.token_to_id(word) != index:
            raise CheckpointError(
                f"{folder}: {word} should have the id {index}; vocab.json holds"
                f" {len(vocabulary)} other words"
            )
    return tokenizer


def _merges(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (tuple(line.split(" ")) for line in lines if line and not line.startswith("#version"))
    return [(pair[0], pair[1]) for pair in pairs]


def _added(folder: Path) -> dict[str, int]:
    """Return the words beyond the vocabulary: those of added_tokens.json, else ChatML's."""
    path = folder / "added_tokens.json"
    return {**CONTROL, **(read_json(path, "added words") if path.is_file() else {})}
