"""The weights of a checkpoint or an adapter: one file or several, safetensors or pickled."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from spanqa_model.checkpoints.config import read_json
from spanqa_model.errors import CheckpointError, first_line

# In the order of transformers. An index names the shards among which the tensors are dealt out.
INDEX = ".index.json"
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors" + INDEX,
    "pytorch_model.bin",
    "pytorch_model.bin" + INDEX,
)
# Checkpoints that were converted from TensorFlow use its names for LayerNorm's parameters.
TENSORFLOW_NAMES = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))
# What wrappers put into the names of the modules that they wrap: before them, or anywhere.
OUTER = re.compile(r"^(?:module\.|model\.)+")
WRAPPERS = re.compile(r"_orig_mod\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.")


def find_weights(directory: Path, names: tuple[str, ...] = WEIGHT_FILES) -> Path:
    """The first of these files that the directory has."""
    for name in names:
        if (directory / name).is_file():
            return directory / name
    plain = [name for name in names if not name.endswith(INDEX)]
    raise CheckpointError(f"{directory}: holds neither {' nor '.join(plain)}")


def shards_of(path: Path) -> dict[str, list[str]]:
    """The files that an index names, with the names of the tensors that each has to hold."""
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{path}: has no weight_map (tensor → file); fetch it again")
    shards: dict[str, list[str]] = {}
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or name != Path(name).name:
            raise CheckpointError(f"{path}: {name!r} is not the name of a file beside it")
        shards.setdefault(name, []).append(tensor)
    return dict(sorted(shards.items()))


def files_of(path: Path) -> tuple[Path, ...]:
    """The file itself, or the shards of an index, in the order of their names."""
    if not path.name.endswith(INDEX):
        return (path,)
    return tuple(path.parent / name for name in shards_of(path))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read safetensors, a pickled state dict, or all shards of an index.

    Pickles may hold tensors only, so no code runs.

    Raises:
        CheckpointError: a file is missing or corrupt.
    """
    if not path.name.endswith(INDEX):
        return read_file(path)
    weights: dict[str, Tensor] = {}
    for name, tensors in shards_of(path).items():
        shard = path.parent / name
        if not shard.is_file():
            raise CheckpointError(
                f"{shard}: missing; {path.name} names it, so copy it here as well"
            )
        held = read_file(shard)
        if lost := [tensor for tensor in tensors if tensor not in held]:
            raise CheckpointError(
                f"{shard}: lacks {lost[0]}, which {path.name} says is there; fetch both again"
            )
        weights |= held
    return weights


def read_file(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about some damaged files
            state_dict = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's own message recommends loading the file without this protection.
        raise CheckpointError(
            f"{path}: corrupt, or a pickle of more than tensors; fetch it again or as safetensors"
        ) from None
    except Exception as error:  # torch.load raises errors of many types for damaged files
        raise CheckpointError(f"{path}: corrupt ({first_line(error)}); fetch it again") from None
    if not isinstance(state_dict, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state_dict.items()
    ):
        raise CheckpointError(f"{path}: not a state dict (names and tensors)")
    return state_dict


def plain_name(name: str) -> str:
    """The name in `BertForQuestionAnswering` of a parameter, whatever class or wrapper saved it."""
    name = OUTER.sub("", WRAPPERS.sub("", name))
    for old, new in TENSORFLOW_NAMES:
        name = name.replace(old, new)
    return f"bert.{name}" if name.startswith(("embeddings.", "encoder.")) else name


def rename_parameters(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters that count, with the names of `BertForQuestionAnswering`."""
    renamed = {
        name: tensor
        for name, tensor in ((plain_name(name), tensor) for name, tensor in state_dict.items())
        if name.startswith(("bert.embeddings.", "bert.encoder.", "qa_outputs."))
    }
    renamed.pop("bert.embeddings.position_ids", None)
    return renamed


def check_finite(weights: Mapping[str, Tensor], origin: Path) -> None:
    """Refuse weights that are not numbers.

    Raises:
        CheckpointError: names the first tensor with NaN or infinity.
    """
    for name, tensor in weights.items():
        bad = tensor.numel() - int(tensor.isfinite().sum())
        if bad:
            raise CheckpointError(
                f"{origin}: {name} holds NaN or infinity ({bad:,} of {tensor.numel():,} values): "
                "its training failed or the file is damaged; take an earlier checkpoint"
            )
