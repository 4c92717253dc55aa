"""The built site in a browser: every page, wide and narrow, light and dark, on paper, with nothing but itself to read.

Run by `make test` after it has built the site into build/test-site. A page is loaded once and looked at in every way.
"""

import csv
import functools
import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from browsing import NARROW, PAGES, PROBLEMS, SETTLED, SITE, Visit, printed, served

pytestmark = pytest.mark.browser

STATIC = Path(__file__).parents[2] / "book" / "static"

# -- every page ----------------------------------------------------------------------------------------------------

PRINTED = """() => ({
    heading: document.querySelector("article h1").firstChild.textContent.trim(),
    lines: [...document.querySelectorAll("article pre")].filter(pre => !pre.closest("details.hide"))
        .flatMap(pre => pre.textContent.split("\\n")),
    folded: [...document.querySelectorAll("article :is(.admonition.dropdown, details:not(.hide))")]
        .map(fold => [...fold.querySelectorAll("p:not(.admonition-title)")].flatMap(p => [...p.childNodes])
            .filter(part => part.nodeType === Node.TEXT_NODE).map(part => part.data)
            .reduce((longest, text) => text.length > longest.length ? text : longest, "")),
})"""


UNDEFINED = """() => [...document.querySelectorAll('article a[href*="#term-"]:not(.headerlink)')].filter(link =>
    !document.getElementById(link.getAttribute("aria-describedby"))).map(link => link.outerHTML)"""


@pytest.fixture(scope="module")
def visit(address: str, browser: Any) -> Iterator[Visit]:
    """One tab for all pages, so that what they share is loaded once."""
    opened = Visit(browser, address, 1440, "light")
    yield opened
    opened.context.close()


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole(name: str, visit: Visit) -> None:
    """Wide and light, then dark, then narrow, then on paper: nothing cut, pale, lost or out of reach; all from here.

    Printed by one who reads in the dark it is light, unfolded, with the chapter's number and the address.
    """
    page = visit.page
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")
    wrong = [*visit.open(name), *page.evaluate(UNDEFINED), *visit.barriers(), *visit.pale()]

    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    wrong += visit.pale()

    page.set_viewport_size({"width": 390, "height": 900})
    page.evaluate(SETTLED)
    wrong += [*page.evaluate(PROBLEMS), *visit.barriers(*NARROW)]

    if name != "search.html":
        asked = page.evaluate(PRINTED)
        text, misplaced = printed(page)
        wrong += misplaced[:5]
        for line in [asked["heading"], f"{visit.address}/{name}", *asked["lines"], *asked["folded"]]:
            if squeezed(line)[-30:] not in text:
                wrong.append(f"is not printed: {line[:80]}")
        if page.evaluate("document.documentElement.dataset.theme") != "dark":
            wrong.append("stays light after printing")
    assert [*wrong, *visit.wrong] == []


def test_there_are_pages() -> None:
    assert len(PAGES) > 20


@pytest.mark.parametrize("name", ["book/index.html", "chapters/06-several-tokens.html"])
def test_a_page_that_is_opened_on_a_telephone_is_whole(name: str, address: str, browser: Any) -> None:
    """What is narrow and dark from the start, not made so."""
    visit = Visit(browser, address, 390, "dark", has_touch=True, is_mobile=True, device_scale_factor=2)
    wrong = visit.open(name)
    theme = visit.page.evaluate("document.documentElement.dataset.theme")
    visit.context.close()
    assert wrong == []
    assert theme == "dark"


PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
BY_FAR = 30
"""A page may take so many times as long as an empty one where the machine has other work."""


