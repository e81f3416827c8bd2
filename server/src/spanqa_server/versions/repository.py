"""Reading model versions from the model repository: the contract with the exporter."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from tokenizers import Tokenizer

from spanqa_server.errors import StartupError
from spanqa_server.files import open_regular, read_regular
from spanqa_server.qa.tokenizer import TextTokenizer
from spanqa_server.qa.windows import SPECIAL_TOKENS, TensorLimits
from spanqa_server.triton_settings import INT32_MAX

MODEL_NAME = "bert_qa"
# Triton counts versions in 64 bits.
VERSION = re.compile(r"[1-9][0-9]{0,17}")
FILES = ("model.json", "model.pt", "tokenizer.json", "model.py")
MAX_MANIFEST_BYTES, MAX_TOKENIZER_BYTES = 1 << 20, 256 << 20
# More would let attention, whose memory is the square of it, end Triton.
MAX_POSITIONS = 32_768
EXPORT_COMMAND = "spanqa-model export --preset minilm-squad --repository {repository}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured: exact match and F1 in percent; None where nothing was."""

    exact_match: float | None = None
    f1: float | None = None

    def or_else(self, others: "Figures") -> "Figures":
        """These, or the others if there are none."""
        return others if self == Figures() else self


Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class Manifest(BaseModel):
    """A version's model.json, as the exporter writes it."""

    model_config = ConfigDict(
        frozen=True, strict=True, str_max_length=4096, protected_namespaces=()
    )

    name: str
    source: str
    revision: str
    weights_sha256: str
    model_sha256: str
    dtype: str
    # The kind of device that it was made for: cpu or cuda.
    device: str | None = None
    max_position_embeddings: int = Field(ge=8, le=MAX_POSITIONS)
    max_sequence_tokens: int = Field(ge=8)
    doc_stride_tokens: int = Field(ge=0)
    # Versions that were exported before it was written down lack it.
    vocab_size: int | None = Field(None, ge=1, le=INT32_MAX)
    has_no_answer: bool
    license: str
    exact_match: Percent | None
    f1: Percent | None

    @field_validator("max_sequence_tokens", "doc_stride_tokens")
    @classmethod
    def check_length(cls, value: int, info: ValidationInfo) -> int:
        """Windows are at most as long as the model's, and neighbours do not overlap wholly."""
        positions = info.data.get("max_position_embeddings", value)
        window = info.data.get("max_sequence_tokens", positions)
        if info.field_name == "max_sequence_tokens" and value > positions:
            raise ValueError(f"is {value}; max_position_embeddings is {positions}")
        if info.field_name == "doc_stride_tokens" and value >= max(window - SPECIAL_TOKENS, 1):
            raise ValueError(f"is {value}; must be less than {window - SPECIAL_TOKENS}")
        return value

    @property
    def figures(self) -> Figures:
        """What was measured before the export."""
        return Figures(self.exact_match, self.f1)


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


def stamp_of(directory: Path) -> tuple[tuple[int, int, int], ...]:
    """What changes with any file of a version; zeros for one that is not there."""
    stamps = []
    for name in FILES:
        try:
            state = (directory / name).stat()
            stamps.append((state.st_ino, state.st_mtime_ns, state.st_size))
        except OSError:
            stamps.append((0, 0, 0))
    return tuple(stamps)


def read_manifest(directory: Path) -> Manifest:
    """Read model.json; raises OSError or ValidationError."""
    content = read_regular(directory / "model.json", MAX_MANIFEST_BYTES)
    return Manifest.model_validate_json(content)


def load_version(directory: Path) -> ModelVersion:
    """Load one version directory; the model file's checksum is verified.

    Raises:
        StartupError: a file of it is missing or broken; the text names the file.
    """
    try:
        manifest = read_manifest(directory)
        with open_regular(directory / "model.pt") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        pieces = read_regular(directory / "tokenizer.json", MAX_TOKENIZER_BYTES)
        if (directory / "model.py").exists():  # of the embedded Triton, which would wait for a FIFO
            open_regular(directory / "model.py").close()
    except OSError as error:
        name = Path(error.filename or "a file").name  # reading, unlike opening, names none
        raise StartupError(f"{name}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise StartupError(f"model.json: {field or 'content'}: {message}") from None
    if checksum != manifest.model_sha256:
        raise StartupError("model.pt: its sha256 is not the one in model.json")
    try:
        tokenizer = TextTokenizer(Tokenizer.from_buffer(pieces))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise StartupError(f"tokenizer.json: {error}") from None
    if manifest.vocab_size and tokenizer.vocabulary > manifest.vocab_size:
        raise StartupError(
            f"tokenizer.json: its ids go up to {tokenizer.vocabulary - 1}, the model has "
            f"{manifest.vocab_size} word pieces: they do not belong together"
        )
    return ModelVersion(directory.name, manifest, tokenizer)
