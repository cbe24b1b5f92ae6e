"""The page in a real browser: at the width of a phone, offline, in Chinese, on paper."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from csflow.cli import main; main()"]
CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium fonts-noto-cjk"),
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory, browser):
    """A small demo's page in English, and in Chinese; without a browser none need be made."""
    place = tmp_path_factory.mktemp("page")
    made = [*COMMAND, "demo", "world", "--customers", "30", "--weeks", "20"]
    done = subprocess.run(made, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    chinese = [*COMMAND, "--project", "world", "page", "zh.html", "--lang", "zh", "--as-of", "2024-05-19"]
    done = subprocess.run(chinese, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return {"en": place / "world/page.html", "zh": place / "zh.html"}


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: uv run --group browser")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Opens a file and notes every request and every line of the console."""
    contexts = []

    def open_page(path: Path, *, width: int = 390, dark: bool = False):
        context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        page, requests, told = context.new_page(), [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda line: told.append(line.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto(path.as_uri())
        return page, requests, told

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_opens_alone_and_without_a_word_on_the_console(visit, pages, language):
    page, requests, told = visit(pages[language])
    page.wait_for_load_state("networkidle")
    assert [one for one in requests if not one.startswith("data:")] == [pages[language].as_uri()]
    assert told == []


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_has_to_be_scrolled_sideways_even_when_all_is_open(visit, pages, language, width):
    page, _, _ = visit(pages[language], width=width)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("language", ["en", "zh"])
def test_on_a_phone_names_are_not_broken_into_letters_and_no_column_of_a_figure_is_cut_off(visit, pages, language):
    page, _, _ = visit(pages[language], width=390)
    shown = "#rates tbody th, #flows tbody th, #late > .wide tbody th, #moved tbody th"
    widths = page.evaluate("(shown) => [...document.querySelectorAll(shown)].map(one => one.offsetWidth)", shown)
    assert len(widths) > 20
    assert min(widths) >= 90  # a quarter of the page; it was one letter
    cut = """() => [...document.querySelectorAll('#rates .wide, #flows .wide, #moved .wide, #late > .wide')]
      .filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText.slice(0, 40))"""
    assert page.evaluate(cut) == []


def test_a_count_opens_to_as_many_customers_as_it_says(visit, pages):
    page, _, _ = visit(pages["en"])
    row = page.locator("tr", has=page.locator("th", has_text=re.compile("^Accepted|^accepted"))).first
    details = row.locator("details").first
    number = int(details.locator("summary").inner_text().replace(",", ""))
    assert not details.locator("p").is_visible()
    details.locator("summary").click()
    assert details.locator("p").is_visible()
    assert len(details.locator("p").inner_text().split(",")) == number


def test_chinese_is_drawn_and_not_boxes(visit, pages):
    page, _, _ = visit(pages["zh"])
    assert page.evaluate("document.documentElement.lang") == "zh"
    drawn = """(word) => {
      const canvas = document.createElement('canvas'); canvas.width = canvas.height = 60
      const pen = canvas.getContext('2d'); pen.font = '40px ' + getComputedStyle(document.body).fontFamily
      pen.fillText(word, 5, 45)
      return Array.from(pen.getImageData(0, 0, 60, 60).data).join()
    }"""
    glyphs = {page.evaluate(drawn, word) for word in "客户健康度"}
    assert len(glyphs) == 5  # a font without them draws the same box for each
    assert page.evaluate(drawn, "\U000f0000") not in glyphs


def test_letters_stand_out_from_their_background_by_day_and_by_night(visit, pages):
    luminance = """(colour) => {
      const canvas = document.createElement('canvas'); const pen = canvas.getContext('2d')
      pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1)
      const linear = v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 }
      const [r, g, b] = pen.getImageData(0, 0, 1, 1).data
      return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }"""
    for dark in (False, True):
        page, _, _ = visit(pages["en"], dark=dark)
        back = page.evaluate(luminance, page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert (back < 0.2) is dark
        for place in ("h1", ".soft", "a", ".late"):
            colour = page.evaluate("(place) => getComputedStyle(document.querySelector(place)).color", place)
            letters = page.evaluate(luminance, colour)
            contrast = (max(back, letters) + 0.05) / (min(back, letters) + 0.05)
            assert contrast >= 4.5, (place, dark, contrast)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_prints_on_a_few_sheets(visit, pages, language):
    page, _, _ = visit(pages[language])
    sheets = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))
    assert 2 <= sheets <= 8
