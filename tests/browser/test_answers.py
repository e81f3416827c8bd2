"""The marked text is the answer, at its place, whatever the text holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser.conftest import Open
from browser.page import IN_VIEW, Page, finding, units
from support.playground import running_playground
from support.processes import RunningServer
from unit.client.fake_service import FakeService

pytestmark = pytest.mark.browser

LIGHTHOUSE = Path(__file__).parents[2] / "client" / "examples" / "lighthouse.txt"
TEXTS = {
    "emoji": ("😀 The cook 👩‍🍳 made 🍲 for Ada 🎉 at noon 😀.", "🍲 for Ada 🎉"),
    "family": ("A flag 🏴󠁧󠁢󠁳󠁣󠁴󠁿 and 👨‍👩‍👧‍👦 stood there.", "👨‍👩‍👧‍👦"),
    "combining": ("Cafe\u0301 de\u0301ja\u0300 vu, o\u0308 und a\u0308.", "de\u0301ja\u0300 vu"),
    "hebrew": ("המגדלור הראשון תוכנן על ידי ג'ורג' הלפין בשנת 1853.", "ג'ורג' הלפין"),
    "arabic and digits": (
        "بُني المنارة الأولى جورج هالبين عام 1853 في المحيط.",
        "جورج هالبين عام 1853",
    ),
    "both directions": (
        "The keeper שמואל כהן lived there.\nהוא גר שם with Ada.",
        "שמואל כהן lived",
    ),
    "markup": (
        "<b>Ada</b> wrote <script>alert(1)</script> &amp; <i>more</i>",
        "<script>alert(1)</script>",
    ),
    "line breaks": ("\n\nAda\n\n  wrote\tit.\n", "Ada\n\n  wrote"),
    "controls": ("A\u200fB \u2066Ada\u2069 \u202eC\u202c \u0007 done", "\u2066Ada\u2069"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_marked_text_is_the_answer_at_its_place(
    name: str, page: Page, fake: FakeService
) -> None:
    text, answer = TEXTS[name]
    fake.answer = finding(answer)
    page.ask("Who?", text)
    page.replied()
    start = units(text[: text.index(answer)])
    assert page.marks() == [{"text": answer, "start": start, "rank": 1}]
    assert page.shown_text() == text


def test_several_answers_are_marked_and_listed_with_their_probabilities(
    page: Page, fake: FakeService
) -> None:
    text = "😀 Ada wrote to Grace, and Grace to Alan."
    fake.answer = finding("Grace", "Alan", "Ada")
    page.ask("Who?", text)
    page.replied()
    assert [(each["text"], each["rank"]) for each in page.marks()] == [
        ("Ada", 3),
        ("Grace", 1),
        ("Alan", 2),
    ]
    rows = page.page.locator("#answers li").all_inner_texts()
    assert [row.split("\n")[0] for row in rows] == ["Grace", "Alan", "Ada"]
    assert [figure in row for figure, row in zip(("90.0%", "45.0%", "22.5%"), rows, strict=True)]
    widths = page.page.locator("#answers .bar > span").evaluate_all(
        "(bars) => bars.map((bar) => bar.offsetWidth / bar.parentElement.offsetWidth)"
    )
    assert widths == pytest.approx([0.9, 0.45, 0.225], abs=0.02)
    page.page.get_by_role("button", name="Alan").click()
    assert page.page.locator("mark.current").inner_text() == "Alan"
    assert "Alan" in page.status


def megabyte(line: str, answer: str) -> str:
    """Just under 1 MiB of UTF-8, with the answer at two thirds."""
    count = (1024 * 1024 - 100) // len(line.encode())
    return line * (2 * count // 3) + f"😀 {answer} " + line * (count - 2 * count // 3)


@pytest.mark.parametrize(
    "line",
    [
        "A line about the sea and its lights, one of many.\n",
        "Words without any end, ",
        "המגדלור 😀 על הסלע.\n",
        "המגדלור 😀 על הסלע, ",
    ],
    ids=["lines", "one line", "right to left", "one line, right to left"],
)
def test_a_megabyte_is_marked_and_scrolled_to(line: str, page: Page, fake: FakeService) -> None:
    answer = "George Halpin"
    text = megabyte(line, answer)
    fake.answer = finding(answer)
    page.open_file("long.txt", text)
    page.ask("Who?")
    page.replied()
    start = units(text[: text.index(answer)])
    assert page.marks() == [{"text": answer, "start": start, "rank": 1}]
    assert page.shown_length() == units(text)
    page.page.wait_for_function("() => document.querySelector('.marked').scrollTop > 0")
    page.page.wait_for_function(IN_VIEW, arg="mark")


def test_on_a_narrow_screen_the_mark_waits_in_the_middle_of_its_text(
    open_page: Open, fake_url: str, fake: FakeService
) -> None:
    """The text is below what can be seen at first."""
    page = open_page(fake_url, viewport={"width": 420, "height": 400})
    fake.answer = finding("George Halpin")
    page.ask("Who?", "Lines of a text.\n" * 500 + "George Halpin did.\n" + "And more.\n" * 500)
    page.replied()
    page.page.locator(".marked").scroll_into_view_if_needed()
    page.page.wait_for_function(IN_VIEW, arg="mark")


def test_a_megabyte_is_pasted_as_it_is(page: Page) -> None:
    text = megabyte("A line about the sea 😀 and its lights.\n", "George Halpin")
    page.page.locator("textarea").fill("beginend")
    page.page.locator("textarea").evaluate(
        """(area, text) => {
            area.setSelectionRange(5, 5);
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", text);
            const options = { clipboardData, bubbles: true, cancelable: true };
            area.dispatchEvent(new ClipboardEvent("paste", options));
        }""",
        text,
    )
    value = page.page.locator("textarea").evaluate("(area) => area.value")
    assert value == f"begin{text}end"
    assert page.page.locator(".count").inner_text() == f"{len(value):,} characters"


@pytest.mark.parametrize(("text", "direction"), [("ג'ורג'", "rtl"), ("😀 - Ada שמואל", "ltr")])
def test_a_text_is_typed_in_its_own_direction(text: str, direction: str, page: Page) -> None:
    page.page.locator("textarea").fill(text)
    assert page.page.locator("textarea").get_attribute("dir") == direction


def test_documents_are_ranked_jointly_and_marked_each(page: Page) -> None:
    page.ask("Who? Ada", "Grace did.", "😀 and more", "Ada Who? did")
    page.replied()
    assert [each["text"] for each in page.marks()] == ["Grace", "😀", "Ada"]
    headings = page.page.locator("#texts h3").all_inner_texts()
    assert headings == ["In Text 1", "In Text 2", "In Text 3"]


def test_windows_and_tokens_on_demand(page: Page, fake: FakeService) -> None:
    text = "😀 one two three four five six seven"
    page.ask("Who?", text)
    page.replied()
    asked = len(fake.requests)
    page.page.get_by_role("button", name="Show windows and tokens").click()
    page.page.locator(".window").first.wait_for()
    assert len(fake.requests) == asked + 1
    titles = page.page.locator(".window summary").all_inner_texts()
    assert [title.partition(",")[0] for title in titles] == [
        "Window 1: characters 0 to 25",
        "Window 2: characters 26 to 35",
    ]
    page.page.locator(".window summary").first.click()
    page.page.locator(".window .token").first.wait_for()
    tokens = page.page.locator(".window .token:not(.other)").all_inner_texts()
    assert tokens == text.split()[:6]


def test_a_real_server_answers_a_question(open_page: Open, server: RunningServer) -> None:
    text = LIGHTHOUSE.read_text(encoding="utf-8")
    with running_playground(server.target) as (url, _):
        page = open_page(url)
        assert "minilm-squad version 1" in page.page.locator("#model").inner_text()
        page.ask("Who designed the first lighthouse?", text)
        page.replied()
        best = next(each for each in page.marks() if each["rank"] == 1)
        assert best["text"] == "George Halpin"
        assert best["start"] == text.index("George Halpin")
        page.page.wait_for_function(IN_VIEW, arg="mark.best")
        assert "window" in page.page.locator("#usage").inner_text()
        page.page.get_by_role("button", name="Show windows and tokens").click()
        page.page.locator(".window summary").first.click()
        page.page.locator(".window .token").first.wait_for()
        assert page.page.locator("#problem").inner_text() == ""
