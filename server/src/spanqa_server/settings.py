"""The one settings object: a command line flag and an environment variable for each field."""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from spanqa_server.triton_settings import INT32_MAX, Port, TritonSettings


class Settings(TritonSettings):
    """Settings of `spanqa-server serve`.

    Each has the flag --its-name and the environment variable SPANQA_ITS_NAME; the flag wins.
    """

    port: Port = Field(50051, description="gRPC port.")
    workers: int = Field(
        1, ge=1, le=256, description="Frontend processes that share the port, one core each."
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
    max_chunks_in_flight: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Such pieces of longer work at Triton at a time: a GPU wants the next one "
        "ready, a CPU does not. 2 unless given, 1 with the embedded Triton.",
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
    def chunks_in_flight(self) -> int:
        """`max_chunks_in_flight`, or its default."""
        return self.max_chunks_in_flight or (2 if self.triton else 1)

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


def is_base_url(url: str) -> bool:
    """Whether it is one of a server that speaks HTTP, to which a path can be added."""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # what stands for a port or an address is none
        return False
    return named and parts.scheme in ("http", "https") and not (parts.query or parts.fragment)
