"""One pair of many: its time, its texts, and what becomes of it."""

import asyncio
import logging

import pytest
from google.rpc import code_pb2, error_details_pb2

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.errors import (
    DeadlineError,
    FieldViolation,
    InvalidRequestError,
    ServerError,
    VersionGoneError,
)
from spanqa_server.grpc_api.items import (
    Item,
    ServedModel,
    SharedTexts,
    check_count,
    settle,
)
from spanqa_server.scheduling.deadline import Deadline
from unit.server.grpc_api.counters import Counters
from unit.server.qa.played import make_answerer

ANSWER = pb.AnswerResponse(no_answer=True, model_version="3")
ITEMS = [pb.BatchAnswerItem, pb.StreamAnswerResponse]


async def hang() -> None:
    await asyncio.get_running_loop().create_future()


async def test_work_that_takes_too_long_is_ended_and_told_so() -> None:
    with pytest.raises(DeadlineError, match=r"^no answer within 0\.0123 s$"):
        async with Deadline.after(0.01234).bounds():
            await hang()


async def test_a_deadline_is_by_the_clock_of_the_loop() -> None:
    clock = asyncio.get_running_loop().time
    before = clock()
    deadline = Deadline.after(60.0)
    assert before + 60 <= deadline.at <= clock() + 60
    assert deadline.seconds == 60.0


async def test_work_that_begins_after_the_deadline_ends_at_its_first_wait() -> None:
    begun = False

    async def work() -> None:
        nonlocal begun
        async with Deadline.after(-1.0).bounds():
            begun = True
            await hang()

    with pytest.raises(DeadlineError):
        await work()
    assert begun


async def test_one_deadline_bounds_several_works() -> None:
    deadline = Deadline.after(0.01)

    async def work() -> None:
        async with deadline.bounds():
            await hang()

    results = await asyncio.gather(*(work() for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [DeadlineError] * 3


async def test_work_in_time_is_left_alone() -> None:
    async with Deadline.after(60.0).bounds():
        await asyncio.sleep(0)
    with pytest.raises(KeyError):
        async with Deadline.after(60.0).bounds():
            raise KeyError


async def test_a_cancelled_call_is_no_deadline() -> None:
    async def work() -> None:
        async with Deadline.after(60.0).bounds():
            await hang()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def served(version: str) -> ServedModel:
    return ServedModel(make_answerer(), pb.GetModelResponse(version=version))


async def test_each_model_has_texts_of_its_own() -> None:
    # A version that was replaced under its number has another tokenizer.
    first, replaced, other = served("1"), served("1"), served("2")
    with SharedTexts() as texts:
        assert texts.of(first) is texts.of(first)
        assert len({id(texts.of(model)) for model in (first, replaced, other)}) == 3
        [tokens] = await texts.of(first).encode("the light")
        [again] = await texts.of(first).encode("the light")
        assert again is tokens


@pytest.mark.parametrize("raises", [False, True])
async def test_texts_end_with_the_call(raises: bool) -> None:
    ended = asyncio.get_running_loop().create_future()
    model = served("1")
    try:
        with SharedTexts() as texts:
            texts.of(model)._under_way["the light"] = ended
            if raises:
                raise KeyError
    except KeyError:
        assert raises
    assert ended.cancelled()


async def answered() -> pb.AnswerResponse:
    return ANSWER


async def failing(error: BaseException) -> pb.AnswerResponse:
    raise error


@pytest.mark.parametrize("make", ITEMS)
async def test_an_answer(make: type[Item]) -> None:
    counters = Counters()
    item = make()
    await settle(item, answered(), "A")
    assert item.response == ANSWER
    assert item.WhichOneof("result") == "response"  # type: ignore[attr-defined]
    assert counters.items == {("A", "OK"): 1}


@pytest.mark.parametrize("make", ITEMS)
async def test_a_status_with_its_details(make: type[Item]) -> None:
    counters = Counters()
    item = make()
    error = InvalidRequestError(FieldViolation("options.top_k", "is -1"))
    await settle(item, failing(error), "A")
    assert item.WhichOneof("result") == "error"  # type: ignore[attr-defined]
    assert item.error.code == code_pb2.INVALID_ARGUMENT
    assert item.error.message == "options.top_k: is -1"
    request, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    assert item.error.details[0].Unpack(request)
    assert item.error.details[1].Unpack(info)
    [violation] = request.field_violations
    assert (violation.field, violation.description) == ("options.top_k", "is -1")
    assert (info.domain, info.reason) == ("spanqa.v1", "INVALID_REQUEST")
    assert counters.items == {("A", "INVALID_ARGUMENT"): 1}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DeadlineError("late"), "DEADLINE_EXCEEDED"),
        (VersionGoneError("gone"), "UNAVAILABLE"),
        (ServerError("odd"), "INTERNAL"),
    ],
)
async def test_other_errors_of_ours(error: ServerError, code: str) -> None:
    counters = Counters()
    item = pb.BatchAnswerItem()
    await settle(item, failing(error), "A")
    assert (item.error.code, item.error.message) == (code_pb2.Code.Value(code), str(error))
    assert counters.items == {("A", code): 1}


async def test_an_unexpected_error_is_logged_and_kept_from_the_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counters = Counters()
    item = pb.StreamAnswerResponse(id="7")
    await settle(item, failing(RuntimeError("secret of the house")), "A")
    assert item.error.code == code_pb2.INTERNAL
    assert item.error.message == "internal error; the server's log has more"
    assert (item.id, list(item.error.details)) == ("7", [])
    [record] = caplog.records
    assert (record.levelno, record.message) == (logging.ERROR, "a pair of a A call failed")
    assert "secret of the house" in caplog.text
    assert counters.items == {("A", "INTERNAL"): 1}


async def test_a_cancelled_pair_has_no_status() -> None:
    counters = Counters()
    item = pb.BatchAnswerItem()
    with pytest.raises(asyncio.CancelledError):
        await settle(item, failing(asyncio.CancelledError()), "A")
    assert item.WhichOneof("result") is None
    assert counters.items == {}


def test_counts() -> None:
    check_count("requests", 0, 2)
    check_count("requests", 2, 2)
    with pytest.raises(InvalidRequestError) as raised:
        check_count("requests", 3, 2)
    [violation] = raised.value.violations
    assert violation == FieldViolation(
        "requests", "has 3 entries; the limit is 2: send them in several calls"
    )
