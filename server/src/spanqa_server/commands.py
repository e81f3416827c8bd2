"""The commands of `spanqa-server`."""

import argparse
import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import ValidationError
from pydantic_settings import CliApp, CliSettingsSource

from spanqa_server.errors import StartupError
from spanqa_server.settings import Settings
from spanqa_server.telemetry.logs import set_up_logging
from spanqa_server.triton_settings import GateSettings, TritonSettings


def run() -> None:
    """Run the command; every foreseen failure is one line on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="spanqa-server", description="The SpanQA server.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve_parser = commands.add_parser(
        "serve", help="Serve the newest model version.", description=Settings.__doc__
    )
    gate_parser = commands.add_parser(
        "gate",
        help="Offer the model versions that work to a Triton of your own.",
        description=GateSettings.__doc__,
    )
    kinds: dict[str, tuple[type[TritonSettings], CliSettingsSource[Any]]] = {
        "serve": (Settings, CliSettingsSource(Settings, root_parser=serve_parser)),
        "gate": (GateSettings, CliSettingsSource(GateSettings, root_parser=gate_parser)),
    }
    health_parser = commands.add_parser("health", help="Exit with 0 if a server is SERVING.")
    health_parser.add_argument("--target", default="localhost:50051", help="HOST:PORT")
    told = {
        "ca": "PEM file: who signs the server's certificate; with it the connection is TLS",
        "certificate": "PEM file: what the server wants to be shown (mutual TLS)",
        "key": "PEM file: its key",
    }
    for name, text in told.items():
        health_parser.add_argument(f"--{name}", type=Path, help=text)
    arguments = parser.parse_args()
    if arguments.command == "health":
        files = (arguments.ca, arguments.key, arguments.certificate)
        sys.exit(check_health(arguments.target, *files))
    kind, source = kinds[arguments.command]
    del arguments.command
    try:
        settings = CliApp.run(kind, cli_args=arguments, cli_settings_source=source)
    except ValidationError as error:
        sys.exit(f"spanqa-server: {describe(error)}")
    set_up_logging(settings.log_level, settings.log_format)
    try:
        asyncio.run(work(settings))
    except StartupError as error:
        sys.exit(f"spanqa-server: {error}")


def work(settings: TritonSettings) -> Coroutine[Any, Any, None]:
    """What these settings are for."""
    # Not needed, and slow, for the other commands.
    from spanqa_server.gate import keep_gate
    from spanqa_server.service import serve
    from spanqa_server.workers import serve_with_workers

    if isinstance(settings, GateSettings):
        return keep_gate(settings)
    assert isinstance(settings, Settings)
    return serve(settings) if settings.workers == 1 else serve_with_workers(settings)


def check_health(
    target: str, ca: Path | None = None, key: Path | None = None, certificate: Path | None = None
) -> str | int:
    """Ask the health service, by TLS where files are named: 0, or what is wrong."""
    if (key is None) != (certificate is None) or (key and not ca):
        return "spanqa-server: --certificate and --key need each other, and --ca"
    try:
        pem = [file.read_bytes() if file else None for file in (ca, key, certificate)]
    except OSError as error:
        return f"spanqa-server: {error.filename}: {error.strerror}"
    channel = (
        grpc.secure_channel(target, grpc.ssl_channel_credentials(*pem))
        if ca
        else grpc.insecure_channel(target)
    )
    with channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            status = stub.Check(health_pb2.HealthCheckRequest(), timeout=2).status
        except grpc.RpcError as error:
            return f"spanqa-server: {target}: {error.code().name}"
    serving = status == health_pb2.HealthCheckResponse.SERVING
    return 0 if serving else f"spanqa-server: {target}: NOT_SERVING"


def describe(error: ValidationError) -> str:
    """The settings that are wrong, each with its flag and what it must be."""
    parts = []
    for item in error.errors():
        if not item["loc"]:  # of several settings together, which it names itself
            parts.append(item["msg"].removeprefix("Value error, "))
            continue
        name = str(item["loc"][0]).replace("_", "-")
        parts.append(f"--{name} {item['input']!r}: {item['msg']}")
    return "; ".join(parts)
