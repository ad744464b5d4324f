"""What an answer needs, and what of it is here: one check a line, each with its remedy."""

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agentkit import entry_points, models
from agentkit.config import Settings
from agentkit.encoder_choice import (
    choose_encoder,
    gpu_name,
    language_model_folder,
    videoxl2_folder,
)
from agentkit.errors import AgentkitError
from agentkit.paths import models_dir
from agentkit.plugin_manager import plugin_states
from agentkit.rules import NOTES, VIDEOXL2, in_words, rules_of
from agentkit_storage.errors import StoreError

EXTRAS = {"audio": "faster_whisper", "ocr": "rapidocr", "edit": "opentimelineio"}
LEAST_FREE_BYTES = 1 << 30  # an hour of video with its cache takes about half of this
EMBEDDER = "minilm"
FACES = "centerface"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `ok` is None for what may well be missing; `remedy` says what to do."""

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""


def checks(settings: Settings) -> list[Check]:
    """Look at everything that an answer under these settings needs."""
    return [
        _python(),
        _torch(),
        _threads(settings),
        _gpu(settings),
        _encoder(settings),
        *_checkpoint(settings),
        _reading(settings),
        _language_model(settings),
        _model("text embedding", EMBEDDER),
        *_instruments(settings),
        _faces(),
        *_extras(),
        *_store(settings),
        *_plugins(settings),
        _disk("disk of the store", _folder_of(settings)),
        _disk("disk of the models", models_dir()),
        *_memory(settings),
    ]


def _python() -> Check:
    return Check("python", True, ".".join(str(part) for part in sys.version_info[:3]))


def _torch() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:
        remedy = "install it again: pip install --force-reinstall torch"
        return Check("torch", False, f"does not import: {error}", remedy)
    return Check("torch", True, torch.__version__)


def _threads(settings: Settings) -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    used = settings.threads or cores
    return Check("CPU threads", True, f"{used} on {cores} cores")


def _gpu(settings: Settings) -> Check:
    found = gpu_name(settings)
    return Check("GPU", bool(found) or None, found or f"none (device {settings.device})")


def _chosen(settings: Settings) -> str:
    """Return the encoder that runs; the one asked for where it cannot."""
    try:
        return choose_encoder(settings).name
    except AgentkitError:
        return settings.encoder


def _encoder(settings: Settings) -> Check:
    try:
        choice = choose_encoder(settings)
    except AgentkitError as error:
        return Check("encoder", False, str(error), f"or set encoder to {NOTES!r}")
    return Check("encoder", True, f"{choice.name} ({choice.reason})")


def _checkpoint(settings: Settings) -> Iterator[Check]:
    """Hold the checkpoint's configuration, keys and shapes against the model; read no weight."""
    folder, label = videoxl2_folder(settings), "videoxl2 checkpoint"
    if folder is None:
        return
    from videoxl2_model.checkpoint import Checkpoint
    from videoxl2_model.errors import VideoXL2Error
    from videoxl2_model.published import read_config
    from videoxl2_model.tokenizing import load_tokenizer
    from videoxl2_model.weights import VideoModules, video_findings

    try:
        config, files = read_config(folder), Checkpoint.open(folder)
        fits = video_findings(config, VideoModules.empty(config), files)
        fits.require(folder, strict=False)
        load_tokenizer(folder)
    except VideoXL2Error as error:
        yield Check(label, False, str(error), "agentkit models pull videoxl2, or videoxl2_path")
        return
    size = f"{files.num_parameters / 1e9:.2f} billion numbers in {files.nbytes / 2**30:.1f} GiB"
    yield Check(label, True, f"{folder}: {len(files.tensors)} tensors, {size}")


def _reading(settings: Settings) -> Check:
    """Say what of a video a question reads: settings that are left open depend on the encoder."""
    rules = rules_of(_chosen(settings), settings)
    return Check("reading", True, f"{in_words(rules, settings.ask)}; KV kept in {rules.kv_dtype}")


def _model(label: str, name: str) -> Check:
    try:
        here = models.available(name)
    except AgentkitError as error:
        return Check(label, False, str(error), "agentkit models list")
    if here:
        return Check(label, True, f"{name} in {models.path(name)}")
    return Check(label, False, f"{name} is not here", f"agentkit models pull {name}")


def _language_model(settings: Settings) -> Check:
    label, name = "language model", settings.language_model
    if _chosen(settings) == VIDEOXL2:
        return Check(label, True, "videoxl2's own")
    if os.sep not in name:
        return _model(label, name)
    try:
        return Check(label, True, f"in {language_model_folder(settings)}")
    except AgentkitError as error:
        return Check(label, False, str(error), "name a folder with a Qwen2 checkpoint")


