"""The playground's page as a person uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spanqa.v1 import question_answering_pb2 as pb
from unit.client.fake_service import Handler

IN_VIEW = """(selector) => {
    const mark = document.querySelector(selector);
    const inner = mark.getBoundingClientRect();
    const outer = mark.closest(".marked").getBoundingClientRect();
    return inner.height > 0 && inner.top >= outer.top && inner.bottom <= outer.bottom;
}"""
"""Whether it is inside the visible part of its scrolling box."""


@dataclass(frozen=True)
class Page:
    """Wraps Playwright's page, which is ``page``."""

    page: Any

    def ask(self, question: str, *texts: str) -> None:
        """Types it all in, and asks; does not wait for the reply."""
        while self.page.locator("textarea").count() < len(texts):
            self.page.get_by_role("button", name="Add a text").click()
        for index, text in enumerate(texts):
            self.page.locator("textarea").nth(index).fill(text)
        self.page.get_by_label("Question", exact=True).fill(question)
        self.page.get_by_role("button", name="Ask", exact=True).click()

    def replied(self) -> None:
        """Waits until nothing is under way."""
        self.page.locator("#result[aria-busy=false]").wait_for()

    def marks(self) -> list[dict[str, Any]]:
        """The marked spans in the order of the page, each with its place in the shown text."""
        found: list[dict[str, Any]] = self.page.evaluate(
            """() => [...document.querySelectorAll("mark")].map((mark) => {
                const box = mark.closest(".marked");
                const range = document.createRange();
                range.setStart(box, 0);
                range.setEndBefore(mark);
                return {
                    text: mark.textContent,
                    start: range.toString().length,
                    rank: Number(mark.dataset.rank),
                };
            })"""
        )
        return found

    def shown_text(self) -> str:
        """The text in which answers are marked."""
        text: str = self.page.locator(".marked").first.evaluate("(box) => box.textContent")
        return text

    def shown_length(self) -> int:
        """The length of that text, in UTF-16 units."""
        box = self.page.locator(".marked").first
        length: int = box.evaluate("(box) => box.textContent.length")
        return length

    def open_file(self, name: str, text: str) -> None:
        """Opens a text file in place of the empty text."""
        file = {"name": name, "mimeType": "text/plain", "buffer": text.encode()}
        self.page.get_by_label("Open text files").set_input_files([file])
        self.page.wait_for_function(
            "() => document.querySelector('textarea').value.length > 0", timeout=60_000
        )

    @property
    def status(self) -> str:
        """What a screen reader was told last."""
        text: str = self.page.locator("#status").inner_text()
        return text


def units(text: str) -> int:
    """The length of a JavaScript string."""
    return len(text.encode("utf-16-le")) // 2


def finding(*words: str) -> Handler:
    """A server that answers with these words, where each stands first in the context."""

    def answer(request: pb.AnswerRequest, context: Any) -> pb.AnswerResponse:
        found = [(request.context.index(word), word) for word in words]
        return pb.AnswerResponse(
            answers=[
                pb.Answer(text=word, start=start, end=start + len(word), probability=0.9 / 2**rank)
                for rank, (start, word) in enumerate(found)
            ],
            model_version="1",
            usage=pb.Usage(question_tokens=2, context_tokens=len(request.context), windows=3),
        )

    return answer
