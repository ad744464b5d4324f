"""Small phase files to hold the evaluators to: a truth, perfect predictions and bad ones."""

from collections.abc import Sequence
from pathlib import Path

from agentkit.types import Examples
from agentkit_healthcare.evaluators.phase_files import FRAMES_PER_S

PHASES = ("Preparation", "CalotTriangleDissection", "ClippingCutting")
SECONDS = (60, 90, 45)


def write_examples(folder: Path) -> Examples:
    """Write the three, one prediction a second; the bad ones flicker between wrong phases."""
    files = Examples(folder / "truth.txt", folder / "perfect.txt", folder / "bad.txt")
    spans = zip(PHASES, SECONDS, strict=True)
    true = [phase for phase, seconds in spans for _ in range(seconds)]
    others = {phase: [other for other in PHASES if other != phase] for phase in PHASES}
    wrong = [others[phase][place // 4 % 2] for place, phase in enumerate(true)]
    for path, names in (
        (files.ground_truth, true),
        (files.perfect, true),
        (files.bad, wrong),
    ):
        path.write_text(phase_text(names), encoding="utf-8")
    return files


def phase_text(names: Sequence[str], step: int = FRAMES_PER_S) -> str:
    """Return the text of a file in which every `step`-th frame has the next name."""
    rows = [f"{place * step}\t{name}" for place, name in enumerate(names)]
    return "\n".join(["Frame\tPhase", *rows, ""])
