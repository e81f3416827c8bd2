"""Takes the pictures of the playground: docs/plots/playground-light.png and -dark.png."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import spanqa
from benchmarks import REPOSITORY, ROOT
from benchmarks.common.serving import served
from support.playground import running_chromium, running_playground

TEXT = ROOT / "client" / "examples" / "lighthouse.txt"
QUESTION = "Who designed the first lighthouse?"
LOOKS = ("light", "dark")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "plots")
    arguments = parser.parse_args()
    with (
        served(arguments.repository) as server,
        running_playground(server.target) as (url, _),
        running_chromium() as browser,
    ):
        with spanqa.Client(server.target) as client:  # the first call takes longer than later ones
            client.answer(QUESTION, TEXT.read_text(encoding="utf-8"), top_k=5)
        for look in LOOKS:
            file = arguments.output / f"playground-{look}.png"
            take(browser, url, look, file)
            print(file)


def take(browser: Any, url: str, look: str, file: Path) -> None:
    """Asks a question about a text of several windows, and takes the page."""
    page = browser.new_page(
        color_scheme=look,
        reduced_motion="reduce",
        viewport={"width": 1280, "height": 860},
    )
    page.goto(url)
    page.locator("#model strong").wait_for()
    page.locator("textarea").fill(TEXT.read_text(encoding="utf-8"))
    page.locator("textarea").evaluate("(field) => field.scrollTo(0, 0)")
    page.get_by_label("Question", exact=True).fill(QUESTION)
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Show windows and tokens").wait_for()
    page.locator("h1").click()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
    page.screenshot(path=str(file))
    page.close()


if __name__ == "__main__":
    main()
