"""The blocking client."""

from __future__ import annotations

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


class Client:
    """Talks to a SpanQA server over one channel; safe to share between threads.

    Keep one client for the life of the program, or use it as a context manager. Calls that find
    the server unavailable are tried up to four times, within their timeout.
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
        """Makes a client; connects with the first call.

        Args:
            target: ``HOST:PORT``, or any other gRPC target name.
            credentials: What secures the channel; None means plain text.
            timeout: Seconds that a call may take unless it says otherwise; None means no limit.
            token: Sent with each call as ``authorization: Bearer TOKEN``.
            metadata: More metadata, sent with each call.
            max_message_bytes: The largest message sent or received.
            options: gRPC channel options that go before the client's own.

        Raises:
            TypeError, ValueError: An argument cannot be used; the message names it.
        """
        self._settings = _channel.settings(
            target,
            timeout=timeout,
            token=token,
            metadata=metadata,
            max_message_bytes=max_message_bytes,
            options=options,
        )
        self._channel = (
            grpc.insecure_channel(target, self._settings.options)
            if credentials is None
            else grpc.secure_channel(target, credentials, self._settings.options)
        )
        self._stub = QuestionAnsweringServiceStub(self._channel)
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel; calls under way raise ``CallCancelledError``. May be repeated."""
        self._closed = True
        self._channel.close()

    def answer(
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
        """Finds the spans of ``context`` that answer ``question``.

        Args:
            question: The question.
            context: The text that is searched, of any length up to the server's limit.
            top_k: How many answers at most.
            max_answer_tokens: Longest answer in tokens; None means the server's default.
            allow_no_answer: Whether the reply may be that the context holds no answer.
            no_answer_threshold: By how much "no answer" must beat the best span, in logit units.
            max_sequence_tokens: Length of a window in tokens; None means the model's own.
            doc_stride_tokens: Overlap of neighbouring windows in tokens; None means the model's.
            min_probability: Answers with a smaller probability are left out, from 0 to 1.
            timeout: Seconds that the call may take, retries included; None means the client's.

        Raises:
            TypeError, ValueError: An argument cannot be sent (a lone surrogate in a text, say);
                the message names it and nothing was sent.
            SpanQAError: The call failed; the subclass says how.
            RuntimeError: The client is closed.
        """
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
        return _convert.answer_result(self._call(self._stub.Answer, request, timeout))

    def model_info(self, timeout: float | None = None) -> ModelInfo:
        """Asks which model serves now and which limits the server has.

        Args:
            timeout: Seconds that the call may take, retries included; None means the client's.

        Raises:
            SpanQAError: The call failed; the subclass says how.
            RuntimeError: The client is closed.
        """
        return _convert.model_info(self._call(self._stub.GetModel, pb.GetModelRequest(), timeout))

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout: float | None,
    ) -> _Response:
        if self._closed:
            raise RuntimeError("this client is closed")
        seconds = _channel.checked_timeout(timeout) or self._settings.timeout
        try:
            return method(request, timeout=seconds, metadata=self._settings.metadata)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error
