"""One pair of a batch or a stream: what becomes of it, an answer or a status."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import grpc
from google.rpc import code_pb2, status_pb2

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.errors import InvalidRequestError, ServerError, too_many
from spanqa_server.grpc_api.statuses import to_status
from spanqa_server.qa.answerer import Answerer
from spanqa_server.telemetry.metrics import ITEMS

logger = logging.getLogger(__name__)

CODES = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model version that takes calls: its own tokenizer, limits and inference."""

    answerer: Answerer
    version: str
    describe: Callable[[], pb.GetModelResponse]


class Item(Protocol):
    """A BatchAnswerItem or a StreamAnswerResponse."""

    @property
    def response(self) -> pb.AnswerResponse: ...
    @property
    def error(self) -> status_pb2.Status: ...


async def settle(item: Item, answer: Awaitable[pb.AnswerResponse], method: str) -> None:
    """Fill in the answer, or the status of whatever it failed with."""
    status = status_pb2.Status()
    try:
        item.response.CopyFrom(await answer)
    except ServerError as error:
        status = to_status(error)
    except Exception:
        logger.exception("a pair of a %s call failed", method)
        status.code = code_pb2.INTERNAL
        status.message = "internal error; the server's log has more"
    if status.code:
        item.error.CopyFrom(status)
    ITEMS.labels(method, CODES[status.code]).inc()


def check_count(field: str, count: int, maximum: int) -> None:
    """Refuse a message with too many entries; raises InvalidRequestError."""
    if count > maximum:
        raise InvalidRequestError(too_many(field, count, maximum))
