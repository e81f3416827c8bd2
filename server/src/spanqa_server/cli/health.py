"""`spanqa-server health`: ask a server whether it is SERVING."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_SECONDS = 2
FILES = {
    "ca": "PEM file with the authority that signs the server's certificate. With it the "
    "connection uses TLS.",
    "certificate": "PEM file with the client's certificate (mutual TLS).",
    "key": "PEM file with the private key of --certificate.",
}


def add_health_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        default="localhost:50051",
        metavar="HOST:PORT",
        help="Server to ask. Default: %(default)s.",
    )
    for name, text in FILES.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=text)


def check_health(arguments: Namespace) -> str | int:
    """Ask the health service, over TLS if --ca is given. Return 0, or what is wrong."""
    ca, key, certificate = arguments.ca, arguments.key, arguments.certificate
    if (key is None) != (certificate is None) or (key and not ca):
        return "spanqa-server: give --certificate and --key together, and with --ca"
    try:
        pem = [file.read_bytes() if file else None for file in (ca, key, certificate)]
    except OSError as error:
        return f"spanqa-server: {error.filename}: {error.strerror}"
    target = arguments.target
    channel = (
        grpc.secure_channel(target, grpc.ssl_channel_credentials(*pem))
        if ca
        else grpc.insecure_channel(target)
    )
    with channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            request = health_pb2.HealthCheckRequest()
            status = stub.Check(request, timeout=TIMEOUT_SECONDS).status
        except grpc.RpcError as error:
            return f"spanqa-server: {target}: {error.code().name}"
    serving = status == health_pb2.HealthCheckResponse.SERVING
    return 0 if serving else f"spanqa-server: {target}: NOT_SERVING"
