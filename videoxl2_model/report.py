"""What a checkpoint's folder holds, for people and programs to read."""

from dataclasses import dataclass
from typing import Any

from videoxl2_model.checkpoint import some
from videoxl2_model.fitting import Findings

VIDEO = "Video-XL-2"
TEXT = "Qwen2"


@dataclass(frozen=True, slots=True)
class Report:
    """What a folder holds, from names and shapes alone."""

    folder: str
    model: str
    files: int
    nbytes: int
    num_keys: int  # that are needed and there
    num_parameters: int  # in them
    types: dict[str, int]  # keys of each type
    tokenizer: str | None
    sizes: dict[str, Any]
    findings: Findings

    @property
    def faults(self) -> dict[str, list[str]]:
        """What forbids loading, by kind."""
        faults = self.findings.faults(strict=self.model != VIDEO)
        return faults if self.tokenizer else {**faults, "missing file": ["tokenizer.json"]}

    def __str__(self) -> str:
        types = ", ".join(f"{count} {name}" for name, count in sorted(self.types.items()))
        return (
            f"{self.model}: {self.num_keys} keys, {self.num_parameters:,} parameters ({types}),"
            f" {self.nbytes:,} bytes in {self.files} file(s)"
        )

    def lines(self) -> list[str]:
        """Return what a person reads, a line a fact."""
        kinds = {
            **self.faults,
            "never used": self.findings.unused,
            "unknown, left aside": self.findings.unknown,
        }
        if "unknown" in self.faults:
            del kinds["unknown, left aside"]
        told = [f"{len(keys)} {kind}: {some(keys)}" for kind, keys in kinds.items() if keys]
        sizes = [f"{name}: {value}" for name, value in self.sizes.items()]
        verdict = "cannot be loaded" if self.faults else "can be loaded"
        return [self.folder, str(self), *sizes, *told, verdict]
