"""What is made of fetched files, once: a folder that loads at once and holds no pickle."""

from collections.abc import Callable
from pathlib import Path

from agentkit.errors import ModelFilesError
from agentkit.models.files import part_path
from agentkit.models.spec import ModelSpec


def run(model: ModelSpec, folder: Path, progress: Callable[[int, int], None]) -> None:
    """Make a model's `made` files from its consumed one; `progress` is told (done, total)."""
    source = folder / model.consumed
    if model.recipe == "gguf":
        from agentkit.models.gguf_qwen import convert

        convert(source, folder, lambda share: progress(round(share * 1000), 1000))
    elif model.recipe == "state_dict":
        tensors_of_pickle(source, folder / "model.safetensors")


def tensors_of_pickle(source: Path, target: Path) -> None:
    """Write the tensors of a PyTorch state dict as safetensors; nothing in the pickle is run.

    Counters of batches are left out: they are for training.

    Raises:
        ModelFilesError: the file holds something else than tensors by name.
    """
    import pickle

    import torch
    from safetensors.torch import save_file

    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ModelFilesError(f"{source}: no plain state dict ({error})") from error
    tensors = {
        name: tensor.contiguous()
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    }
    part = part_path(target)
    save_file(tensors, part, metadata={"format": "pt"})
    part.chmod(0o644)  # safetensors makes it readable by its owner alone
    part.replace(target)
