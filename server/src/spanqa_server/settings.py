"""The one settings object: a command line flag and an environment variable for each field."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

INT32_MAX = 2**31 - 1
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """Settings of `spanqa-server serve`.

    Each has the flag --its-name and the environment variable SPANQA_ITS_NAME; the flag wins.
    """

    model_config = SettingsConfigDict(
        env_prefix="SPANQA_",
        cli_kebab_case=True,
        cli_prog_name="spanqa-server serve",
        cli_enforce_required=False,
        cli_avoid_json=True,
        frozen=True,
        protected_namespaces=(),
    )

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104
    port: Port = Field(50051, description="gRPC port.")
    workers: int = Field(
        1, ge=1, le=256, description="Frontend processes that share the port, one core each."
    )
    metrics_port: Port = Field(0, description="Port of Prometheus metrics; 0 is off.")
    model_repository: Path = Field(
        Path("model_repository"), description="Triton's model repository."
    )
    triton: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Triton servers to use, HOST:PORT[,HOST:PORT]; none starts the embedded one.",
    )
    threads: int = Field(
        0, ge=0, le=1024, description="CPU threads of the embedded Triton's model; 0: one a core."
    )
    default_timeout: float = Field(
        60.0, gt=0, le=1e9, description="Seconds for a call whose caller sets no deadline."
    )
    shutdown_grace: float = Field(
        4.0, ge=0, le=3600, description="Seconds that calls under way may go on after SIGTERM."
    )
    drain_seconds: float = Field(
        2.0,
        ge=0,
        le=3600,
        description="Seconds after SIGTERM in which calls are still taken, while the health "
        "service says NOT_SERVING: for balancers to notice.",
    )
    max_connection_age: float = Field(
        300.0,
        ge=0,
        le=1e6,
        description="Seconds after which clients are asked to connect anew, so that balancers can "
        "move them; calls under way go on. 0: never.",
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file: the server's certificate and those that vouch for it."
    )
    tls_key: Path | None = Field(None, description="PEM file: the key of --tls-certificate.")
    tls_client_ca: Path | None = Field(
        None, description="PEM file: who signs the certificates that clients must show."
    )
    tokens_file: Path | None = Field(
        None, description="File of bearer tokens, one a line: calls must bring one of them."
    )
    startup_timeout: float = Field(
        300.0, gt=0, description="Seconds for Triton to load the model at start."
    )
    reflection: bool = Field(True, description="Serve gRPC reflection.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines of text, or of JSON, an object each."
    )
    otlp_endpoint: str = Field(
        "",
        description="OpenTelemetry collector, http://HOST:4318, to which traces go (OTLP over "
        "HTTP); none: no traces.",
    )
    trace_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of calls that are traced, of those that come without a trace context "
        "of their own.",
    )
    max_question_tokens: int = Field(
        128, ge=1, le=INT32_MAX, description="Longest question, in tokens."
    )
    max_context_bytes: int = Field(
        1 << 20, ge=1, le=INT32_MAX, description="Longest context, in bytes of UTF-8."
    )
    max_top_k: int = Field(100, ge=1, le=INT32_MAX, description="Most answers of a request.")
    max_answer_tokens: int = Field(
        256, ge=1, le=INT32_MAX, description="Longest answer, in tokens."
    )
    max_windows: int = Field(10_000, ge=1, le=INT32_MAX, description="Most windows of a request.")
    max_documents: int = Field(
        1000, ge=1, le=INT32_MAX, description="Most documents of an AnswerFromDocuments call."
    )
    max_batch_items: int = Field(
        256, ge=1, le=INT32_MAX, description="Most pairs of a BatchAnswer call."
    )
    max_stream_pairs: int = Field(
        64, ge=1, le=INT32_MAX, description="Pairs of a batch or stream worked on at a time."
    )
    max_logits_tokens: int = Field(
        1_000_000,
        ge=512,
        le=INT32_MAX,
        description="Most tokens of all windows of a ComputeLogits call.",
    )
    text_cache_bytes: int = Field(
        32 << 20,
        ge=0,
        description="Memory of a worker for tokens of texts that came lately; 0 keeps none.",
    )
    max_message_bytes: int = Field(
        16 << 20, ge=1 << 16, le=INT32_MAX, description="Largest gRPC message taken, in bytes."
    )
    max_chunk_tokens: int | None = Field(
        None,
        ge=512,
        le=INT32_MAX,
        description="Tokens of one Triton request; longer work is cut up. 4,096 unless given, "
        "1,024 with the embedded Triton, where short questions would wait too long for one.",
    )
    max_chunks_in_flight: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Such pieces of longer work at Triton at a time: a GPU wants the next one "
        "ready, a CPU does not. 2 unless given, 1 with the embedded Triton.",
    )
    max_tokens_in_flight: int = Field(
        16_384,
        ge=512,
        le=INT32_MAX,
        description="Tokens of a worker at Triton at a time; the rest waits here.",
    )

    max_wait: float = Field(
        1.5,
        gt=0,
        le=1e6,
        description="Seconds of work, about, that short requests may find before them; more of "
        "them are refused at once. What --max-tokens-in-flight holds is taken in any case.",
    )
    max_admitted_tokens: int | None = Field(
        None,
        ge=512,
        le=INT32_MAX,
        description="Tokens of short requests that a worker has under way, about; more are refused "
        "at once. 1,048,576 unless given, 65,536 with the embedded Triton.",
    )
    max_admitted_long_tokens: int = Field(
        8_388_608,
        ge=512,
        le=INT32_MAX,
        description="The same of requests longer than --max-chunk-tokens, which short ones "
        "overtake: about 120 bytes of memory each.",
    )

    @property
    def admitted_tokens(self) -> int:
        """`max_admitted_tokens`, or its default."""
        return self.max_admitted_tokens or (1 << 20 if self.triton else 1 << 16)

    @property
    def chunk_tokens(self) -> int:
        """`max_chunk_tokens`, or its default."""
        return self.max_chunk_tokens or (4096 if self.triton else 1024)

    @property
    def chunks_in_flight(self) -> int:
        """`max_chunks_in_flight`, or its default."""
        return self.max_chunks_in_flight or (2 if self.triton else 1)

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

    @field_validator("otlp_endpoint")
    @classmethod
    def check_endpoint(cls, endpoint: str) -> str:
        """A URL without a path at its end, which is ours to add."""
        if endpoint and not is_base_url(endpoint):
            raise ValueError("must be a URL like http://HOST:4318")
        return endpoint.rstrip("/")

    @model_validator(mode="after")
    def check_tls(self) -> Self:
        """Certificate and key come together."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("--tls-certificate and --tls-key need each other")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("--tls-client-ca needs --tls-certificate and --tls-key")
        return self

    @field_validator("log_level")
    @classmethod
    def check_level(cls, level: str) -> str:
        """One of logging's levels."""
        if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return level.upper()


def is_base_url(url: str) -> bool:
    """Whether it is one of a server that speaks HTTP, to which a path can be added."""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # what stands for a port or an address is none
        return False
    return named and parts.scheme in ("http", "https") and not (parts.query or parts.fragment)
