"""The site that zensical builds from docs/: it builds without a complaint, every link in it leads somewhere, it asks
nothing of any other host – looked up in the pages, and seen in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from walkthrough import DOCS, pages

pytest.importorskip("zensical", reason="zensical is not installed: uv run --group docs pytest tests/e2e/test_site.py")
ROOT = DOCS.parent
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
RELATIONS = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "prefetch", "modulepreload"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, from a copy of the docs; its messages are in build.log beside it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / "docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    program = str(Path(sys.executable).parent / "zensical")
    done = subprocess.run([program, "build", "--strict"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


class Page(HTMLParser):
    """What a built page fetches by itself, where its links lead, and the places that can be led to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.classes: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        self.classes |= set(found.get("class", "").split())
        if tag in FETCHED and FETCHED[tag] in found:
            self.fetched.append(found[FETCHED[tag]])
        if tag == "link" and RELATIONS.intersection(found.get("rel", "").split()):
            self.fetched.append(found["href"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])


def built(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_page_of_the_docs_is_built_and_stands_in_the_navigation(site: Path) -> None:
    names = {page.relative_to(DOCS).as_posix() for page in pages()}
    assert {path.relative_to(site).as_posix() for path in built(site)} == {
        "404.html", *(re.sub(r"README\.md$", "index.md", name).replace(".md", ".html") for name in names),
    }  # fmt: skip
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(names)


def test_nothing_on_any_page_is_fetched_from_another_host(site: Path) -> None:
    foreign = {
        f"{path.name}: {address}"
        for path in built(site)
        for address in Page(path).fetched
        if urlsplit(address).scheme not in {"", "data"} or address.startswith("//")
    }
    styles = {
        f"{path.name}: {address}"
        for path in site.rglob("*.css")
        for address in re.findall(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", path.read_text("utf-8"))
    }
    assert foreign | styles == set()


def test_no_page_has_a_block_for_which_the_theme_fetches_a_program(site: Path) -> None:
    """Diagrams, formulas and running code come from another host when a page has one."""
    fetching = {"mermaid", "arithmatex", "pyodide", "glightbox"}
    assert [path.name for path in built(site) if fetching & Page(path).classes] == []


def test_every_link_and_everything_fetched_is_there(site: Path) -> None:
    parsed = {path: Page(path) for path in built(site)}
    lost = []
    for path, page in parsed.items():
        if path.name == "404.html":  # its addresses hang on where the site will stand
            continue
        for address in [*page.fetched, *page.links]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            there = target.exists()
            if there and parts.fragment and target in parsed:
                there = unquote(parts.fragment) in parsed[target].places | {"__toc", "__drawer", "__search"}
            if not there:
                lost.append(f"{path.relative_to(site)}: {address}")
    assert lost == []


def chromium() -> str | None:
    return next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)


@pytest.fixture
def asked(site: Path) -> tuple[list[str], list[str], list[int]]:
    """Every page opened in a real browser at a phone's width: what was asked for, what went wrong, pixels too wide."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: uv run --group browser"
    )
    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    requests: list[str] = []
    errors: list[str] = []
    wide: list[int] = []
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        for path in built(site):
            if path.name != "404.html":
                page.goto(path.as_uri())
                page.wait_for_timeout(100)
                wide.append(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
        browser.close()
    return requests, errors, wide


@pytest.mark.browser
def test_a_browser_asks_for_files_of_the_site_only_and_nothing_is_wider_than_a_phone(
    asked: tuple[list[str], list[str], list[int]],
) -> None:
    requests, errors, wide = asked
    assert len(requests) > len(wide) > 10
    assert [url for url in requests if urlsplit(url).scheme not in {"file", "data", "blob"}] == []
    assert errors == []
    assert max(wide) <= 0
