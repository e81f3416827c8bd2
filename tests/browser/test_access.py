"""By keyboard alone, by screen reader, in both looks, in calm."""

from __future__ import annotations

from typing import Any

import pytest

from browser.conftest import Open
from browser.page import IN_VIEW, Page, finding
from support.playground import AXE
from unit.client.fake_service import FakeService

pytestmark = pytest.mark.browser

TEXT = "Ada wrote to Grace.\n" + "And so on.\n" * 400 + "Grace and Alan read it."


def focused(page: Page) -> str:
    """The name of what has the focus."""
    name: str = page.page.evaluate(
        """() => {
            const it = document.activeElement;
            const label = it.labels?.[0]?.textContent || it.getAttribute("aria-label");
            return label || it.textContent.trim();
        }"""
    )
    return name.strip()


def tab_to(page: Page, name: str) -> None:
    seen = []
    for _ in range(40):
        page.page.keyboard.press("Tab")
        seen.append(focused(page))
        if seen[-1].startswith(name):
            return
    pytest.fail(f"no {name!r} within 40 steps: {seen}")


def test_everything_by_keyboard_alone(page: Page, fake: FakeService) -> None:
    fake.answer = finding("Grace", "Alan")
    keys = page.page.keyboard
    keys.press("Tab")
    assert focused(page) == "Skip to the answers"
    tab_to(page, "Question")
    keys.insert_text("Who?")
    tab_to(page, "Text")
    keys.insert_text(TEXT)
    keys.press("Control+Enter")
    page.replied()
    assert page.marks()[0]["text"] == "Grace"
    assert page.status.startswith("2 answers in ")
    assert "Grace, 90.0%" in page.status
    tab_to(page, "Alan")
    keys.press("Enter")
    assert "Alan" in page.status
    page.page.wait_for_function("() => document.querySelector('.marked').scrollTop > 0")
    page.page.wait_for_function(IN_VIEW, arg="mark.current")
    tab_to(page, "In the text")
    before = page.page.locator(".marked").evaluate("(box) => box.scrollTop")
    keys.press("Home")
    page.page.wait_for_function(
        "(before) => document.querySelector('.marked').scrollTop < before", arg=before
    )
    tab_to(page, "Show windows and tokens")
    keys.press("Enter")
    page.page.locator(".window").first.wait_for()
    tab_to(page, "Window 1")
    keys.press("Enter")
    page.page.locator(".token").first.wait_for()


def test_texts_are_added_and_removed_by_keyboard(page: Page) -> None:
    keys = page.page.keyboard
    tab_to(page, "Add a text")
    keys.press("Enter")
    assert focused(page) == "Text 2"
    keys.insert_text("Ada did.")
    tab_to(page, "Open text files")
    keys.press("Shift+Tab")
    keys.press("Shift+Tab")
    keys.press("Shift+Tab")
    assert focused(page) == "Remove text 2"
    keys.press("Enter")
    assert page.page.locator("textarea").count() == 1
    assert focused(page) == "Text"


def test_files_become_texts(page: Page) -> None:
    page.page.get_by_label("Open text files").set_input_files(
        [
            {"name": "a.txt", "mimeType": "text/plain", "buffer": "\ufeffAda 😀".encode()},
            {"name": "b.md", "mimeType": "text/markdown", "buffer": b"Grace"},
        ]
    )
    page.page.locator("textarea").nth(1).wait_for()
    names = page.page.locator("input.id").evaluate_all("(all) => all.map((one) => one.value)")
    texts = page.page.locator("textarea").evaluate_all("(all) => all.map((one) => one.value)")
    assert (names, texts) == (["a.txt", "b.md"], ["Ada 😀", "Grace"])
    assert page.page.locator(".count").first.inner_text() == "5 characters"


BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"


def brightness(page: Page) -> float:
    colour = page.page.evaluate(BACKGROUND)
    return sum(map(int, colour.removeprefix("rgb(").rstrip(")").split(", "))) / 3


@pytest.mark.parametrize(("system", "other"), [("light", "dark"), ("dark", "light")])
def test_the_look_follows_the_system_until_one_is_chosen(
    system: str, other: str, open_page: Open, fake_url: str, fake: FakeService
) -> None:
    page = open_page(fake_url, color_scheme=system)
    assert (brightness(page) > 128) == (system == "light")
    page.page.get_by_role("radio", name=other.capitalize()).check(force=True)
    assert (brightness(page) > 128) == (other == "light")
    page.page.reload()
    assert (brightness(page) > 128) == (other == "light")
    assert page.page.get_by_role("radio", name=other.capitalize()).is_checked()
    page.page.get_by_role("radio", name="System").check(force=True)
    assert (brightness(page) > 128) == (system == "light")


def test_nothing_moves_where_motion_is_not_wanted(
    open_page: Open, fake_url: str, fake: FakeService
) -> None:
    page = open_page(fake_url, reduced_motion="reduce")
    page.ask("Who?", "Ada did.")
    page.replied()
    moving = page.page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((one) => {
            const style = getComputedStyle(one);
            return parseFloat(style.transitionDuration) > 0 || style.animationName !== "none";
        }).length"""
    )
    assert moving == 0


def faults(page: Page) -> list[tuple[str, str, Any]]:
    page.page.evaluate(AXE.read_text(encoding="utf-8") + "; undefined")
    found = page.page.evaluate("() => axe.run({resultTypes: ['violations']})")
    assert found["passes"], "axe ran"
    return [
        (one["id"], one["impact"], [node["html"] for node in one["nodes"]])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("state", ["empty", "answered", "refused"])
def test_axe_finds_no_serious_fault(
    state: str, look: str, open_page: Open, fake_url: str, fake: FakeService
) -> None:
    page = open_page(fake_url, color_scheme=look, reduced_motion="reduce")
    if state == "answered":
        page.ask("Who? Ada", "Ada wrote it.\n" * 200, "Grace 😀 did.")
        page.replied()
        page.page.get_by_role("button", name="Show those of Text 1").click()
        page.page.locator(".window summary").first.click()
        page.page.locator(".token").first.wait_for()
    if state == "refused":
        page.ask("Who?", " ")
        page.replied()
    page.page.get_by_text("Options", exact=True).click()
    assert faults(page) == []
