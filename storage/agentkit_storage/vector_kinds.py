"""The kinds of vector index and how many vectors each is for. Knows FAISS; knows no SQL, no ids.

Flat keeps float32 and is exact. SQ8 keeps a byte a number and reads all of them; IVF-SQ8 sorts
them into lists and reads the lists near the query. Both are trained on a sample.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from agentkit_storage.errors import VectorError

Floats = NDArray[np.float32]

# How far the codes' range goes beyond the sample's, as a part of it: what lies outside is cut off.
_MARGIN = 0.25
_TRAINING_ROUNDS = 6


class Kind(StrEnum):
    """How vectors are kept in memory, smallest spaces first; the value stands in a snapshot."""

    FLAT = "flat"
    SQ8 = "sq8"
    IVF_SQ8 = "ivf-sq8"


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Which kind a space gets, by its number of vectors, and how hard a search looks."""

    sq8_from: int = 20_001
    ivf_from: int = 1_000_000
    candidates: int = 4  # so many times k are re-scored with the stored vectors
    sample: int = 20_000  # vectors to train on, at least
    sample_per_list: int = 50
    probes: int = 16  # lists that IVF-SQ8 reads at least: questions are not quite like passages
    recall: float = 0.98  # of the 10 nearest: as many lists are read as find them
    recall_queries: int = 100  # vectors of the sample on which that is measured
    growth: int = 4  # an index trained on n vectors serves up to so many times n
    seed: int = 1234

    def kind_for(self, count: int) -> Kind:
        """Return the kind for so many vectors."""
        if count >= self.ivf_from:
            return Kind.IVF_SQ8
        return Kind.SQ8 if count >= self.sq8_from else Kind.FLAT

    def first_kind_for(self, count: int) -> Kind:
        """Return the kind that so many vectors get while nothing else is there to be searched.

        SQ8's training looks at its sample once; IVF's takes longer than reading all vectors.
        """
        return Kind.FLAT if self.kind_for(count) is Kind.FLAT else Kind.SQ8

    def fits(self, kind: Kind, made_for: int, count: int) -> bool:
        """Say whether an index made for `made_for` vectors is the one for `count`."""
        return not self.unfit(kind, count) and not self.outgrown(kind, made_for, count)

    def outgrown(self, kind: Kind, made_for: int, count: int) -> bool:
        """Say whether `count` vectors are too many for an index made for `made_for`."""
        kinds = list(Kind)
        if kinds.index(self.kind_for(count)) > kinds.index(kind):
            return True
        return kind is not Kind.FLAT and count > self.growth * made_for

    def unfit(self, kind: Kind, count: int) -> bool:
        """Say whether another kind is for `count` vectors.

        A larger kind stays down to half of where it begins: removing a vector and adding it
        again at the border makes nothing anew.
        """
        return kind not in (self.kind_for(count), self.kind_for(2 * count))

    def most(self, kind: Kind) -> int | None:
        """Return how many vectors a kind may hold while another is made; None: any number.

        Flat takes four times the memory of the others.
        """
        return self.growth * self.sq8_from if kind is Kind.FLAT else None

    def sample_size(self, kind: Kind, count: int) -> int:
        """Return how many of `count` vectors an index of a kind is trained on; 0 for flat."""
        if kind is Kind.FLAT:
            return 0
        lists = num_lists(count) if kind is Kind.IVF_SQ8 else 0
        return min(count, max(self.sample, lists * self.sample_per_list))


def num_lists(count: int) -> int:
    """Return into how many lists IVF sorts so many vectors."""
    return max(1, round(2 * math.sqrt(count)))


def make(kind: Kind, size: int, count: int = 0, sample: Floats | None = None) -> Any:
    """Return an empty FAISS index of inner products, for `count` vectors like the sample [N, E].

    Raises:
        VectorError: nothing to train on, for a kind that is trained.
    """
    if kind is Kind.FLAT:
        return faiss.IndexIDMap2(faiss.IndexFlatIP(size))
    if sample is None or not len(sample):
        raise VectorError(f"an index of kind {kind} needs vectors to be trained on")
    index = _sq8(size) if kind is Kind.SQ8 else _ivf_sq8(size, min(num_lists(count), len(sample)))
    index.train(np.ascontiguousarray(sample, np.float32))
    return faiss.IndexIDMap2(index) if kind is Kind.SQ8 else index


def kind_of(index: Any) -> Kind:
    """Return which of ours a FAISS index is, or raise VectorError."""
    if isinstance(index, faiss.IndexIVFScalarQuantizer):
        return Kind.IVF_SQ8
    if isinstance(index, faiss.IndexIDMap2):
        inner = faiss.downcast_index(index.index)
        if isinstance(inner, faiss.IndexScalarQuantizer):
            return Kind.SQ8
        if isinstance(inner, faiss.IndexFlatIP):
            return Kind.FLAT
    raise VectorError("not an index of ours")


def ids_in(index: Any) -> NDArray[np.int64]:
    """Return all ids, [N], in no order."""
    if kind_of(index) is not Kind.IVF_SQ8:
        return np.asarray(faiss.vector_to_array(index.id_map), np.int64)
    lists = index.invlists
    sizes = [lists.list_size(at) for at in range(index.nlist)]
    parts = [faiss.rev_swig_ptr(lists.get_ids(at), n) for at, n in enumerate(sizes) if n]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _sq8(size: int) -> Any:
    quantizer = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexScalarQuantizer(size, quantizer, faiss.METRIC_INNER_PRODUCT)
    index.sq.rangestat_arg = _MARGIN
    return index


def _ivf_sq8(size: int, lists: int) -> Any:
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(size),
        size,
        lists,
        faiss.ScalarQuantizer.QT_8bit,
        faiss.METRIC_INNER_PRODUCT,
        False,  # the vectors' own codes: residuals of a list that drifts would be cut off
    )
    index.sq.rangestat_arg = _MARGIN
    index.cp.spherical = True
    index.cp.niter = _TRAINING_ROUNDS
    index.cp.min_points_per_centroid = 1  # we choose the sample; FAISS need not warn
    return index
