"""Reading model versions from the model repository: the contract with the exporter."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tokenizers import Tokenizer

from spanqa_server.errors import StartupError
from spanqa_server.qa.tokenizer import TextTokenizer
from spanqa_server.qa.windows import TensorLimits

MODEL_NAME = "bert_qa"
VERSION = re.compile(r"[1-9][0-9]*")
EXPORT_COMMAND = "spanqa-model export --preset minilm-squad --repository {repository}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured: exact match and F1 in percent; None where nothing was."""

    exact_match: float | None = None
    f1: float | None = None

    def or_else(self, others: "Figures") -> "Figures":
        """These, or the others if there are none."""
        return others if self == Figures() else self


def percent(value: float | None) -> float | None:
    """A number from 0 to 100; None for anything else, such as NaN."""
    return value if value is not None and 0 <= value <= 100 else None


class Manifest(BaseModel):
    """A version's model.json, as the exporter writes it."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    name: str
    source: str
    revision: str
    weights_sha256: str
    model_sha256: str
    dtype: str
    # The kind of device that it was made for: cpu or cuda.
    device: str | None = None
    max_sequence_tokens: int = Field(ge=8)
    doc_stride_tokens: int = Field(ge=0)
    max_position_embeddings: int = Field(ge=8)
    # Versions that were exported before it was written down lack it.
    vocab_size: int | None = Field(None, ge=1)
    has_no_answer: bool
    license: str
    exact_match: float | None
    f1: float | None

    @property
    def figures(self) -> Figures:
        """What was measured before the export."""
        return Figures(percent(self.exact_match), percent(self.f1))


class ModelVersion:
    """One version: its number, its manifest and its tokenizer, which belong together.

    `figures` may change while it serves.
    """

    def __init__(self, number: str, manifest: Manifest, tokenizer: TextTokenizer) -> None:
        self.number = number
        self.manifest = manifest
        self.tokenizer = tokenizer
        self.figures = manifest.figures

    @property
    def tensor_limits(self) -> TensorLimits:
        """What the model can be given."""
        vocabulary = self.manifest.vocab_size or self.tokenizer.vocabulary
        return TensorLimits(vocabulary, self.manifest.max_position_embeddings)


class Readiness(StrEnum):
    """What a Triton answers when asked for a version."""

    READY = "ready"
    NOT_LOADED = "not loaded"
    AWAY = "away"  # no connection
    SILENT = "silent"  # no answer in time


@dataclass(frozen=True, slots=True)
class VersionFile:
    """A version directory as it was found. It differs from its replacement by the same number."""

    number: str
    directory: Path
    identity: tuple[int, int]


def find_versions(repository: Path) -> list[VersionFile]:
    """The version directories, newest first; none if the repository cannot be read."""
    try:
        entries = list((repository / MODEL_NAME).iterdir())
    except OSError:
        return []
    found = []
    for entry in entries:
        if VERSION.fullmatch(entry.name) and entry.is_dir():
            try:
                status = (entry / "model.json").stat()
                identity = (status.st_ino, status.st_mtime_ns)
            except OSError:
                identity = (0, 0)
            found.append(VersionFile(entry.name, entry, identity))
    return sorted(found, key=lambda file: int(file.number), reverse=True)


def read_manifest(directory: Path) -> Manifest:
    """Read model.json; raises OSError or ValidationError."""
    return Manifest.model_validate_json((directory / "model.json").read_bytes())


def load_version(directory: Path) -> ModelVersion:
    """Load one version directory; the model file's checksum is verified.

    Raises:
        StartupError: a file of it is missing or broken; the text names the file.
    """
    try:
        manifest = read_manifest(directory)
        with (directory / "model.pt").open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        name = Path(error.filename or "a file").name  # reading, unlike opening, names none
        raise StartupError(f"{name}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise StartupError(f"model.json: {field or 'content'}: {first['msg']}") from None
    if checksum != manifest.model_sha256:
        raise StartupError("model.pt: its sha256 is not the one in model.json")
    try:
        tokenizer = TextTokenizer(Tokenizer.from_file(str(directory / "tokenizer.json")))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise StartupError(f"tokenizer.json: {error}") from None
    if manifest.vocab_size and tokenizer.vocabulary > manifest.vocab_size:
        raise StartupError(
            f"tokenizer.json: its ids go up to {tokenizer.vocabulary - 1}, the model has "
            f"{manifest.vocab_size} word pieces: they do not belong together"
        )
    return ModelVersion(directory.name, manifest, tokenizer)
