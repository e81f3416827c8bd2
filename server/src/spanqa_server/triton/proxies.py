"""The HTTP proxy that gRPC would take to a Triton: messages name it."""

from collections.abc import Mapping
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

# In the order in which gRPC looks for them.
VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")


def through_proxy(address: str, environment: Mapping[str, str]) -> str:
    """Words for messages, like " through http_proxy=http://proxy:3128"; empty without a proxy."""
    named = next((name for name in VARIABLES if environment.get(name)), None)
    exceptions = environment.get("no_grpc_proxy") or environment.get("no_proxy", "")
    if named is None or proxy_bypass_environment(address, {"no": exceptions}):
        return ""
    return f" through {named}={environment[named]}"
