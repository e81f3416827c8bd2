"""Whose call it is: callers share what there is, so it matters who counts as one."""

from __future__ import annotations  # grpc's classes are generic in its stubs alone

from typing import TYPE_CHECKING, Any

from spanqa_server.security.bearer_tokens import BearerTokens, name_of

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class Callers:
    """Names callers: by client certificate and token where they differ, else by connection."""

    def __init__(self, tokens: BearerTokens | None = None, *, certificates: bool = False) -> None:
        """With `certificates`, every client shows one.

        A token counts if there are several: one that all callers share says nothing.
        """
        self._tokens = tokens
        self._certificates = certificates

    def name(self, context: Context) -> str:
        """The same for all connections of a caller."""
        parts = []
        if self._certificates:
            parts += [one.decode(errors="replace") for one in context.peer_identities() or ()]
        if self._tokens and self._tokens.count > 1:
            given = dict(context.invocation_metadata() or ()).get("authorization")
            parts.append(name_of(given))
        return " ".join(parts) or context.peer()