@pytest.mark.parametrize("name", ["book/index.html", "book/summary.html", "chapters/93-the-methods.html"])
def test_a_page_on_a_disk_is_seen_at_once(name: str, tmp_path: Path, browser: Any) -> None:
    """The first paint, the soonest of three, within a second; on a busy machine beside that of a page of one word."""
    (tmp_path / "word.html").write_text("<!doctype html><p>A word.")
    context = browser.new_context()

    def soonest(place: str) -> float:
        times = []
        for _ in range(3):
            page = context.new_page()
            page.goto(place)
            page.wait_for_function(PAINTED)
            times.append(page.evaluate(PAINTED))
            page.close()
        return min(times)

    allowed = max(1000, BY_FAR * soonest((tmp_path / "word.html").as_uri()))
    took = soonest((SITE / name).as_uri())
    context.close()
    assert took < allowed


MOVED = """() => new Promise(done => {
    let sum = 0;
    const add = list => list.getEntries().forEach(entry => sum += entry.value);
    new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
    setTimeout(() => done(sum), 500);
})"""
"""How far what was painted has moved since, as browsers count it; 0.1 is what they call good."""


@pytest.mark.parametrize("name", ["book/index.html", "book/how-to-read.html", "chapters/03-clever-hans.html"])
def test_a_page_does_not_jump_while_it_loads(name: str, address: str, browser: Any) -> None:
    """As when its text is set again in a font that comes late; the quietest of three."""
    moved = []
    for _ in range(3):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.goto(f"{address}/{name}")
        page.evaluate(SETTLED)
        moved.append(page.evaluate(MOVED))
        context.close()
    assert min(moved) < 0.05


# -- what the pages say, read as text ------------------------------------------------------------------------------


class Read(HTMLParser):
    """A page's anchors, links and what its head says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.told: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found and (name == "id" or tag == "a")}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "meta" and (named := found.get("name") or found.get("property")):
            self.told[named] = found.get("content", "")


@functools.cache
def read(name: str) -> tuple[str, Read]:
    """A page's text and what is in it."""
    text = (SITE / name).read_text(encoding="utf-8")
    return text, Read(text)


def test_every_link_within_the_site_leads_somewhere() -> None:
    broken, links = [], 0
    for name in PAGES:
        for link in read(name)[1].links:
            parts = urlsplit(urljoin(name, link))
            if parts.scheme or parts.netloc:
                continue
            links += 1
            target = unquote(parts.path) or "index.html"
            if not (SITE / target).is_file():
                broken.append(f"{name}: {target} is not there")
            elif parts.fragment and target in PAGES and unquote(parts.fragment) not in read(target)[1].ids:
                broken.append(f"{name}: {target} has no #{parts.fragment}")
    assert broken == []
    assert links > 1000


@pytest.mark.parametrize("name", [name for name in PAGES if name != "search.html"])
def test_a_page_says_what_it_is(name: str) -> None:
    text, found = read(name)
    told = found.told["description"]
    assert 20 < len(told) <= 310
    assert found.told["og:description"] == told
    byline = re.search(r'<p class="byline">(.*?)</p>', text)
    assert byline
    assert "to read" in byline[1]
    notebook = re.search(r'<a href="([^"]*)" download>download the notebook', byline[1])
    assert (notebook and notebook[1]) == (Path(name).stem + ".ipynb" if name.startswith("chapters/") else None)
    facts = re.search(r'<p class="book-facts">(.*?)</p>', text, re.DOTALL)
    assert facts
    assert "version" in facts[1]


