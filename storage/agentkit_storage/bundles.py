"""Bundles: videos of a store in one file, with all that was kept of them, for another store.

`docs/store.md` says what a bundle promises; bundle_tar.py how it lies on disk, bundle_write.py what
goes into it, and bundle_file.py, bundle_read.py and bundle_chunk.py what is believed of one that
comes from elsewhere.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agentkit_storage import segments
from agentkit_storage.bundle_file import Limits, opened
from agentkit_storage.bundle_forms import BundleError, BundleVideo
from agentkit_storage.bundle_names import WITHOUT_TOKENS
from agentkit_storage.bundle_read import Contents
from agentkit_storage.bundle_tar import Progress
from agentkit_storage.bundle_write import export
from agentkit_storage.errors import IncompatibleError, StoreError
from agentkit_storage.files import opened_whole
from agentkit_storage.types import StoredVideo

if TYPE_CHECKING:
    from agentkit_storage.store import Store

__all__ = ["BundleError", "Imported", "Limits", "Progress", "export", "import_bundle"]

logger = logging.getLogger(__name__)

Outcome = Literal["imported", "completed", "replaced", "skipped"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one video of a bundle.

    `skipped`: everything was in the store already. `footage` is where its file is now;
    `left_footage`: the bundle has it, and no folder was named for it.
    """

    video_id: str
    name: str
    outcome: Outcome
    footage: Path | None = None
    left_footage: bool = False


def import_bundle(
    store: "Store",
    path: Path,
    footage: Path | None = None,
    replace: bool = False,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> list[Imported]:
    """Take a bundle's videos into a store; see `Store.import_bundle`."""
    with opened(path, limits or Limits(), progress) as file:
        contents = Contents(file)
        contents.check()
        _require_fit(store, contents, replace)
        for space in contents.spaces:
            store.use_space(space.name, space.fingerprint, space.size)
        return _import_all(store, contents, footage)


def _import_all(store: "Store", contents: Contents, footage: Path | None) -> list[Imported]:
    """Import one video after another; the KV of others makes room for theirs."""
    with_kv = [video.video_id for video in contents.videos if video.kv]
    imported = []
    for video in contents.videos:
        imported.append(_Import(store, contents, video, footage).run())
        if video.kv:
            _trim(store, with_kv)
    return imported


def _trim(store: "Store", keep: list[str]) -> None:
    try:
        store.trim_kv(keep=keep)
    except StoreError as error:  # the video is stored, and the next time trims again
        logger.warning("the KV is not kept to its budget: %s", error)


def _require_fit(store: "Store", contents: Contents, replace: bool) -> None:
    """Raise IncompatibleError, before anything is written, where the store has another making."""
    for space in contents.spaces:
        with store._db.read() as conn:
            known = segments.space(conn, space.name)
        if known and (known.fingerprint or space.fingerprint, known.size) != (
            space.fingerprint,
            space.size,
        ):
            raise IncompatibleError(
                f"the store's {space.name} vectors were made by {known.fingerprint or 'another'} "
                f"({known.size} numbers), the bundle's by {space.fingerprint or 'another'} "
                f"({space.size}); import it into another store"
            )
    for video in contents.videos:
        known_making = store.fingerprint(video.video_id)
        if not replace and _relation(known_making, video.fingerprint) == "other":
            raise IncompatibleError(
                f"video {video.video_id[:12]} is stored with other settings or another encoder than"
                " the bundle's; import with --replace, or into another store"
            )


def _relation(known: str | None, given: str) -> Literal["new", "same", "more", "less", "other"]:
    """Say what a bundle's making is to the one that the store has."""
    if known is None:
        return "new"
    if known == given:
        return "same"
    if known == given + WITHOUT_TOKENS:
        return "more"
    return "less" if known + WITHOUT_TOKENS == given else "other"


class _Import:
    """One video on its way into the store. Killed at any point, the next run goes on."""

    def __init__(
        self, store: "Store", contents: Contents, video: BundleVideo, footage: Path | None
    ) -> None:
        self._store, self._contents, self._video = store, contents, video
        self._footage = footage

    def run(self) -> Imported:
        with self._store.ingest_lock(self._video.video_id):
            outcome = self._take()
            folder = self._footage if self._video.has_footage else None
            film = None if folder is None else self._place(folder)
        left = self._video.has_footage and film is None
        return Imported(self._video.video_id, self._video.name, outcome, film, left)

    def _take(self) -> Outcome:
        video_id, making = self._video.video_id, self._video.fingerprint
        relation = _relation(self._store.fingerprint(video_id), making)
        if relation == "less":
            return "skipped"
        row = self._contents.stored_video(self._video)
        anew = relation in ("more", "other")
        if anew:  # what people here said of it stays
            before = self._store.video(video_id)
            mine = {name: getattr(before, name) for name in ("collection", "tags", "pinned")}
            row = changed(row, **mine)
        self._store.add_video(changed(row, state="ingesting"), making, anew)
        added = self._add()
        self._finish(row)
        if relation == "same":
            return "completed" if added else "skipped"
        return (
            "imported" if relation == "new" else "completed" if relation == "more" else "replaced"
        )

    def _add(self) -> bool:
        """Add what the store has not; say whether there was anything."""
        store, video_id = self._store, self._video.video_id
        have = {
            making: store.kv_indices(video_id, making)
            for making in {part.fingerprint for part in self._video.kv}
        }
        kv = [part for part in self._video.kv if part.number not in have[part.fingerprint]]
        missing = range(store.num_chunks(video_id), self._video.chunks)
        unheard = self._video.has_heard and store.sound_notes(video_id) is None
        if unheard:
            store.put_sound_notes(video_id, self._contents.sound(self._video))
        for index in missing:
            chunk = self._contents.chunk(self._video, index)
            store.add_chunk(chunk.record, chunk.packed)
        for part in kv:
            store.put_kv(video_id, part.fingerprint, part.number, self._contents.kv(part))
        return bool(unheard or missing or kv)

    def _finish(self, row: StoredVideo) -> None:
        """Call the video ready where the bundle's is, now that all of it is here."""
        if row.state != "ready" or self._store.video(row.video_id).state == "ready":
            return
        self._store.update_video(
            row.video_id,
            state=row.state,
            frames_seen=row.frames_seen,
            instruments=row.instruments,
            missing=row.missing,
            warnings=row.warnings,
        )

    def _place(self, folder: Path) -> Path:
        """Put the video file under the folder, in one of its own, and let the video name it."""
        path = (folder / self._video.video_id[:12] / self._video.name).absolute()
        if not path.is_symlink() and not path.exists():
            _write_file(path, self._contents.footage(self._video))
        elif not _is_video(path, self._video.video_id):
            raise StoreError(f"{path}: another file is there; move it, or name another folder")
        self._store.update_video(self._video.video_id, path=str(path))
        return path


def _write_file(path: Path, pieces: Iterator[bytes]) -> None:
    """Write a video file whole or not at all."""
    with opened_whole(path, "footage") as file:
        for piece in pieces:
            file.write(piece)


def _is_video(path: Path, video_id: str) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == video_id
