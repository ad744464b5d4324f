"""What the check of one golden case found."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

TOLD = 60  # characters of a value that a reason quotes


@dataclass(slots=True)
class Report:
    """Largest differences of a case's arrays, and what is not equal where it must be."""

    case: str
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    what: str = ""
    tolerance: float = 1e-4
    differences: dict[str, float] = field(default_factory=dict)
    exact: set[str] = field(default_factory=set)  # names of what was compared for equality
    faults: list[str] = field(default_factory=list)

    def close(self, name: str, value: Tensor, golden: Tensor) -> None:
        """Compare numbers; a not-a-number on either side is infinitely far."""
        value = value.cpu()  # where golden arrays lie, whatever the device under test
        if value.shape != golden.shape:
            self.faults.append(f"{name}: shape {list(value.shape)} for {list(golden.shape)}")
            return
        far = float((value - golden).abs().max()) if value.numel() else math.inf
        far = math.inf if math.isnan(far) else far
        self.differences[name] = max(far, self.differences.get(name, 0.0))
        if far > self.tolerance:
            told = f"differs by {far:.1e}" if math.isfinite(far) else "not a number"
            self.faults.append(f"{name}: {told}")

    def array(self, name: str, value: Tensor) -> None:
        """Compare with the golden array of that name, if the case has it."""
        golden = self.arrays.get(name)
        if golden is None:
            return
        if golden.is_floating_point():
            self.close(name, value, golden)
        else:
            value = value.cpu()
            self.same(name, torch.equal(value, golden), _unlike(value, golden))

    def equal(self, name: str, value: object, golden: object) -> None:
        """Compare what must not differ at all."""
        self.same(name, value == golden, _told(value, golden))

    def same(self, name: str, equal: bool, fault: str) -> None:
        self.exact.add(name)
        if not equal:
            self.faults.append(f"{name}: {fault}")

    @property
    def worst(self) -> float | None:
        """The largest difference, 0 where all was compared for equality.

        None if nothing was compared, or something was not a number.
        """
        far = max(self.differences.values(), default=0.0)
        return far if self.compared and math.isfinite(far) else None

    @property
    def allowed(self) -> float:
        """What the largest difference may be."""
        return self.tolerance if self.differences else 0.0

    @property
    def compared(self) -> int:
        return len(self.differences) + len(self.exact)

    @property
    def left(self) -> list[str]:
        """Arrays of the case that nothing was compared with."""
        return sorted(set(self.arrays) - set(self.differences) - self.exact)

    @property
    def reason(self) -> str:
        """Why the case fails; empty if it does not."""
        if self.faults:
            more = f" (and {len(self.faults) - 3} more)" if len(self.faults) > 3 else ""
            return "; ".join(self.faults[:3]) + more
        return "" if self.compared else "nothing to compare"

    @property
    def passed(self) -> bool:
        return not self.reason


def _told(value: object, golden: object) -> str:
    if isinstance(value, list) and isinstance(golden, list):
        if len(value) != len(golden):
            return f"{len(value)} entries for {len(golden)}"
        at = next((i for i, (a, b) in enumerate(zip(value, golden, strict=True)) if a != b), 0)
        return f"entry {at}: {_told(value[at], golden[at])}" if value else ""
    return f"{str(value)[:TOLD]} for {str(golden)[:TOLD]}"


def _unlike(value: Tensor, golden: Tensor) -> str:
    if value.shape != golden.shape:
        return f"shape {list(value.shape)} for {list(golden.shape)}"
    return f"{int((value != golden).sum())} of {golden.numel()} entries differ"
