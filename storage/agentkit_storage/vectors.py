"""Nearest vectors by cosine. Knows ids and numbers; knows no SQL, no video.

Exact and flat: right up to some 20,000 vectors. Larger kinds belong behind this same class.
"""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from agentkit_storage.errors import VectorError
from agentkit_storage.records import unit_vector

Ids = NDArray[np.int64]


class VectorIndex:
    """Unit vectors of one size, by id. Ids only ever grow, so that none can be there twice."""

    def __init__(self, size: int) -> None:
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(size))
        self._last_id = 0
        self.size = size

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def ids(self) -> Ids:
        """All ids, [N], in no order."""
        return np.asarray(faiss.vector_to_array(self._index.id_map), np.int64)

    def add(self, ids: Ids, vectors: NDArray[np.float32]) -> None:
        """Add unit vectors [N, E] under rising ids [N].

        Raises:
            VectorError: another size, NaN, or an id that is not above all ids before.
        """
        if vectors.shape != (len(ids), self.size):
            raise VectorError(f"shape {vectors.shape} instead of {(len(ids), self.size)}")
        if not np.isfinite(vectors).all():
            raise VectorError("NaN or infinite numbers in a vector")
        if (np.diff(ids, prepend=self._last_id) <= 0).any():
            raise VectorError("ids must rise; was a vector added twice?")
        if len(ids):
            self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), ids)
            self._last_id = int(ids[-1])

    def remove(self, ids: Ids) -> None:
        """Forget ids; those that are not there are no error."""
        if len(ids) and len(self):
            self._index.remove_ids(_selector(ids))

    def search(
        self, vector: NDArray[np.float32], k: int, only: Ids | None = None
    ) -> list[tuple[int, float]]:
        """Return up to `k` (id, cosine), best first; `only` limits the search to some ids."""
        query = unit_vector(vector, "the query", self.size)[None]
        if k < 1 or not len(self) or (only is not None and not len(only)):
            return []
        params = None if only is None else _filter(_selector(only))
        scores, ids = self._index.search(query, min(k, len(self)), params=params)
        # FAISS pads with -1 where the filter leaves fewer than k.
        found = [(int(id_), float(s)) for id_, s in zip(ids[0], scores[0], strict=True) if id_ >= 0]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def dump(self) -> bytes:
        """Return all of it as bytes."""
        return bytes(faiss.serialize_index(self._index).tobytes())

    @classmethod
    def load(cls, data: bytes) -> "VectorIndex":
        """Return what `dump` wrote. The bytes must be known to be whole: FAISS checks nothing."""
        inner: Any = faiss.deserialize_index(np.frombuffer(data, np.uint8))
        if not isinstance(inner, faiss.IndexIDMap2):
            raise VectorError("not an index of ours")
        index = cls(inner.d)
        index._index = inner
        index._last_id = int(index.ids.max(initial=0))
        return index


def _selector(ids: Ids) -> Any:
    return faiss.IDSelectorBatch(np.ascontiguousarray(ids, np.int64))


def _filter(selector: Any) -> Any:
    # FAISS's stub does not know that parameters are given by name.
    return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