def _instruments(settings: Settings) -> Iterator[Check]:
    """Load every instrument of the settings: only that shows whether it works."""
    from agentkit.instruments import Instruments

    try:
        loaded = Instruments.load(settings.notes.instruments)
    except AgentkitError as error:
        yield Check("instruments", False, str(error), "correct notes.instruments in agentkit.toml")
        return
    loaded.prepare()
    for name in loaded.names:
        yield Check(f"instrument {name}", True, "works")
    for reason in loaded.missing:
        name, _, why = reason.partition(": ")
        yield Check(f"instrument {name}", None, f"left out: {why}")


def _faces() -> Check:
    """Say whether a domain that hides faces can: without it, it exports no picture."""
    check = _model("faces", FACES)
    return check if check.ok else replace(check, ok=None)


def _extras() -> Iterator[Check]:
    for extra, module in EXTRAS.items():
        here = importlib.util.find_spec(module) is not None
        remedy = "" if here else f"pip install 'videoxl2-agentkit[{extra}]'"
        yield Check(f"extra {extra}", here or None, "installed" if here else "missing", remedy)


def _store(settings: Settings) -> Iterator[Check]:
    where = _shown(settings.store)
    if isinstance(settings.store, Path) and not settings.store.exists():
        yield Check("store", True, f"{where}; made by the first ingest")
        return
    from agentkit_storage import Store

    try:
        with Store.open(settings.store) as store:
            videos, kv_nbytes = store.videos(), store.kv_nbytes()
    except (StoreError, OSError) as error:
        reason = _shown(str(error))
        yield Check("store", False, reason, "name another store with --store or AGENTKIT_STORE")
        return
    half_done = sum(video.state != "ready" for video in videos)
    state = f", {half_done} of them not finished" if half_done else ""
    yield Check("store", True, f"{where}; {len(videos)} videos{state}")
    yield _kv(settings, kv_nbytes)


def _kv(settings: Settings, nbytes: int) -> Check:
    """Say what stored KV takes, and whether the budget, or else the disk, has room for as much."""
    budget_bytes = settings.tiers.kv_budget_bytes
    bound = "no budget" if budget_bytes is None else f"a budget of {budget_bytes / 1e9:g} GB"
    detail = f"{nbytes / 1e9:.1f} GB, {bound}"
    if budget_bytes is not None:
        remedy = "unpin videos, or raise tiers.kv_budget_gb" if nbytes > budget_bytes else ""
    else:
        free = shutil.disk_usage(_folder_of(settings)).free
        remedy = "set tiers.kv_budget_gb, or make room" if nbytes > free else ""
    return Check("stored KV", not remedy or None, detail, remedy)


def _shown(store: Path | str) -> str:
    """Return a store, or what is said of it, as it may be shown: without who logs in, and how."""
    return re.sub(r"//[^/@]*@", "//***@", store) if isinstance(store, str) else str(store)


def _plugins(settings: Settings) -> Iterator[Check]:
    if settings.disable_plugins or entry_points.switched_off():
        yield Check("plugins", None, "switched off", "unset AGENTKIT_DISABLE_PLUGINS to use them")
        return
    for state in plugin_states():
        remedy = f"pip install --upgrade {state.distribution.split()[0]}" if state.error else ""
        detail = state.error or f"{state.distribution}, answers {', '.join(state.hooks)}"
        yield Check(f"plugin {state.name}", not state.error, detail, remedy)


def _folder_of(settings: Settings) -> Path:
    """Return where the store's large files are; the working folder where it cannot be said."""
    from agentkit_storage.location import Location

    try:
        return Location.of(settings.store).folder
    except StoreError:
        return Path.cwd()


def _disk(label: str, folder: Path) -> Check:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    enough = free >= LEAST_FREE_BYTES
    remedy = "" if enough else "make room, or point AGENTKIT_HOME elsewhere"
    return Check(label, enough, f"{free / 2**30:.1f} GiB free", remedy)


def _memory(settings: Settings) -> Iterator[Check]:
    """Say what videos the videoxl2 encoder takes on a GPU, by its memory; and on the one here."""
    try:
        import torch

        from videoxl2_model import memory
    except (ImportError, OSError):
        return  # the check of torch says so
    cards = {f"{card} GB": card * memory.GB for card in memory.CARDS_GB}
    if gpu_name(settings):
        here = torch.device("cuda" if settings.device == "auto" else settings.device)
        cards["this GPU"] = torch.cuda.get_device_properties(here).total_memory
    for card, device_bytes in cards.items():
        yield Check(f"videoxl2 on {card}", None, memory.told(device_bytes))
