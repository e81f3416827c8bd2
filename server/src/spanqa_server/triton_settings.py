"""What `serve` and `gate` have in common, and the settings of `gate`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

INT32_MAX = 2**31 - 1
Port = Annotated[int, Field(ge=0, le=65535)]


class TritonSettings(BaseSettings):
    """Where Triton and the model versions are, what goes there at a time, metrics and log."""

    model_config = SettingsConfigDict(
        env_prefix="SPANQA_",
        cli_kebab_case=True,
        cli_enforce_required=False,
        cli_avoid_json=True,
        frozen=True,
        protected_namespaces=(),
    )

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104
    metrics_port: Port = Field(0, description="Port of Prometheus metrics; 0 is off.")
    model_repository: Path = Field(
        Path("model_repository"), description="Triton's model repository."
    )
    triton: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Triton servers to use, HOST:PORT[,HOST:PORT]; none starts the embedded one.",
    )
    max_chunk_tokens: int | None = Field(
        None,
        ge=512,
        le=INT32_MAX,
        description="Tokens of one Triton request; longer work is cut up. 4,096 unless given, "
        "1,024 with the embedded Triton, where short questions would wait too long for one.",
    )
    max_tokens_in_flight: int = Field(
        16_384,
        ge=512,
        le=INT32_MAX,
        description="Tokens of a worker at Triton at a time; the rest waits here.",
    )

    first_batch_tokens: int | None = Field(
        None,
        ge=0,
        le=INT32_MAX,
        description="Tokens that a model version computes at once before it takes calls, at least "
        "one window. As --max-tokens-in-flight unless given, one window with the embedded Triton.",
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines of text, or of JSON, an object each."
    )

    @property
    def canary_tokens(self) -> int:
        """`first_batch_tokens`, or its default."""
        if self.first_batch_tokens is not None:
            return self.first_batch_tokens
        return self.max_tokens_in_flight if self.triton else 0

    @property
    def chunk_tokens(self) -> int:
        """`max_chunk_tokens`, or its default."""
        return self.max_chunk_tokens or (4096 if self.triton else 1024)

    @field_validator("triton", mode="before")
    @classmethod
    def split_addresses(cls, value: object) -> object:
        """Take a comma-separated list."""
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list):
            parts = (part.strip() for item in value for part in str(item).split(","))
            return [part for part in parts if part]
        return value

    @field_validator("triton")
    @classmethod
    def check_addresses(cls, addresses: list[str]) -> list[str]:
        """Every address has a port."""
        for address in addresses:
            host, _, port = address.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(f"{address!r} is not HOST:PORT")
        return addresses

    @field_validator("log_level")
    @classmethod
    def check_level(cls, level: str) -> str:
        """One of logging's levels."""
        if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return level.upper()


class GateSettings(TritonSettings):
    """Settings of `spanqa-server gate`.

    Each has the flag --its-name and the environment variable SPANQA_ITS_NAME; the flag wins.
    """

    view: Path = Field(
        Path("view"),
        description="Directory that Triton polls as its model repository: links to the versions "
        "that it may load are kept here. --model-repository has the same path for both.",
    )
