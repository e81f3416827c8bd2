"""Where a client connects: the target's default port, and a proxy on the way."""

from __future__ import annotations

import os
from ipaddress import IPv6Address, ip_address
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

DEFAULT_PORT = 50051
DEFAULT_TARGET = f"localhost:{DEFAULT_PORT}"

# The schemes of gRPC whose addresses have a port.
_SCHEMES_WITH_PORTS = ("dns", "ipv4", "ipv6")
_OTHER_SCHEMES = ("unix", "unix-abstract", "vsock", "xds", "google-c2p")
# In the order in which gRPC looks for them.
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_NO_PROXY_VARIABLES = ("no_grpc_proxy", "no_proxy")


def full_target(target: str) -> str:
    """The target with a port, 50051 if it has none; raises TypeError or ValueError for others."""
    if not isinstance(target, str):
        raise TypeError(f"target must be a str, not {type(target).__name__}")
    if not target or any(character.isspace() for character in target):
        raise ValueError(f"target is {target!r}: it must be HOST:PORT")
    if target.startswith(("http://", "https://")):
        raise ValueError(f"target is {target!r}: leave out the scheme, HOST:PORT is enough")
    scheme, addresses = _parts(target)
    if scheme.partition(":")[0] in _OTHER_SCHEMES:
        return target
    return scheme + ",".join(_with_port(address, target) for address in addresses.split(","))


def place_of(target: str) -> tuple[str, str]:
    """The host and the port of a full target; both empty if it has none, or several."""
    scheme, address = _parts(target)
    if scheme.partition(":")[0] in _OTHER_SCHEMES or "," in address:
        return "", ""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port


def is_loopback(target: str) -> bool:
    """Whether a full target is this machine."""
    host, _ = place_of(target)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def proxy_of(target: str) -> str:
    """The proxy that gRPC would take to a full target, as ``http_proxy=http://...``; or nothing."""
    host, _ = place_of(target)
    named = next((name for name in _PROXY_VARIABLES if os.environ.get(name)), None)
    exceptions = next(filter(None, map(os.environ.get, _NO_PROXY_VARIABLES)), "")
    if named is None or not host or is_loopback(target):
        return ""
    if proxy_bypass_environment(host, {"no": exceptions}):
        return ""
    return f"{named}={os.environ[named]}"


def _parts(target: str) -> tuple[str, str]:
    """The scheme with what follows it, such as ``dns:///``, and the address."""
    scheme, colon, rest = target.partition(":")
    if not colon or scheme not in (*_SCHEMES_WITH_PORTS, *_OTHER_SCHEMES):
        return "", target
    if rest.startswith("//"):  # an authority may follow: dns://8.8.8.8/HOST
        authority, slash, rest = rest[2:].partition("/")
        return f"{scheme}://{authority}{slash}", rest
    return f"{scheme}:", rest


def _with_port(address: str, target: str) -> str:
    if _is_ipv6(address):
        return f"[{address}]:{DEFAULT_PORT}"
    host, colon, port = address.rpartition(":")
    if not colon or (address.startswith("[") and address.endswith("]")):
        host, port = address, str(DEFAULT_PORT)
    if not host or not port:
        raise ValueError(f"target is {target!r}: it must be HOST:PORT, or HOST for port 50051")
    # gRPC takes the port modulo 65536 and would connect to another server.
    if port.isdecimal() and int(port) > 65535:
        raise ValueError(f"target is {target!r}: the port is over 65535")
    return f"{host}:{port}"


def _is_ipv6(address: str) -> bool:
    try:
        return isinstance(ip_address(address), IPv6Address)
    except ValueError:
        return False
