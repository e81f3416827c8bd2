"""The page of metrics that Prometheus reads."""

from prometheus_client import start_http_server
from prometheus_client.registry import CollectorRegistry

from spanqa_server.errors import StartupError


def start_metrics(host: str, port: int, registry: CollectorRegistry) -> None:
    """Serve metrics, unless the port is 0; raises StartupError where it is in use."""
    if not port:
        return
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        raise StartupError(
            f"cannot serve metrics on {host}:{port} "
            f"({error.strerror}); choose another --metrics-port"
        ) from None