def test_every_page_has_a_title_of_its_own() -> None:
    titles = [re.search("<title>(.*?)</title>", read(name)[0], re.DOTALL) for name in PAGES]
    assert "When Teacher Forcing Fails" in {unescape(title[1]) for title in titles if title}
    assert len({title[1] for title in titles if title}) == len(PAGES)
    assert "genindex.html" not in PAGES


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("chapters/")])
def test_figures_are_numbered_in_their_chapter(name: str) -> None:
    """A chapter has a number, an appendix a letter, and its sections none; its figures count from 1."""
    text = read(name)[0]
    heading = re.search(r'<h1>.*?<span class="section-number">(\w+)\. </span>', text)
    assert heading
    assert heading[1].isalpha() == (Path(name).name >= "89")
    assert len(re.findall(r'<h\d[^>]*><span class="section-number">', text)) == 1
    numbers = re.findall(r'<span class="caption-number">Fig\. (\S+) </span>', text)
    assert numbers == [f"{heading[1]}.{count}" for count in range(1, len(numbers) + 1)]
    assert len(numbers) == len(re.findall(r'<figure[^>]*id="fig-', text))


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("chapters/")])
def test_a_chapter_can_be_taken_away(name: str) -> None:
    """Its notebook, each of its figures, and the results behind them."""
    text, found = read(name)
    links = {urljoin(name, link) for link in found.links}
    figures = set(re.findall(r'<figure[^>]*id="(fig-[\w-]+)"', text))
    assert name.replace(".html", ".ipynb") in links
    assert {f"take-away/figures/{figure}.svg" for figure in figures} <= links
    for link in links:
        if link.endswith(".csv"):
            with (SITE / link).open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
            assert rows[0][0] == "run"
            assert len(rows) > 1
            assert {len(row) for row in rows} == {len(rows[0])}
    assert bool(figures) or "svg" not in text


def test_the_front_page_has_a_picture_of_every_chapter() -> None:
    text = read("book/index.html")[0]
    for name in PAGES:
        if name.startswith("chapters/"):
            assert f'src="../_images/{Path(name).stem}.svg"' in text


# -- what the pages do ---------------------------------------------------------------------------------------------


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


def test_pages_on_a_disk_can_be_searched(browser: Any) -> None:
    visit = Visit(browser, SITE.as_uri(), 1440, "light")
    visit.page.goto(f"{SITE.as_uri()}/search.html?q=indecipherable")
    visit.page.wait_for_selector("#search-results li a", timeout=20_000)
    visit.page.wait_for_timeout(500)
    found = [link.get_attribute("href") or "" for link in visit.page.query_selector_all("#search-results li a")]
    visit.context.close()
    assert any("04-indecipherable-token" in link for link in found)
    assert visit.wrong == []


