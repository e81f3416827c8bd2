"""The asyncio client."""

# A gRPC deadline reaches the server, which asyncio.timeout() does not.
# ruff: noqa: ASYNC109

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

import grpc

from spanqa import _channel, _convert
from spanqa.errors import error_from_rpc
from spanqa.results import AnswerResult, ModelInfo
from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class AsyncClient:
    """``Client`` for asyncio: the same arguments, results and errors.

    Belongs to the event loop in which it was made. Any number of calls may be under way at once.
    """

    def __init__(
        self,
        target: str = _channel.DEFAULT_TARGET,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = _channel.DEFAULT_TIMEOUT_SECONDS,
        token: str | None = None,
        metadata: Iterable[tuple[str, str | bytes]] = (),
        max_message_bytes: int = _channel.DEFAULT_MAX_MESSAGE_BYTES,
        options: _channel.ChannelOptions = (),
    ) -> None:
        """Makes a client with the arguments of ``Client``.

        Raises:
            TypeError, ValueError: An argument cannot be used; the message names it.
            RuntimeError: No event loop is running.
        """
        self._settings = _channel.settings(
            target,
            timeout=timeout,
            token=token,
            metadata=metadata,
            max_message_bytes=max_message_bytes,
            options=options,
        )
        asyncio.get_running_loop()
        self._channel = (
            grpc.aio.insecure_channel(target, self._settings.options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, self._settings.options)
        )
        self._stub = QuestionAnsweringServiceStub(self._channel)
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the channel and cancels the calls under way. May be repeated."""
        self._closed = True
        await self._channel.close()

    async def answer(
        self,
        question: str,
        context: str,
        *,
        top_k: int = 1,
        max_answer_tokens: int | None = None,
        allow_no_answer: bool = False,
        no_answer_threshold: float = 0.0,
        max_sequence_tokens: int | None = None,
        doc_stride_tokens: int | None = None,
        min_probability: float = 0.0,
        timeout: float | None = None,
    ) -> AnswerResult:
        """Finds the spans of ``context`` that answer ``question``; see ``Client.answer``."""
        request = _convert.answer_request(
            question,
            context,
            top_k=top_k,
            max_answer_tokens=max_answer_tokens,
            allow_no_answer=allow_no_answer,
            no_answer_threshold=no_answer_threshold,
            max_sequence_tokens=max_sequence_tokens,
            doc_stride_tokens=doc_stride_tokens,
            min_probability=min_probability,
        )
        return _convert.answer_result(await self._call(self._stub.Answer, request, timeout))

    async def model_info(self, timeout: float | None = None) -> ModelInfo:
        """Asks which model serves now and which limits it has; see ``Client.model_info``."""
        response = await self._call(self._stub.GetModel, pb.GetModelRequest(), timeout)
        return _convert.model_info(response)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout: float | None,
    ) -> _Response:
        if self._closed:
            raise RuntimeError("this client is closed")
        seconds = _channel.checked_timeout(timeout) or self._settings.timeout
        try:
            return await method(request, timeout=seconds, metadata=self._settings.metadata)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error
