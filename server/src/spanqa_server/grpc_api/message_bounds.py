"""Which messages are not worth parsing: what can be refused by their outermost fields is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.errors import (
    FieldViolation,
    InvalidRequestError,
    MalformedRequestError,
    too_long,
    too_many,
)
from spanqa_server.grpc_api.outline import NotAMessageError, Outline, outline
from spanqa_server.qa.requests import BYTES_PER_QUESTION_TOKEN
from spanqa_server.settings import Settings

# Whatever is in a smaller message, parsing it takes a few megabytes at most.
SMALL_MESSAGE = 1 << 16
# Fields beside the repeated one; some may be of a later version of the API.
OTHER_FIELDS = 64
# Of a document, beside its id and text: tags, lengths, fields of a later version.
DOCUMENT_OVERHEAD = 64
REQUESTS = pb.BatchAnswerRequest.REQUESTS_FIELD_NUMBER
DOCUMENTS = pb.AnswerFromDocumentsRequest.DOCUMENTS_FIELD_NUMBER
QUESTION, CONTEXT = pb.AnswerRequest.QUESTION_FIELD_NUMBER, pb.AnswerRequest.CONTEXT_FIELD_NUMBER


@dataclass(frozen=True, slots=True)
class MessageBounds:
    """The most that a message may hold; sizes in bytes of UTF-8."""

    question: int
    context: int
    document_id: int
    documents: int
    pairs: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """By the settings."""
        return cls(
            question=BYTES_PER_QUESTION_TOKEN * settings.max_question_tokens,
            context=settings.max_context_bytes,
            document_id=settings.max_id_bytes,
            documents=settings.max_documents,
            pairs=settings.max_batch_items,
        )

    def check(self, method: str, raw: bytes) -> None:
        """Refuse what would be refused once it is parsed.

        Raises:
            InvalidRequestError: a text is too long, or there are too many pairs or documents.
            MalformedRequestError: it is no protobuf, or has a thousand fields that nobody knows.
        """
        if len(raw) <= SMALL_MESSAGE:
            return
        most = {"BatchAnswer": self.pairs, "AnswerFromDocuments": self.documents}.get(method, 0)
        try:
            found = outline(raw, most + OTHER_FIELDS)
        except NotAMessageError as error:
            raise MalformedRequestError(f"the request is broken protobuf: {error}") from None
        if violations := list(self._violations(method, found)):
            raise InvalidRequestError(*violations)
        if not found.complete:
            raise MalformedRequestError(
                f"the request has more than {most + OTHER_FIELDS} fields; send those of the API"
            )

    def _violations(self, method: str, found: Outline) -> Iterator[FieldViolation]:
        if method == "BatchAnswer":
            if found.count(REQUESTS) > self.pairs:
                yield too_many("requests", found.count(REQUESTS), self.pairs, found.complete)
            return
        # A pair of a stream that is refused must not end the stream, and GetModel has no fields.
        if method in ("StreamAnswer", "GetModel"):
            return
        if found.size(QUESTION) > self.question:
            yield too_long("question", found.size(QUESTION), self.question)
        if method != "AnswerFromDocuments":
            if found.size(CONTEXT) > self.context:
                yield too_long("context", found.size(CONTEXT), self.context)
        elif (count := found.count(DOCUMENTS)) > self.documents:
            yield too_many("documents", count, self.documents, found.complete)
        elif found.size(DOCUMENTS) > self.context + count * (self.document_id + DOCUMENT_OVERHEAD):
            yield too_long("documents", found.size(DOCUMENTS), self.context)