def test_a_term_shows_its_definition(tmp_path: Path, browser: Any) -> None:
    """Under the pointer and under the focus, until Escape; within the window."""
    (tmp_path / "page.html").write_text(f"""<!doctype html><style>{(STATIC / "book.css").read_text()}</style>
        <script>{(STATIC / "book.js").read_text()}</script>
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
    rows = [("b", "1,150"), ('a "c", d', "90"), ("e", ""), ("f", "0.5")]
    cells = "".join(f"<tr><td>{name}</td><td>{number}</td></tr>" for name, number in rows)
    (tmp_path / "page.html").write_text(f"""<!doctype html><style>{(STATIC / "book.css").read_text()}</style>
        <script>{(STATIC / "book.js").read_text()}</script>
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


def test_the_search_finds_no_code() -> None:
    """Words of prose, captions and tables are in its index; what only cells have, and TeX, are not."""
    text = (SITE / "searchindex.js").read_text(encoding="utf-8")
    terms = json.loads(text[text.index("(") + 1 : text.rindex(")")])["terms"]
    for word in ("blind", "teacherless", "papermil"):
        assert word in terms
    for word in ("figsiz", "plt", "mathbf"):
        assert word not in terms


def test_the_address_of_the_site_leads_to_its_first_page(address: str, browser: Any) -> None:
    visit = Visit(browser, address, 1440, "light")
    visit.page.goto(f"{address}/")
    visit.page.wait_for_url("**/book/index.html", timeout=20_000)
    visit.context.close()


WAYS = {"mouse": (1440, {}), "touch": (390, {"has_touch": True}), "keyboard": (1440, {})}


@pytest.mark.parametrize("way", WAYS)
def test_figures_can_be_gone_through(way: str, address: str, browser: Any) -> None:
    """By the slider below it, to both ends and between; what is drawn is said in words, too."""
    width, options = WAYS[way]
    visit = Visit(browser, address, width, "light", **options)
    visit.page.goto(f"{address}/chapters/03-clever-hans.html")
    place = visit.page.locator("#moving-losses")
    slider, told = place.get_by_role("slider", name="Training steps"), place.locator("[role=status]")
    assert slider.get_attribute("aria-valuetext") == "600 training steps"
    heights = []
    for part, steps in ((0, "0"), (0.5, "300"), (1, "600")):
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        x, y = box["x"] + 8 + (box["width"] - 16) * part, box["y"] + box["height"] / 2
        if way == "mouse":
            visit.page.mouse.click(x, y)
        elif way == "touch":
            visit.page.touchscreen.tap(x, y)
        else:
            slider.focus()
            visit.page.keyboard.press("End" if part else "Home")
            for _ in range(15 if part == 0.5 else 0):
                visit.page.keyboard.press("ArrowLeft")
        assert slider.get_attribute("aria-valuetext") == f"{steps} training steps"
        assert f"after {steps} training steps" in told.inner_text()
        first = float(re.findall(r"first step (\d\.\d\d)", told.inner_text())[0])
        heights.append((first, float(place.locator("circle").first.get_attribute("cy"))))
    visit.context.close()
    assert heights[0][0] > 2
    assert 0.65 < heights[2][0] < 0.8
    assert heights[0][1] < heights[2][1], "a smaller loss stands lower"
    assert visit.wrong == []


def test_without_a_script_only_the_still_figure_stands(address: str, browser: Any) -> None:
    visit = Visit(browser, address, 1440, "light", java_script_enabled=False)
    visit.page.goto(f"{address}/chapters/03-clever-hans.html")
    assert visit.page.locator("#fig-03-loss img").is_visible()
    assert not visit.page.locator("#moving-losses").is_visible()
    visit.context.close()


def test_on_paper_only_the_still_figure_stands(address: str, browser: Any) -> None:
    visit = Visit(browser, address, 1440, "light")
    visit.page.goto(f"{address}/chapters/03-clever-hans.html")
    assert visit.page.locator("#moving-losses").is_visible()
    visit.page.emulate_media(media="print")
    assert visit.page.locator("#fig-03-loss img").is_visible()
    assert not visit.page.locator("#moving-losses").is_visible()
    visit.context.close()


def test_a_figure_has_a_form_for_small_screens(address: str, browser: Any) -> None:
    """On the page it is one image. All of it is to be seen, with legible type; on paper it is wide."""
    visit = Visit(browser, address, 390, "light")
    page = visit.page
    assert visit.open("book/index.html") == []
    image, frame = page.locator("#fig-overview img"), page.locator("#fig-overview .figure-frame")
    shown = "image => [image.currentSrc.split('/').slice(-2).join('/'), image.width / image.naturalWidth]"
    source, scale = image.evaluate(shown)
    assert source == "narrow/overview.svg"
    assert 9 * 4 / 3 * scale >= 9, "letters of nine points, in pixels"
    assert frame.get_attribute("data-more") is None
    assert frame.evaluate("frame => getComputedStyle(frame, '::after').content").endswith('stands above, right below"')
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("document.querySelector('#fig-overview img').naturalWidth > 560")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.wait_for_function("document.querySelector('#fig-overview img').naturalWidth < 560")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.wait_for_function("document.querySelector('#fig-overview img').naturalWidth > 560")
    assert frame.evaluate("frame => getComputedStyle(frame, '::after').content") == "none"
    visit.context.close()


# -- what is looked for is found -----------------------------------------------------------------------------------

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
    "a picture that says nothing": ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "image-alt (critical)"),
    "pale text": ("<p style='color: #999'>pale</p><p>not pale</p>", "color-contrast (serious): <p style="),
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
        wrong = [*visit.open("bad.html"), *visit.barriers(), *visit.pale()]
        visit.context.close()
    assert any(told in line for line in wrong), wrong
