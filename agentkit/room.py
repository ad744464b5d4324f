"""Does a video fit the GPU, asked before any work starts. Knows settings and sizes, no frame."""

from dataclasses import replace

from agentkit.config import Settings
from agentkit.rules import Rules
from agentkit.types import VideoInfo
from videoxl2_model import memory
from videoxl2_model.config import FRAMES_PER_GROUP, VideoXL2Config
from videoxl2_model.errors import RoomError
from videoxl2_model.memory import KVKind, Setting, Workload

CHUNK_GROUPS = 4
BATCH_FRAMES = CHUNK_GROUPS * FRAMES_PER_GROUP  # a chunk's frames go through the model at once


def require(
    config: VideoXL2Config,
    settings: Settings,
    rules: Rules,
    device_bytes: int,
    info: VideoInfo,
    num_frames: int,
) -> None:
    """Return where `num_frames` of the video fit as the settings are.

    Raises:
        RoomError: they do not; names the settings that would do, or how many frames would.
    """
    load = workload(settings, rules, info, num_frames)
    kv: KVKind = "int8" if rules.kv_dtype == "int8" else "model"
    chosen = Setting(settings.videoxl2_weights, kv, batch_frames=BATCH_FRAMES)
    plan = memory.plan_of(config, chosen, load, device_bytes)
    try:
        plan.require()
    except RoomError as error:
        others = [
            replace(each, batch_frames=BATCH_FRAMES)
            for each in memory.settings()
            if not each.offload
        ]
        fitting = (s for s in others if memory.plan_of(config, s, load, device_bytes).fits)
        remedy = _in_words(next(fitting, None))
        raise RoomError(f"{info.path}: {error}; {remedy}`--max-frames` looks at fewer") from error


def workload(settings: Settings, rules: Rules, info: VideoInfo, num_frames: int) -> Workload:
    """Return what a question under these settings will have to hold."""
    ask = settings.ask
    everything = ask.context == "dense" or ask.relevance == "all"
    ends = 2 if rules.keep_ends else 0
    return Workload(
        num_frames,
        fps=num_frames / max(info.duration_s, 1e-3),
        frame_pixels=info.size_px[0] * info.size_px[1],
        answer_tokens=ask.max_new_tokens,
        dense_groups=None if everything else CHUNK_GROUPS * (ask.k + ends),
        pooling_step=ask.pool_step,
        block_groups=settings.prefill.block_groups,
    )


def _in_words(setting: Setting | None) -> str:
    if setting is None:
        return ""
    kv_dtype = "int8" if setting.kv == "int8" else "float16"
    return f"videoxl2_weights = {setting.weights!r} with prefill.kv_dtype = {kv_dtype!r} would do; "
