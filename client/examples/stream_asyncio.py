"""A stream whose next question depends on the last answer.

Usage: python stream_asyncio.py [HOST:PORT]
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import spanqa

TEXT = Path(__file__).with_name("lighthouse.txt").read_text(encoding="utf-8")
QUESTIONS = ("Who designed the first lighthouse?", "What did {} design?", "Where does {} stand?")


async def main(target: str) -> None:
    """Ask the questions in turn over one call, each with the answer before it filled in."""
    answers: asyncio.Queue[str] = asyncio.Queue()

    async def pairs() -> AsyncIterator[tuple[str, str]]:
        answer = ""
        for question in QUESTIONS:
            yield question.format(answer), TEXT
            answer = await answers.get()

    # aclosing() ends the call at once where the loop is left early.
    async with (
        spanqa.AsyncClient(target) as client,
        aclosing(client.answer_stream(pairs())) as items,
    ):
        async for item in items:
            if isinstance(item.outcome, spanqa.SpanQAError):
                raise item.outcome
            answer = item.outcome.best.text if item.outcome.best else "it"
            print(f"{item.index}: {answer}")
            answers.put_nowait(answer)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"))
