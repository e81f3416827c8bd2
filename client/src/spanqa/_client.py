"""The blocking client."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import grpc

from spanqa import _channel, _replies, _requests, _streams
from spanqa._errors import SpanQAError, error_from_rpc
from spanqa._inputs import DocumentsLike, Options, PairLike
from spanqa._results import AnswerResult, DocumentsResult, LogitsResult, ModelInfo, StreamItem
from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class Client:
    """Talks to a SpanQA server over one channel; safe to share between threads.

    Keep one client for the life of the program, or use it as a context manager. If the server is
    unavailable, a call is tried up to four times within its timeout; streams are not retried.
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
        """Makes a client, which connects at the first call.

        Args:
            target: ``HOST:PORT``, or any other gRPC target name.
            credentials: The channel's credentials (TLS); None means plain text.
            timeout: Seconds that a call may take, unless the call has its own; None means no limit.
            token: Sent with each call as ``authorization: Bearer TOKEN``.
            metadata: More metadata, sent with each call.
            max_message_bytes: The largest message sent or received.
            options: gRPC channel options, which override the client's own.

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
        """Closes the channel; active calls raise ``CallCancelledError``. May be repeated."""
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
            context: The text to search, of any length up to the server's limit.
            top_k ... min_probability: How to answer: the fields of ``Options``.
            timeout: Seconds that the call may take, retries included; None means the client's.

        Raises:
            TypeError, ValueError: An argument cannot be sent (a lone surrogate in a text, say);
                the message names it and nothing was sent.
            SpanQAError: The call failed; the subclass tells the kind of failure.
            RuntimeError: The client is closed.
        """
        options = Options(
            top_k=top_k,
            max_answer_tokens=max_answer_tokens,
            allow_no_answer=allow_no_answer,
            no_answer_threshold=no_answer_threshold,
            max_sequence_tokens=max_sequence_tokens,
            doc_stride_tokens=doc_stride_tokens,
            min_probability=min_probability,
        )
        request = _requests.answer_request(question, context, options)
        return _replies.answer_result(self._call(self._stub.Answer, request, timeout))

    def answer_batch(
        self, pairs: Iterable[PairLike], *, timeout: float | None = None
    ) -> list[AnswerResult | SpanQAError]:
        """Answers independent pairs in one call: one outcome each, in their order.

        The error of a failed pair is returned as its outcome, not raised; the others are not
        affected. The whole call raises the same errors as ``answer``, also if there are more pairs
        than the server accepts (``limits.max_batch_items``).

        Args:
            pairs: ``Pair`` values, or tuples ``(question, context)``.
            timeout: As for ``answer``; for all pairs together.
        """
        request = _requests.batch_request(pairs)
        response = self._call(self._stub.BatchAnswer, request, timeout)
        return _replies.batch_outcomes(response, len(request.requests))

    def answer_stream(
        self, pairs: Iterable[PairLike], *, timeout: float | None = None
    ) -> Generator[StreamItem, None, None]:
        """Answers any number of pairs over one call, each as soon as it is ready.

        Sends nothing until the first item is requested, and keeps no pair. Takes the next pair
        while fewer than 128 have no outcome. Closing the iterator, or leaving the loop over it,
        cancels the call. A stream is not retried.

        Args:
            pairs: As for ``answer_batch``, of any length. Read in another thread, so it may block
                until the loop has used earlier items.
            timeout: Seconds for the whole stream; None means no limit, even if the client has one.
                The server limits the time of each pair (``limits.default_timeout``).

        Returns:
            An iterator of ``StreamItem``, in the order in which the outcomes become ready. It
            raises the errors of ``answer``, and any exception of ``pairs`` unchanged; each ends the
            stream. A pair that the server refuses is an item like any other.
        """
        self._check_open()
        _channel.checked_timeout(timeout)
        _requests.several("pairs", pairs)
        return _streams.stream(partial(self._start_stream, timeout), pairs)

    def answer_from_documents(
        self,
        question: str,
        documents: DocumentsLike,
        *,
        top_k: int = 1,
        max_answer_tokens: int | None = None,
        allow_no_answer: bool = False,
        no_answer_threshold: float = 0.0,
        max_sequence_tokens: int | None = None,
        doc_stride_tokens: int | None = None,
        min_probability: float = 0.0,
        timeout: float | None = None,
    ) -> DocumentsResult:
        """Finds the answers to one question in many texts, ranked jointly.

        Args:
            question: The question.
            documents: Texts, ``Document`` values, or a mapping from ids to texts.
            top_k ... timeout: As for ``answer``, which also raises the same errors.
        """
        options = Options(
            top_k=top_k,
            max_answer_tokens=max_answer_tokens,
            allow_no_answer=allow_no_answer,
            no_answer_threshold=no_answer_threshold,
            max_sequence_tokens=max_sequence_tokens,
            doc_stride_tokens=doc_stride_tokens,
            min_probability=min_probability,
        )
        request = _requests.documents_request(question, documents, options)
        response = self._call(self._stub.AnswerFromDocuments, request, timeout)
        return _replies.documents_result(response)

    def compute_logits(
        self,
        question: str,
        context: str,
        *,
        max_sequence_tokens: int | None = None,
        doc_stride_tokens: int | None = None,
        timeout: float | None = None,
    ) -> LogitsResult:
        """Computes the tokens, offsets and logits of each window, for your own decoding.

        The arguments and the errors are those of ``answer``.
        """
        request = _requests.logits_request(
            question,
            context,
            max_sequence_tokens=max_sequence_tokens,
            doc_stride_tokens=doc_stride_tokens,
        )
        return _replies.logits_result(self._call(self._stub.ComputeLogits, request, timeout))

    def model_info(self, timeout: float | None = None) -> ModelInfo:
        """Returns the model that serves now, and the server's limits."""
        return _replies.model_info(self._call(self._stub.GetModel, pb.GetModelRequest(), timeout))

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout: float | None,
    ) -> _Response:
        self._check_open()
        seconds = _channel.checked_timeout(timeout) or self._settings.timeout
        try:
            return method(request, timeout=seconds, metadata=self._settings.metadata)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error

    def _start_stream(
        self, timeout: float | None, requests: Iterator[pb.StreamAnswerRequest]
    ) -> _streams.SyncCall:
        self._check_open()
        return self._stub.StreamAnswer(requests, timeout, metadata=self._settings.metadata)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this client is closed")
