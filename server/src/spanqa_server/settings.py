"""The one settings object: a command line flag and an environment variable for each field."""

from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from spanqa_server.network_settings import NetworkSettings
from spanqa_server.triton_settings import INT32_MAX, by_triton, setting


class Settings(NetworkSettings):
    """Serve the newest model version over gRPC.

    Every flag --some-name is also an environment variable SPANQA_SOME_NAME; the flag wins.
    """

    threads: int = setting(
        "Triton",
        0,
        "CPU threads for the model in the embedded Triton; 0 means one for each core.",
        ge=0,
        le=1024,
    )
    default_timeout: float = setting(
        "limits",
        60.0,
        "Seconds that a call may take if its caller sets no deadline.",
        metavar="SECONDS",
        gt=0,
        le=1e9,
    )
    tls_certificate: Path | None = setting(
        "security",
        None,
        "PEM file with the server's certificate and its intermediate certificates.",
        metavar="FILE",
        default_text="no TLS",
    )
    tls_key: Path | None = setting(
        "security",
        None,
        "PEM file with the private key of --tls-certificate.",
        metavar="FILE",
        default_text="no TLS",
    )
    tls_client_ca: Path | None = setting(
        "security",
        None,
        "PEM file with the authority that signs client certificates. With it, clients must show "
        "one (mutual TLS).",
        metavar="FILE",
        default_text="no client certificates",
    )
    tokens_file: Path | None = setting(
        "security",
        None,
        "File with bearer tokens, one per line. With it, every call must carry one of them, except "
        "health checks.",
        metavar="FILE",
        default_text="no authentication",
    )
    startup_timeout: float = setting(
        "Triton",
        300.0,
        "Seconds that Triton gets to load the model at startup.",
        metavar="SECONDS",
        gt=0,
    )
    reflection: bool = setting("security", True, "Serve gRPC reflection.", metavar="true|false")
    otlp_endpoint: str = setting(
        "telemetry",
        "",
        "OpenTelemetry collector that receives traces (OTLP over HTTP).",
        metavar="http://HOST:4318",
        default_text="no traces",
    )
    trace_ratio: float = setting(
        "telemetry",
        1.0,
        "Share of calls to trace, between 0 and 1. A call with a trace context follows "
        "that context's sampled flag.",
        metavar="RATIO",
        ge=0,
        le=1,
    )
    max_timeout: float = setting(
        "limits",
        600.0,
        "Seconds that a call may take, whatever deadline its caller sets, or --default-timeout if "
        "that is longer.",
        metavar="SECONDS",
        gt=0,
        le=1e9,
    )
    max_question_tokens: int = setting(
        "limits", 128, "Longest question, in tokens.", ge=1, le=INT32_MAX
    )
    max_context_bytes: int = setting(
        "limits", 1 << 20, "Longest context, in bytes of UTF-8.", ge=1, le=INT32_MAX
    )
    max_top_k: int = setting(
        "limits", 100, "Maximum number of answers to a request.", ge=1, le=INT32_MAX
    )
    max_answer_tokens: int = setting(
        "limits", 256, "Longest answer that a request may ask for, in tokens.", ge=1, le=INT32_MAX
    )
    max_windows: int = setting(
        "limits", 10_000, "Maximum number of windows of a request.", ge=1, le=INT32_MAX
    )
    max_documents: int = setting(
        "limits",
        1000,
        "Maximum number of documents of an AnswerFromDocuments call.",
        ge=1,
        le=INT32_MAX,
    )
    max_id_bytes: int = setting(
        "limits",
        1 << 17,
        "Longest id of a document, or of a pair of a stream, in bytes of UTF-8.",
        ge=1,
        le=INT32_MAX,
    )
    max_batch_items: int = setting(
        "limits", 256, "Maximum number of pairs of a BatchAnswer call.", ge=1, le=INT32_MAX
    )
    max_stream_pairs: int = setting(
        "limits",
        64,
        "Pairs of one batch or stream that are processed at the same time.",
        ge=1,
        le=INT32_MAX,
    )
    max_logits_tokens: int = setting(
        "limits",
        1_000_000,
        "Maximum number of tokens in all windows of a ComputeLogits call.",
        ge=512,
        le=INT32_MAX,
    )
    text_cache_bytes: int = setting(
        "limits",
        32 << 20,
        "Memory in which a worker caches the tokens of recent texts and words, for each model "
        "version; 0 turns the cache off.",
        metavar="BYTES",
        ge=0,
    )
    max_message_bytes: int = setting(
        "limits",
        16 << 20,
        "Largest gRPC message that the server accepts, in bytes.",
        ge=1 << 16,
        le=INT32_MAX,
    )
    max_chunks_in_flight: int = setting(
        "Triton",
        by_triton(2, embedded=1),
        "Chunks of one long request at Triton at a time. A GPU is kept busy if the next chunk is "
        "already waiting; a CPU gains nothing.",
        default_text="2, or 1 with the embedded Triton",
        ge=1,
        le=1024,
    )
    max_admitted_bytes: int = setting(
        "admission",
        256 << 20,
        "Memory that the calls under way may take in a worker: six tenths for calls, one for those "
        "of callers who have next to none, two for pairs of batches and streams. It is estimated, "
        "and corrected once texts are tokenized: 32 kB a call, and 80 bytes for each token of its "
        "windows. Further calls are refused at once, further pairs wait. Messages that are being "
        "received, at most eight at a time, are not part of it.",
        metavar="BYTES",
        ge=1 << 20,
    )

    @property
    def listens_everywhere(self) -> bool:
        """Whether every interface of the machine is open, not one address alone."""
        try:
            return ip_address(self.host.strip("[]")).is_unspecified
        except ValueError:  # a name
            return not self.host

    @property
    def exposure(self) -> str:
        """What is open to anyone who reaches the port, and what closes it; empty if nothing."""
        if not self.listens_everywhere:
            return ""
        open_ways = []
        if not self.tls_certificate:
            open_ways.append("connections are not encrypted (--tls-certificate, --tls-key)")
        if not self.tokens_file and not self.tls_client_ca:
            open_ways.append("callers are not authenticated (--tokens-file or --tls-client-ca)")
        if not open_ways:
            return ""
        return f"listening on all interfaces ({self.host}): {', and '.join(open_ways)}"

    @field_validator("otlp_endpoint")
    @classmethod
    def check_endpoint(cls, endpoint: str) -> str:
        """A URL to which the path is added later."""
        if endpoint and not is_base_url(endpoint):
            raise ValueError("must be a URL like http://HOST:4318")
        return endpoint.rstrip("/")

    @model_validator(mode="after")
    def check_tls(self) -> Self:
        """Certificate and key come together."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("--tls-certificate and --tls-key must be given together")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("--tls-client-ca needs --tls-certificate and --tls-key")
        return self


def is_base_url(url: str) -> bool:
    """Whether it is an HTTP URL to which a path can be appended."""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port or address
        return False
    return named and parts.scheme in ("http", "https") and not (parts.query or parts.fragment)
