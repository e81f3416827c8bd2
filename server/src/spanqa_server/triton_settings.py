"""The settings that `serve` and `gate` share, and those of `gate`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic.config import JsonDict
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

INT32_MAX = 2**31 - 1
Port = Annotated[int, Field(ge=0, le=65535)]

# A default that follows from the settings before it.
Derived = Callable[[dict[str, Any]], Any]

# The groups of `--help` and of docs/settings.md, in their order.
GROUPS = ("network", "model", "Triton", "limits", "admission", "security", "telemetry")


def setting(
    group: str,
    default: Any,
    description: str,
    *,
    metavar: str = "N",
    default_text: str | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
) -> Any:
    """A field of a settings class.

    Args:
        group: one of GROUPS.
        default: the value where nobody gives one, or a function of the fields declared before.
        description: a sentence for `--help` and docs/settings.md.
        metavar: stands for the value in `--help`.
        default_text: says what the default is where the value alone does not.
        ge: the least value.
        gt: the value must be larger.
        le: the greatest value.
    """
    extra: JsonDict = {"group": group, "metavar": metavar, "default_text": default_text}
    given: dict[str, Any] = (
        {"default_factory": default} if callable(default) else {"default": default}
    )
    return Field(**given, description=description, json_schema_extra=extra, ge=ge, gt=gt, le=le)


def by_triton(own: int, embedded: int) -> Derived:
    """A default for Tritons of your own, and another one for the embedded Triton."""
    return lambda fields: own if fields.get("triton") else embedded


class TritonSettings(BaseSettings):
    """Where Triton and the model versions are, how much is sent there at a time, metrics, log."""

    model_config = SettingsConfigDict(
        env_prefix="SPANQA_",
        cli_kebab_case=True,
        cli_enforce_required=False,
        cli_avoid_json=True,
        frozen=True,
        protected_namespaces=(),
    )

    host: str = setting(
        "network",
        "0.0.0.0",  # noqa: S104
        "Address to listen on; 0.0.0.0 is every IPv4 interface.",
        metavar="ADDRESS",
    )
    metrics_port: Port = setting(
        "telemetry", 0, "Port of the Prometheus metrics; 0 turns them off.", metavar="PORT"
    )
    metrics_host: str = setting(
        "telemetry",
        "127.0.0.1",
        "Address of the Prometheus metrics, which need no token and are not encrypted. 0.0.0.0 is "
        "every IPv4 interface.",
        metavar="ADDRESS",
    )
    model_repository: Path = setting(
        "model", Path("model_repository"), "Triton's model repository.", metavar="DIR"
    )
    triton: Annotated[list[str], NoDecode] = setting(
        "Triton",
        [],
        "Addresses of the Triton servers to use, separated by commas. Without one, an embedded "
        "Triton is started.",
        metavar="HOST:PORT[,...]",
        default_text="the embedded Triton",
    )
    triton_tls: bool = setting(
        "Triton",
        False,
        "Connect to --triton by TLS, and trust the well-known authorities unless --triton-ca names "
        "another.",
        metavar="true|false",
    )
    triton_ca: Path | None = setting(
        "Triton",
        None,
        "PEM file with the authority that signs the certificates of --triton. With it, connections "
        "there use TLS.",
        metavar="FILE",
        default_text="no TLS",
    )
    triton_certificate: Path | None = setting(
        "Triton",
        None,
        "PEM file with the certificate that this server shows to --triton (mutual TLS).",
        metavar="FILE",
        default_text="no client certificate",
    )
    triton_key: Path | None = setting(
        "Triton",
        None,
        "PEM file with the private key of --triton-certificate.",
        metavar="FILE",
        default_text="no client certificate",
    )
    triton_server_name: str = setting(
        "Triton",
        "",
        "Name that the certificates of --triton must have. Several Tritons with TLS need one.",
        metavar="NAME",
        default_text="the host in --triton",
    )
    triton_token_file: Path | None = setting(
        "Triton",
        None,
        "File with the bearer token that is sent to --triton with each call. A change is noticed.",
        metavar="FILE",
        default_text="no token",
    )
    max_chunk_tokens: int = setting(
        "Triton",
        by_triton(4096, embedded=1024),
        "Largest Triton request, in tokens. Longer work is split into chunks of this size. Smaller "
        "chunks make short questions wait less behind long documents.",
        default_text="4,096, or 1,024 with the embedded Triton",
        ge=512,
        le=INT32_MAX,
    )
    max_tokens_in_flight: int = setting(
        "Triton",
        16_384,
        "The most tokens that a worker has at Triton at a time; fewer if Triton takes longer than "
        "half a second for them. Other work waits in the frontend.",
        ge=512,
        le=INT32_MAX,
    )
    first_batch_tokens: int = setting(
        "model",
        lambda fields: fields.get("max_tokens_in_flight", 0) if fields.get("triton") else 0,
        "Size of the batch, in tokens, that a new model version must compute before it takes "
        "calls. It is at least two windows.",
        default_text="the value of --max-tokens-in-flight, or two windows with the embedded Triton",
        ge=0,
        le=INT32_MAX,
    )
    max_f1_drop: float = setting(
        "model",
        3.0,
        "How many points of F1 a new model version may lose against the one before it. One that "
        "loses more is held: it takes no calls until `spanqa-model promote` lets it. Versions that "
        "were not measured are not compared. 100 turns this off.",
        metavar="POINTS",
        ge=0,
        le=100,
    )
    log_level: str = setting(
        "telemetry",
        "INFO",
        "Minimum level of log lines: DEBUG, INFO, WARNING or ERROR.",
        metavar="LEVEL",
    )
    log_format: Literal["text", "json"] = setting(
        "telemetry",
        "text",
        "Format of log lines: plain text, or one JSON object per line.",
        metavar="text|json",
    )

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

    @property
    def triton_uses_tls(self) -> bool:
        """Whether connections to --triton use TLS."""
        return self.triton_tls or self.triton_ca is not None or self.triton_certificate is not None

    @model_validator(mode="after")
    def check_access(self) -> Self:
        """What opens --triton goes together, and with --triton."""
        if (self.triton_certificate is None) != (self.triton_key is None):
            raise ValueError("--triton-certificate and --triton-key must be given together")
        if not self.triton and (self.triton_uses_tls or self.triton_token_file):
            raise ValueError("TLS and a token for Triton need --triton: the embedded one is inside")
        if self.triton_uses_tls and len(self.triton) > 1 and not self.triton_server_name:
            raise ValueError("several Tritons with TLS need --triton-server-name")
        return self

    @field_validator("log_level")
    @classmethod
    def check_level(cls, level: str) -> str:
        """One of logging's levels."""
        if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return level.upper()


class GateSettings(TritonSettings):
    """Keep a Triton's model repository free of versions that do not work.

    Every flag --some-name is also an environment variable SPANQA_SOME_NAME; the flag wins.
    """

    view: Path = setting(
        "model",
        Path("view"),
        "Directory that Triton polls as its model repository. The gate keeps links in it to the "
        "versions that Triton may load. The gate and Triton must see --model-repository at the "
        "same path.",
        metavar="DIR",
    )
