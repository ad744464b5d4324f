"""Text to unit vectors with MiniLM on ONNX Runtime. Knows no store and no search."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnxruntime
    from tokenizers import Tokenizer

MODEL_FILE, TOKENIZER_FILE = "model.onnx", "tokenizer.json"
_MAX_TOKENS = 256  # what all-MiniLM-L6-v2 reads of a text (its sentence_bert_config.json)
# Texts of like length together: 200 a second on two cores, against 171 in batches of 32 and 142
# one by one.
_BATCH = 8


class MiniLM:
    """all-MiniLM-L6-v2, int8: mean of the tokens' vectors, at length 1. Is a `types.Embedder`."""

    size = 384

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """Load model.onnx and tokenizer.json of `folder`; `threads` defaults to all cores."""
        self.fingerprint = _fingerprint(folder)
        self._session = _session(folder / MODEL_FILE, threads)
        self._tokenizer = _tokenizer(folder / TOKENIZER_FILE)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, [len(texts), 384], in the order of `texts`.

        A text longer than 256 tokens is cut there. An empty text has a vector too. A text's vector
        does not depend on its neighbours beyond rounding: the weights are int8, the sums float32.
        """
        vectors = np.empty((len(texts), self.size), np.float32)
        by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        for start in range(0, len(texts), _BATCH):
            rows = by_length[start : start + _BATCH]
            vectors[rows] = self._batch([texts[row] for row in rows])
        return vectors

    def _batch(self, texts: list[str]) -> NDArray[np.float32]:
        encodings = self._tokenizer.encode_batch(texts)  # padded to the longest
        ids = np.array([encoding.ids for encoding in encodings], np.int64)  # [B, n]
        mask = np.array([encoding.attention_mask for encoding in encodings], np.int64)  # [B, n]
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (states,) = self._session.run(["last_hidden_state"], inputs)  # [B, n, 384]
        return pool(states, mask)


def pool(states: NDArray[np.float32], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the mean of each row's unmasked states at length 1: [B, n, D], [B, n] -> [B, D]."""
    weights = mask[..., None].astype(np.float32)  # [B, n, 1]
    mean = (states * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0)  # [B, D]
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    unit: NDArray[np.float32] = (mean / np.maximum(length, 1e-12)).astype(np.float32)
    return unit


def _session(path: Path, threads: int | None) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0  # 0: as many as there are cores
    # A waiting thread that spins takes the core from the language model beside it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _tokenizer(path: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_padding()  # to the longest; the file asks for 128 tokens always
    tokenizer.enable_truncation(_MAX_TOKENS)
    return tokenizer


def _fingerprint(folder: Path) -> str:
    """Name the vector space: the weights, the tokenizer and how they are used."""
    digest = hashlib.sha256(f"mean pooling, {_MAX_TOKENS} tokens".encode())
    for name in (MODEL_FILE, TOKENIZER_FILE):
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return f"minilm-{digest.hexdigest()[:16]}"
