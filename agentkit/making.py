"""The sampling as a fingerprint says it, and back: what is made again is sampled as it was."""

from typing import get_args

from agentkit.types import SamplingMode, SamplingPlan


def sampling_text(plan: SamplingPlan) -> str:
    """Return a plan as the fingerprint of a stored video begins with it."""
    return f"{plan.mode}/{plan.fps:g}/{plan.max_frames}/{plan.max_fps}/{plan.frames_per_group}"


def plan_of(making: str) -> SamplingPlan | None:
    """Return the plan that a fingerprint begins with; None where it begins with none."""
    parts = making.partition("|")[0].split("/")
    if len(parts) != len(SamplingPlan.__dataclass_fields__) or parts[0] not in get_args(
        SamplingMode
    ):
        return None
    mode, fps, max_frames, max_fps, per_group = parts
    try:
        return SamplingPlan(
            mode=mode,  # type: ignore[arg-type]  # it is one of them
            fps=float(fps),
            max_frames=None if max_frames == "None" else int(max_frames),
            max_fps=None if max_fps == "None" else float(max_fps),
            frames_per_group=int(per_group),
        )
    except ValueError:
        return None
