"""Errors as the server says them, beside what they are about."""

from __future__ import annotations

import grpc
import pytest

from browser.conftest import Open
from browser.page import Page, finding
from support.playground import running_playground
from support.processes import absent
from unit.client.fake_service import FakeService, until_gone

pytestmark = pytest.mark.browser


def test_a_refused_field_is_named_and_marked(page: Page) -> None:
    page.ask("Who?", "   ")
    page.replied()
    alert = page.page.get_by_role("alert").inner_text()
    for part in ("INVALID_ARGUMENT", "context: is empty", "NOT_VALID", "orrect the fields"):
        assert part in alert
    text = page.page.locator("textarea")
    assert text.get_attribute("aria-invalid") == "true"
    described = page.page.locator(f"#{text.get_attribute('aria-describedby')}")
    assert described.inner_text() == "context: is empty"
    page.ask("Who?", "Ada did.")
    page.replied()
    assert page.page.get_by_role("alert").inner_text() == ""
    assert text.get_attribute("aria-invalid") is None


def test_an_error_takes_the_place_of_older_answers(page: Page, fake: FakeService) -> None:
    page.ask("Who?", "Ada did.")
    page.replied()
    assert page.marks()
    fake.failures.append((grpc.StatusCode.RESOURCE_EXHAUSTED, "<b>too</b> much"))
    page.ask("Who?", "Ada did.")
    page.page.get_by_text("<b>too</b> much").wait_for()
    assert page.page.locator("#reply").is_hidden()


def test_no_server_is_said_when_the_page_opens(open_page: Open, fake_url: str) -> None:
    with absent() as target, running_playground(target, "--timeout", "2") as (url, _):
        page = open_page(url)
        alert = page.page.get_by_role("alert").inner_text()
    assert "UNAVAILABLE" in alert
    assert target in alert


def test_a_call_can_be_cancelled_and_another_asked(page: Page, fake: FakeService) -> None:
    def wait(request: object, context: grpc.ServicerContext) -> None:
        until_gone(context)

    fake.answer = wait  # type: ignore[assignment]
    page.ask("Who?", "Ada did.")
    page.page.get_by_role("button", name="Cancel").click()
    page.replied()
    assert page.status == "Cancelled."
    fake.answer = finding("Ada")
    page.ask("Who?", "Ada did.")
    page.replied()
    assert [each["text"] for each in page.marks()] == ["Ada"]


def test_a_playground_that_has_ended_is_said(open_page: Open, fake: FakeService) -> None:
    with running_playground(fake.target) as (url, _):
        page = open_page(url)
    page.ask("Who?", "Ada did.")
    page.replied()
    assert "spanqa playground" in page.page.get_by_role("alert").inner_text()
