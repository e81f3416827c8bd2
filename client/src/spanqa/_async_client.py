"""The asyncio client."""

# A gRPC deadline reaches the server, which asyncio.timeout() does not.
# ruff: noqa: ASYNC109

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from spanqa import _async_streams, _channel, _replies, _requests
from spanqa._base_client import BaseClient
from spanqa._errors import CLOSED, CallCancelledError, SpanQAError, error_from_rpc
from spanqa._inputs import DocumentsLike, OptionArguments, Options, PairLike
from spanqa._repeating import Attempts
from spanqa._results import AnswerResult, DocumentsResult, LogitsResult, ModelInfo, StreamItem
from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class AsyncClient(BaseClient):
    """``Client`` for asyncio: the same arguments, results and errors.

    Belongs to the event loop in which it was created. Any number of calls may run concurrently.
    """

    def _open(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None,
        options: _channel.ChannelOptions,
    ) -> None:
        asyncio.get_running_loop()  # or raises RuntimeError
        self._channel = (
            grpc.aio.insecure_channel(target, options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options)
        )
        self._stub = QuestionAnsweringServiceStub(self._channel)

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
        """Closes the channel; active calls raise ``CallCancelledError``. May be repeated."""
        self._closed = True
        await self._channel.close()

    async def answer(
        self,
        question: str,
        context: str,
        *,
        timeout: float | None = None,
        **options: Unpack[OptionArguments],
    ) -> AnswerResult:
        """Finds the spans of ``context`` that answer ``question``; see ``Client.answer``."""
        request = _requests.answer_request(question, context, Options(**options))
        return _replies.answer_result(await self._call(self._stub.Answer, request, timeout))

    async def answer_batch(
        self, pairs: Iterable[PairLike], *, timeout: float | None = None
    ) -> list[AnswerResult | SpanQAError]:
        """Answers independent pairs in one call; see ``Client.answer_batch``."""
        request = _requests.batch_request(pairs)
        response = await self._call(self._stub.BatchAnswer, request, timeout)
        return _replies.batch_outcomes(response, len(request.requests))

    def answer_stream(
        self,
        pairs: Iterable[PairLike] | AsyncIterable[PairLike],
        *,
        timeout: float | None = None,
    ) -> AsyncGenerator[StreamItem, None]:
        """Answers any number of pairs over one call; see ``Client.answer_stream``.

        Args:
            pairs: An iterable or an async iterable, read in a task of its own. A plain iterable
                that blocks also blocks the event loop.
            timeout: Seconds for the whole stream; None means no limit.

        Returns:
            An async iterator. If a loop over it ends early, the call is cancelled when the iterator
            is garbage-collected, or at once with ``contextlib.aclosing``. A cancelled ``anext``
            also cancels the call.
        """
        self._check_open()
        _channel.remaining(timeout)
        if not isinstance(pairs, AsyncIterable):
            _requests.several("pairs", pairs)
        return _async_streams.stream(partial(self._start_stream, timeout), pairs)

    async def answer_from_documents(
        self,
        question: str,
        documents: DocumentsLike,
        *,
        timeout: float | None = None,
        **options: Unpack[OptionArguments],
    ) -> DocumentsResult:
        """Finds the answers in many texts; see ``Client.answer_from_documents``."""
        request = _requests.documents_request(question, documents, Options(**options))
        response = await self._call(self._stub.AnswerFromDocuments, request, timeout)
        return _replies.documents_result(response)

    async def compute_logits(
        self,
        question: str,
        context: str,
        *,
        max_sequence_tokens: int | None = None,
        doc_stride_tokens: int | None = None,
        timeout: float | None = None,
    ) -> LogitsResult:
        """Computes the logits of each window; see ``Client.compute_logits``."""
        request = _requests.logits_request(
            question,
            context,
            max_sequence_tokens=max_sequence_tokens,
            doc_stride_tokens=doc_stride_tokens,
        )
        return _replies.logits_result(await self._call(self._stub.ComputeLogits, request, timeout))

    async def model_info(self, timeout: float | None = None) -> ModelInfo:
        """Returns the model that serves now, and its limits; see ``Client.model_info``."""
        response = await self._call(self._stub.GetModel, pb.GetModelRequest(), timeout)
        return _replies.model_info(response)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout: float | None,
    ) -> _Response:
        self._check_open()
        attempts = Attempts(self._seconds(timeout))
        while True:
            metadata = attempts.metadata(self._metadata)
            try:
                return await method(request, timeout=attempts.timeout, metadata=metadata)
            except grpc.RpcError as error:
                failure = error_from_rpc(error, self._proxy)
                if (pause := attempts.pause(failure)) is None:
                    raise failure from error
            except asyncio.CancelledError as error:
                if _async_streams.is_cancellation(error):
                    raise
                raise CallCancelledError(CLOSED) from None
            await asyncio.sleep(pause)
            if self._closed:
                raise CallCancelledError(CLOSED)

    def _start_stream(self, timeout: float | None) -> _async_streams.AsyncCall:
        self._check_open()
        return self._stub.StreamAnswer(timeout=timeout, metadata=self._metadata)
