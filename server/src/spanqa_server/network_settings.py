"""The settings of the gRPC port: connections, calls over them, and the end of the server."""

from spanqa_server.triton_settings import INT32_MAX, Port, TritonSettings, setting


class NetworkSettings(TritonSettings):
    """Who may connect, with how many calls, and for how long."""

    port: Port = setting("network", 50051, "gRPC port.", metavar="PORT")
    workers: int = setting(
        "network", 1, "Worker processes that share the port; each uses one core.", ge=1, le=256
    )
    shutdown_grace: float = setting(
        "network",
        4.0,
        "Seconds that calls in progress get to finish at shutdown.",
        metavar="SECONDS",
        ge=0,
        le=3600,
    )
    drain_seconds: float = setting(
        "network",
        2.0,
        "Seconds after SIGTERM in which new calls are still accepted while the health service "
        "already says NOT_SERVING, so that load balancers can react.",
        metavar="SECONDS",
        ge=0,
        le=3600,
    )
    max_connection_age: float = setting(
        "network",
        300.0,
        "Seconds after which a client is asked to reconnect, so that load balancers can move it. "
        "Calls in progress finish. 0 means never.",
        metavar="SECONDS",
        ge=0,
        le=1e6,
    )
    max_connection_grace: float = setting(
        "network",
        3600.0,
        "Seconds after --max-connection-age in which calls in progress have to end, streams and "
        "watchers of health included. 0 means no end.",
        metavar="SECONDS",
        ge=0,
        le=1e6,
    )
    max_connection_idle: float = setting(
        "network",
        120.0,
        "Seconds without a call after which a connection is closed. Clients connect again with the "
        "next call. 0 means never.",
        metavar="SECONDS",
        ge=0,
        le=1e6,
    )
    max_connections: int = setting(
        "network",
        1000,
        "Connections of a worker at a time; further ones are closed at once. Fewer if the process "
        "may not have so many open files.",
        ge=1,
        le=INT32_MAX,
    )
    max_calls_per_connection: int = setting(
        "network",
        1000,
        "Calls over one connection at a time, streams included. Clients keep further ones back.",
        ge=1,
        le=INT32_MAX,
    )
    max_open_calls: int = setting(
        "network",
        4096,
        "Calls of a worker at a time, streams and watchers of health included. A further one ends "
        "the one that has been waiting for its client's next message for longest; if none is, it "
        "is refused.",
        ge=16,
        le=INT32_MAX,
    )
    first_message_timeout: float = setting(
        "network",
        20.0,
        "Seconds that a client may take to send the first message of a call.",
        metavar="SECONDS",
        gt=0,
        le=1e6,
    )
