"""The web application: static files, and three calls that pass to the SpanQA server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from spanqa._async_client import AsyncClient
from spanqa._errors import InvalidArgumentError, ResourceExhaustedError, SpanQAError
from spanqa.playground import bodies, replies
from spanqa.playground.guard import Guard

STATIC = Path(__file__).with_name("static")

_HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_CLIENT_GONE = 499
_Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Playground:
    """The calls of the page."""

    client: AsyncClient
    target: str

    async def model(self, body: bytes) -> _Values:
        return replies.model_reply(await self.client.model_info(), self.target)

    async def answer(self, body: bytes) -> _Values:
        asked = bodies.read_question(body)
        question, documents = asked.question, asked.documents
        if len(documents) == 1:
            result = await self.client.answer(question, documents[0].text, **asked.options)
            return replies.answers_reply(result, documents)
        found = await self.client.answer_from_documents(question, documents, **asked.options)
        return replies.answers_reply(found, documents)

    async def windows(self, body: bytes) -> _Values:
        question, text = bodies.read_pair(body)
        if len(text) > replies.MAX_WINDOWS_CHARACTERS:
            limit = f"{replies.MAX_WINDOWS_CHARACTERS:,}"
            bodies.refuse("text", f"has {len(text):,} characters; windows are shown up to {limit}")
        result = await self.client.compute_logits(question, text)
        return replies.windows_reply(result, question, text)


def create_app(client: AsyncClient, target: str, remedy: Callable[[SpanQAError], str]) -> Starlette:
    """The application, for one server.

    Args:
        client: Open for as long as the application runs, in the same event loop.
        target: The server's address, to be shown.
        remedy: Says what to do about an error of a call; called in a thread, it may block.
    """
    page = Playground(client, target)
    return Starlette(
        routes=[
            Route("/api/model", _endpoint(page.model, remedy), methods=["GET"]),
            Route("/api/answer", _endpoint(page.answer, remedy), methods=["POST"]),
            Route("/api/windows", _endpoint(page.windows, remedy), methods=["POST"]),
            Mount("/", StaticFiles(directory=STATIC, html=True)),
        ],
        middleware=[Middleware(Guard)],
    )


def _endpoint(
    call: Callable[[bytes], Coroutine[Any, Any, _Values]], remedy: Callable[[SpanQAError], str]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            values = await _unless_gone(request, call(await _body(request)))
        except SpanQAError as error:
            advice = await asyncio.to_thread(remedy, error)
            status = _HTTP_STATUS.get(error.code, 502)
            return JSONResponse(replies.error_reply(error, advice), status)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_GONE)
        return JSONResponse(values)

    return endpoint


async def _body(request: Request) -> bytes:
    if request.method == "POST":
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise InvalidArgumentError("the content type must be application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bodies.MAX_BODY_BYTES:
            raise ResourceExhaustedError(f"the texts have over {bodies.MAX_BODY_BYTES:,} bytes")
    return bytes(body)


async def _unless_gone(request: Request, call: Coroutine[Any, Any, _Values]) -> _Values:
    """The result of the call, which is cancelled if the browser no longer waits for it."""
    work = asyncio.ensure_future(call)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
