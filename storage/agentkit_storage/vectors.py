"""Nearest vectors by cosine, kept in any of the kinds. Knows ids and numbers; no SQL, no video."""

import math
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from agentkit_storage import vector_kinds
from agentkit_storage.errors import VectorError
from agentkit_storage.records import unit_vector
from agentkit_storage.vector_kinds import Kind

Ids = NDArray[np.int64]


class VectorIndex:
    """Unit vectors of one size, by id. Ids only ever grow, so that none can be there twice.

    `made_for` is how many vectors it was laid out for; a kind other than flat is trained on
    `sample` [N, E], and its scores are near the cosine, not the cosine. `probes` is how many lists
    a search of IVF-SQ8 reads; `tune` chooses it.
    """

    def __init__(
        self,
        size: int,
        kind: Kind = Kind.FLAT,
        made_for: int = 0,
        sample: NDArray[np.float32] | None = None,
    ) -> None:
        self._index = vector_kinds.make(kind, size, made_for, sample)
        self._last_id = 0
        self.size = size
        self.kind = kind
        self.made_for = made_for
        self.probes = 1

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def exact(self) -> bool:
        """Whether `search` misses nothing and its scores are the cosines."""
        return self.kind is Kind.FLAT

    @property
    def ids(self) -> Ids:
        """All ids, [N], in no order."""
        return vector_kinds.ids_in(self._index)

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
        """Return up to `k` (id, score), best first; `only` limits the search to some ids.

        IVF-SQ8 reads more lists where `only` leaves less in each, and all where they hold fewer
        than `k`: a search never comes back short.
        """
        query = unit_vector(vector, "the query", self.size)[None]
        if k < 1 or not len(self) or (only is not None and not len(only)):
            return []
        if self.kind is not Kind.IVF_SQ8:
            return self._found(query, k, _parameters(only))
        lists = self._index.nlist
        share = 1.0 if only is None else min(1.0, len(only) / len(self))
        probes = min(lists, math.ceil(self.probes / share))
        found = self._found(query, k, _ivf_parameters(only, probes))
        wanted = min(k, len(self) if only is None else len(only))
        if len(found) < wanted and probes < lists:
            return self._found(query, k, _ivf_parameters(only, lists))
        return found

    def tune(
        self, queries: NDArray[np.float32], recall: float, least: int = 1, k: int = 10
    ) -> None:
        """Read as many lists as find this part of the `k` nearest of stored `queries` [N, E]."""
        if self.kind is not Kind.IVF_SQ8 or not len(self):
            return
        lists = self._index.nlist
        truth = self._nearest(queries, k, lists)
        self.probes = min(least, lists)
        while self.probes < lists:
            if _shared(self._nearest(queries, k, self.probes), truth) >= recall:
                break
            self.probes = min(lists, math.ceil(1.25 * self.probes))

    def _nearest(self, queries: NDArray[np.float32], k: int, probes: int) -> list[set[int]]:
        """Return the ids nearest to each stored query, but for the best: itself."""
        params = _ivf_parameters(None, probes)
        _, ids = self._index.search(np.ascontiguousarray(queries), k + 1, params=params)
        return [set(row[1:].tolist()) - {-1} for row in ids]

    def _found(self, query: NDArray[np.float32], k: int, params: Any) -> list[tuple[int, float]]:
        scores, ids = self._index.search(query, min(k, len(self)), params=params)
        # FAISS pads with -1 where it has fewer than k.
        found = [(int(id_), float(s)) for id_, s in zip(ids[0], scores[0], strict=True) if id_ >= 0]
        return best_first(found)

    def dump(self) -> bytes:
        """Return all of it as bytes."""
        return bytes(faiss.serialize_index(self._index).tobytes())

    @classmethod
    def load(cls, data: bytes | memoryview, made_for: int = 0, probes: int = 1) -> "VectorIndex":
        """Return what `dump` wrote. The bytes must be known to be whole: FAISS checks nothing."""
        inner: Any = faiss.deserialize_index(np.frombuffer(data, np.uint8))
        index = cls(inner.d)
        index.kind, index.made_for = vector_kinds.kind_of(inner), made_for
        index.probes = probes
        index._index = inner
        index._last_id = int(index.ids.max(initial=0))
        return index


def best_first(found: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return (id, score) pairs in the order of every search: by score, then by id."""
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def _shared(found: list[set[int]], truth: list[set[int]]) -> float:
    """Return the part of the truth that was found, over all queries."""
    hits = sum(len(mine & wanted) for mine, wanted in zip(found, truth, strict=True))
    return hits / max(1, sum(len(wanted) for wanted in truth))


def _parameters(only: Ids | None) -> Any:
    # FAISS's stub does not know that parameters are given by name.
    return None if only is None else faiss.SearchParameters(sel=_selector(only))  # type: ignore[call-arg]


def _ivf_parameters(only: Ids | None, probes: int) -> Any:
    selector = None if only is None else _selector(only)
    return faiss.SearchParametersIVF(sel=selector, nprobe=probes)  # type: ignore[call-arg]


def _selector(ids: Ids) -> Any:
    return faiss.IDSelectorBatch(np.ascontiguousarray(ids, np.int64))
