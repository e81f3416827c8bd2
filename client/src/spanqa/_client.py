"""The blocking client."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from functools import partial
from threading import Event
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from spanqa import _channel, _replies, _requests, _streams
from spanqa._base_client import BaseClient
from spanqa._errors import CLOSED, CallCancelledError, SpanQAError, error_from_rpc
from spanqa._inputs import DocumentsLike, OptionArguments, Options, PairLike
from spanqa._repeating import Attempts
from spanqa._results import AnswerResult, DocumentsResult, LogitsResult, ModelInfo, StreamItem
from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class Client(BaseClient):
    """Talks to a SpanQA server over one channel; safe to share between threads.

    Keep one client for the life of the program, or use it as a context manager. If the server is
    unavailable, a call is tried up to four times within its timeout. If it is overloaded, a call is
    sent again when the server says, as long as its timeout allows. Streams are not retried.
    """

    def _open(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None,
        options: _channel.ChannelOptions,
    ) -> None:
        self._channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )
        self._stub = QuestionAnsweringServiceStub(self._channel)
        self._closing = Event()

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
        self._closing.set()
        self._channel.close()

    def answer(
        self,
        question: str,
        context: str,
        *,
        timeout: float | None = None,
        **options: Unpack[OptionArguments],
    ) -> AnswerResult:
        """Finds the spans of ``context`` that answer ``question``.

        Args:
            question: The question.
            context: The text to search, of any length up to the server's limit.
            timeout: Seconds that the call may take, retries included; None means the client's. If
                none are left (0 or less), the call raises ``DeadlineExceededError``.
            options: How to answer, as keyword arguments: the fields of ``Options`` (``top_k``,
                ``max_answer_tokens``, ``min_probability`` and so on), which says what each means.

        Raises:
            TypeError, ValueError: An argument cannot be sent (a lone surrogate in a text, say);
                the message names it and nothing was sent.
            SpanQAError: The call failed; the subclass tells the kind of failure.
            RuntimeError: The client is closed.
        """
        request = _requests.answer_request(question, context, Options(**options))
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
        _channel.remaining(timeout)
        _requests.several("pairs", pairs)
        return _streams.stream(partial(self._start_stream, timeout), pairs)

    def answer_from_documents(
        self,
        question: str,
        documents: DocumentsLike,
        *,
        timeout: float | None = None,
        **options: Unpack[OptionArguments],
    ) -> DocumentsResult:
        """Finds the answers to one question in many texts, ranked jointly.

        Args:
            question: The question.
            documents: Texts, ``Document`` values, or a mapping from ids to texts.
            timeout, options: As for ``answer``, which also raises the same errors.
        """
        request = _requests.documents_request(question, documents, Options(**options))
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
        attempts = Attempts(self._seconds(timeout))
        while True:
            metadata = attempts.metadata(self._metadata)
            try:
                return method(request, timeout=attempts.timeout, metadata=metadata)
            except grpc.RpcError as error:
                failure = error_from_rpc(error, self._proxy)
                if (pause := attempts.pause(failure)) is None:
                    raise failure from error
            if self._closing.wait(pause):
                raise CallCancelledError(CLOSED)

    def _start_stream(
        self, timeout: float | None, requests: Iterator[pb.StreamAnswerRequest]
    ) -> _streams.SyncCall:
        self._check_open()
        return self._stub.StreamAnswer(requests, timeout, metadata=self._metadata)
