"""The built site in a browser: every page, wide and narrow, light and dark, with nothing but itself to read from.

Run by `make test` after it has built the site into build/test-site.
"""

import contextlib
import csv
import ctypes
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pypdfium2
import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.browser

SITE = Path(os.environ.get("LOOKAHEAD_SITE", Path(__file__).parents[2] / "build" / "test-site" / "html"))
PAGES = sorted(
    str(path.relative_to(SITE))
    for path in SITE.rglob("*.html")
    if not path.relative_to(SITE).parts[0].startswith("_") and path != SITE / "index.html"
)
"""All but the first, which leads to the book's first page."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VIEWS = [(width, scheme) for width in (1440, 390) for scheme in ("light", "dark")]

SETTLED = """async () => {
    await document.fonts.ready;
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
}"""
PROBLEMS = """() => {
    const found = [], root = document.documentElement;
    const ancestors = function* (e) { while (e = e.parentElement) yield e; };
    const over = root.scrollWidth - root.clientWidth;
    if (over > 0) {
        const wide = [...document.querySelectorAll("main *")].filter(e =>
            e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName + "." + e.className).slice(0, 3);
        found.push(`scrolls ${over} pixels sideways (${wide.join(", ")})`);
    }
    for (const image of document.querySelectorAll("main img")) {
        if (image.closest("details:not([open])") || image.matches(".only-dark, .only-light")) continue;
        const box = image.getBoundingClientRect();
        if (image.naturalWidth < 1 || box.width < 40 || box.height < 40)
            found.push(`a picture is not to be seen: ${image.alt || image.src.slice(0, 80)}`);
        const frame = [...ancestors(image)].find(e => ["auto", "scroll"].includes(getComputedStyle(e).overflowX));
        if ((frame ?? image).getBoundingClientRect().right > root.clientWidth + 1)
            found.push(`a picture is cut off: ${image.alt}`);
        if (/\\.svg$/.test(image.src) && box.width < 560 && image.naturalWidth > 560)
            found.push(`type of less than 9 pixels in a picture: ${image.alt}`);
    }
    for (const frame of document.querySelectorAll("main *")) {
        const hidden = frame.scrollWidth - frame.clientWidth;
        if (hidden <= 1 || !frame.checkVisibility()) continue;
        const name = `${frame.className || frame.tagName}: ${frame.textContent.trim().slice(0, 40)}`;
        if (["auto", "scroll"].includes(getComputedStyle(frame).overflowX)) {
            if (!frame.dataset.more) found.push(`scrolls sideways without a sign: ${name}`);
            if (root.clientWidth > 1200 && frame.matches("pre, figure *"))
                found.push(`${hidden} pixels are cut off: ${name}`);
        }
    }
    const article = document.querySelector("article")?.cloneNode(true);
    for (const code of article?.querySelectorAll("pre, code, script, math") ?? []) code.remove();
    const raw = article?.textContent.match(/\\\\\\(|\\\\\\[|\\{glue|\\{cite|\\{numref|\\bnan\\b/);
    if (raw) found.push(`shows ${raw[0]} as it was written`);
    for (const box of document.querySelectorAll("merror")) found.push(`bad formula: ${box.textContent}`);
    return found;
}"""
WEIGHT = """() => ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind)).reduce(
    (sum, part) => sum + part.decodedBodySize, 0)"""
HEAVIEST = {"chapters": 1.5e6, "book/play.html": 2e6, "": 0.8e6}
"""Bytes of a page with all that it loads, unpacked: those of a chapter, of that with networks, and of any other."""
LINKS = """() => ({
    ids: [...document.querySelectorAll("[id], a[name]")].map(e => e.id || e.name),
    links: [...document.querySelectorAll("a[href]")].map(a => a.href),
})"""


def find_browser() -> str:
    """The path of a Chromium.

    Without one the test fails and says what to install: a check that is silently left out is none.
    """
    named = os.environ.get("LOOKAHEAD_CHROMIUM")
    found = named or next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(
            "no Chromium: install it (on Debian: apt-get install chromium), or name one in LOOKAHEAD_CHROMIUM",
            pytrace=False,
        )
    return found


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, served on this machine."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The site's."""
    if not PAGES:
        pytest.fail(f"there is no site in {SITE}: build it with make test-site", pytrace=False)
    with served(SITE) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = find_browser()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield launched
        launched.close()


class Visit:
    """A tab that notes what goes wrong."""

    def __init__(self, browser: Any, address: str, width: int, scheme: str, **options: Any) -> None:
        view = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=view, color_scheme=scheme, **options)
        self.page, self.address, self.wrong = self.context.new_page(), address, []
        self.page.on("console", lambda m: self.wrong.append(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on("requestfailed", self.failed)
        self.page.on("response", lambda r: self.wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        self.page.on("request", lambda request: self.outside(request.url))

    def failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # given up, since the next page was opened
            self.wrong.append(f"request failed: {request.url} ({request.failure})")

    def outside(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:", "about:")):
            self.wrong.append(f"leaves the host: {url}")

    def open(self, name: str) -> list[str]:
        """What is wrong with a page."""
        self.wrong.clear()
        self.page.goto(f"{self.address}/{name}", wait_until="load")
        self.page.evaluate(SETTLED)
        wrong = [*self.wrong, *self.page.evaluate(PROBLEMS)]
        weight = self.page.evaluate(WEIGHT)
        most = HEAVIEST.get(name, HEAVIEST.get(name.partition("/")[0], HEAVIEST[""]))
        if weight > most:
            wrong.append(f"weighs {weight / 1e6:.2f} MB, more than {most / 1e6:.1f}")
        return [f"{name}: {told}" for told in wrong]

    def barriers(self) -> list[str]:
        """What axe-core finds in the open page that keeps people out."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{self.page.url}: {rule['id']} ({rule['impact']}): {node['html'][:120]}"
            for rule in found
            if rule["impact"] in ("critical", "serious")
            for node in rule["nodes"]
        ]


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_every_page_is_whole(width: int, scheme: str, address: str, browser: Any) -> None:
    visit = Visit(browser, address, width, scheme)
    wrong = []
    for name in PAGES:
        wrong += visit.open(name)
        if (width, scheme) != (390, "dark"):  # its colours are those of the wide one
            wrong += visit.barriers()
        theme = visit.page.evaluate("document.documentElement.dataset.theme")
        if theme != scheme:
            wrong.append(f"{name}: {theme}, though the reader's system is {scheme}")
    visit.context.close()
    assert wrong == []
    assert len(PAGES) > 8


def test_every_link_within_the_site_leads_somewhere(address: str, browser: Any) -> None:
    visit, ids, links = Visit(browser, address, 1440, "light"), {}, {}
    for name in PAGES:
        visit.open(name)
        found = visit.page.evaluate(LINKS)
        ids[name], links[name] = set(found["ids"]), {link for link in found["links"] if link.startswith(address)}
    visit.context.close()
    broken = []
    for name, found in links.items():
        for link in found:
            parts = urlsplit(link)
            target = unquote(parts.path).lstrip("/") or "index.html"
            if not (SITE / target).is_file():
                broken.append(f"{name}: {target} is not there")
            elif parts.fragment and target in ids and unquote(parts.fragment) not in ids[target]:
                broken.append(f"{name}: {target} has no #{parts.fragment}")
    assert broken == []
    assert sum(map(len, links.values())) > 100


def test_a_page_says_what_it_is(address: str, browser: Any) -> None:
    visit = Visit(browser, address, 1440, "light")
    titles = set()
    for name in PAGES:
        visit.open(name)
        titles.add(visit.page.title())
        if name == "search.html":
            continue
        told = visit.page.get_attribute("meta[name=description]", "content") or ""
        assert 20 < len(told) <= 310, name
        assert visit.page.get_attribute("meta[property='og:description']", "content") == told
        line = visit.page.inner_text(".byline")
        assert "to read" in line
        notebook = visit.page.get_attribute(".byline a[download]", "href") if name.startswith("chapters/") else None
        assert notebook == (Path(name).stem + ".ipynb" if name.startswith("chapters/") else None)
        assert "version" in visit.page.inner_text(".book-facts")
    visit.context.close()
    assert "When Teacher Forcing Fails" in titles
    assert len(titles) == len(PAGES)
    assert "genindex.html" not in PAGES


def test_the_book_can_be_cited_from_every_page(address: str, browser: Any) -> None:
    visit = Visit(browser, address, 390, "light")
    visit.open(PAGES[0])
    visit.page.click(".book-citation summary")
    visit.page.evaluate(SETTLED)
    assert visit.page.evaluate(PROBLEMS) == []
    assert visit.page.get_attribute(".book-citation pre", "data-more") == "right"
    shown = visit.page.inner_text(".book-citation pre")
    visit.context.close()
    assert shown.startswith("@misc{whenteacherforcingfails,")
    assert "author       = {{The lookahead developers}}" in shown


MARGIN = 16 / 25.4 * 72
"""Points at the sides of a printed page, as book.css has them."""
PRINTED = """() => ({
    heading: document.querySelector("article h1").firstChild.textContent.trim(),
    lines: [...document.querySelectorAll("article pre")].filter(pre => !pre.closest("details.hide"))
        .flatMap(pre => pre.textContent.split("\\n")),
    folded: [...document.querySelectorAll("article :is(.admonition.dropdown, details:not(.hide))")]
        .map(fold => [...fold.querySelectorAll("p:not(.admonition-title)")].flatMap(p => [...p.childNodes])
            .filter(part => part.nodeType === Node.TEXT_NODE).map(part => part.data)
            .reduce((longest, text) => text.length > longest.length ? text : longest, "")),
})"""


def printed(page: Any) -> tuple[str, list[str]]:
    """The text of a page printed to PDF, without white space, and what is wrong with where and how it stands."""
    text, wrong = [], []
    document = pypdfium2.PdfDocument(page.pdf(format="A4"))
    for number, sheet in enumerate(document, start=1):
        letters, (width, height) = sheet.get_textpage(), sheet.get_size()
        for index in range(letters.count_chars()):
            letter = letters.get_text_range(index, 1)
            if letter.isspace() or letter in ("", "\x02", "\ufffe"):
                text.append("-" if letter in ("\x02", "\ufffe") else "")
                continue
            text.append(letter)
            place = pypdfium2.raw.FS_MATRIX()
            pypdfium2.raw.FPDFText_GetMatrix(letters, index, place)
            if not (MARGIN - 2 < place.e < width - MARGIN and 0 < place.f < height):
                wrong.append(f"sheet {number}: {letter!r} at {place.e:.0f}, {place.f:.0f} of {width:.0f}, {height:.0f}")
            colours = [ctypes.c_uint() for _ in range(4)]
            pypdfium2.raw.FPDFText_GetFillColor(letters, index, *colours)
            if min(colour.value for colour in colours[:3]) > 170:
                wrong.append(f"sheet {number}: {letter!r} is pale: {[colour.value for colour in colours]}")
    return "".join(text), wrong


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_paper_has_all_that_the_screen_has(address: str, browser: Any) -> None:
    """Printed by one who reads in the dark: light, unfolded, nothing cut, with the chapter's number and the address."""
    visit = Visit(browser, address, 1440, "dark")
    wrong = []
    for name in PAGES:
        if name == "search.html":
            continue
        visit.open(name)
        asked = visit.page.evaluate(PRINTED)
        text, misplaced = printed(visit.page)
        wrong += [f"{name}: {told}" for told in misplaced[:5]]
        for line in [asked["heading"], f"{address}/{name}", *asked["lines"], *asked["folded"]]:
            if squeezed(line)[-30:] not in text:
                wrong.append(f"{name}: is not printed: {line[:80]}")
        if visit.page.evaluate("document.documentElement.dataset.theme") != "dark":
            wrong.append(f"{name}: stays light after printing")
    visit.context.close()
    assert wrong == []


def test_pages_on_a_disk_can_be_searched(browser: Any) -> None:
    visit = Visit(browser, SITE.as_uri(), 1440, "light")
    visit.page.goto(f"{SITE.as_uri()}/search.html?q=indecipherable")
    visit.page.wait_for_selector("#search-results li a", timeout=20_000)
    visit.page.wait_for_timeout(500)
    found = [link.get_attribute("href") or "" for link in visit.page.query_selector_all("#search-results li a")]
    visit.context.close()
    assert any("04-indecipherable-token" in link for link in found)
    assert visit.wrong == []


def test_every_link_to_a_term_has_its_definition(address: str, browser: Any) -> None:
    visit = Visit(browser, address, 1440, "light")
    without = []
    for name in PAGES:
        visit.open(name)
        without += visit.page.evaluate("""() =>
            [...document.querySelectorAll('article a[href*="#term-"]:not(.headerlink)')].filter(link =>
            !document.getElementById(link.getAttribute("aria-describedby"))).map(link => link.outerHTML)""")
    visit.context.close()
    assert without == []


def test_a_term_shows_its_definition(tmp_path: Path, browser: Any) -> None:
    """Under the pointer and under the focus, until Escape; within the window."""
    static = Path(__file__).parents[2] / "book" / "static"
    (tmp_path / "page.html").write_text(f"""<!doctype html><style>{(static / "book.css").read_text()}</style>
        <script>{(static / "book.js").read_text()}</script>
        <article class=bd-article><p style="text-align: right; margin-top: 80vh">
        <a href="words.html#term-arm">arm</a></p>
        <div class=term-note id=note-term-arm popover=manual><p>The nodes from the start to an end.</p></div>""")
    with served(tmp_path) as address:
        page = Visit(browser, address, 390, "light").page
        page.goto(f"{address}/page.html")
        link, note = page.locator("a"), page.locator(".term-note")
        assert link.get_attribute("aria-describedby") == "note-term-arm"
        assert not note.is_visible()
        link.hover()
        assert note.is_visible()
        box = note.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert box["y"] + box["height"] <= 900
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)
        assert not note.is_visible()
        page.keyboard.press("Tab")
        assert note.is_visible()
        page.keyboard.press("Escape")
        assert not note.is_visible()
        page.context.close()


def test_a_table_can_be_sorted_and_taken_away(tmp_path: Path, browser: Any) -> None:
    """Numbers as numbers, by mouse and by keyboard; what is empty is last either way."""
    static = Path(__file__).parents[2] / "book" / "static"
    rows = [("b", "1,150"), ('a "c", d', "90"), ("e", ""), ("f", "0.5")]
    cells = "".join(f"<tr><td>{name}</td><td>{number}</td></tr>" for name, number in rows)
    (tmp_path / "page.html").write_text(f"""<!doctype html><style>{(static / "book.css").read_text()}</style>
        <script>{(static / "book.js").read_text()}</script>
        <article class=bd-article><h1 id=the-race>The race</h1><div class="cell tag_sortable">
        <table><thead><tr><th>name</th><th>steps</th></tr></thead><tbody>{cells}</tbody></table></div>""")
    with served(tmp_path) as address:
        page = Visit(browser, address, 390, "light").page
        page.goto(f"{address}/page.html")

        def column(index: int) -> list[str]:
            return [row.locator("td").nth(index).inner_text() for row in page.locator("tbody tr").all()]

        page.get_by_role("button", name="steps").click()
        assert column(1) == ["0.5", "90", "1,150", ""]
        page.keyboard.press("Enter")
        assert column(1) == ["1,150", "90", "0.5", ""]
        assert page.locator("th").nth(1).get_attribute("aria-sort") == "descending"
        page.get_by_role("button", name="name").click()
        assert column(0) == ['a "c", d', "b", "e", "f"]
        assert page.locator("th").nth(1).get_attribute("aria-sort") is None
        with page.expect_download() as taken:
            page.get_by_role("link", name="CSV").click()
        assert taken.value.suggested_filename == "the-race.csv"
        with Path(taken.value.path()).open(newline="", encoding="utf-8") as file:
            assert list(csv.reader(file)) == [["name", "steps"], *map(list, rows)]
        page.context.close()


def test_the_search_finds_a_chapter(address: str, browser: Any) -> None:
    visit = Visit(browser, address, 1440, "light")
    visit.page.goto(f"{address}/search.html?q=indecipherable")
    visit.page.wait_for_selector("#search-results li a", timeout=20_000)
    found = [link.get_attribute("href") or "" for link in visit.page.query_selector_all("#search-results li a")]
    visit.context.close()
    assert any("04-indecipherable-token" in link for link in found)
    assert visit.wrong == []


def test_the_address_of_the_site_leads_to_its_first_page(address: str, browser: Any) -> None:
    visit = Visit(browser, address, 1440, "light")
    visit.page.goto(f"{address}/")
    visit.page.wait_for_url("**/book/index.html", timeout=20_000)
    visit.context.close()


BAD = {
    "a wide table": ("<table><tr><td style='min-width:900px'>x</td></tr></table>", "pixels sideways"),
    "a picture that is not there": ("<img src=none.png alt=Nothing>", "a picture is not to be seen: Nothing"),
    "what scrolls and does not say so": (
        "<div style='overflow: auto'><p style='width: 900px'>x</p></div>",
        "scrolls sideways without a sign",
    ),
    "a formula that was not set": ("<p>as \\(x^2\\) says</p>", "as it was written"),
    "a number that was not glued": ("<p>{glue:text}`x`</p>", "shows {glue as it was written"),
    "a number that is none": ("<p>is nan here</p>", "shows nan as it was written"),
    "a script that raises": ("<script>throw Error('oh')</script>", "script: oh"),
    "an error in the console": ("<script>console.error('dear')</script>", "console: dear"),
    "a picture from elsewhere": ("<img src=http://example.org/x.png>", "leaves the host: http://example.org/x.png"),
    "a style that is not there": ("<link rel=stylesheet href=none.css>", "404: "),
    "a server that is not there": ("<img src=http://127.0.0.1:9/x.png>", "request failed: http://127.0.0.1:9"),
}


@pytest.mark.parametrize(("body", "told"), BAD.values(), ids=BAD)
def test_a_bad_page_is_seen(body: str, told: str, tmp_path: Path, browser: Any) -> None:
    """What the test of every page looks for, it finds."""
    head = "<!doctype html><meta name=viewport content='width=device-width'><link rel=icon href='data:,'>"
    (tmp_path / "bad.html").write_text(f"{head}<main><article>{body}</article></main>")
    (tmp_path / "good.html").write_text(f"{head}<main><article><p>A word.</p></article></main>")
    with served(tmp_path) as address:
        visit = Visit(browser, address, 390, "light")
        assert visit.open("good.html") == []
        wrong = visit.open("bad.html")
        visit.context.close()
    assert any(told in line for line in wrong), wrong
