"""A checkpoint's folder on this disk, or the hub's, fetched without code and without pickles."""

from pathlib import Path

from videoxl2_model.errors import CheckpointError

FILES = ["*.json", "*.safetensors", "*.txt"]  # settings, weights, words


def local_folder(source: str | Path) -> Path:
    """Return a folder as it is, and a hub id (owner/name) as the folder it was fetched to.

    Raises:
        CheckpointError: there is no such folder, and the hub did not give it.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder
    if folder.exists() or isinstance(source, Path) or source.count("/") != 1:
        raise CheckpointError(f"{source}: no folder of a checkpoint, nor a hub id (owner/name)")
    try:
        # Imported here: only a hub id needs it.
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(source, allow_patterns=FILES))
    except Exception as error:  # network, account, disk: many kinds
        raise CheckpointError(
            f"{source}: no such folder, and the hub did not give it: {error}; give the folder of a"
            " checkpoint on this disk"
        ) from error
