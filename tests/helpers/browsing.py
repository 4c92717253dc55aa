"""The built site in a browser: where it is, how a page is opened, and what can be wrong with one."""

import contextlib
import ctypes
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from axe_playwright_python.base import AXE_SCRIPT

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
        const small = image.naturalWidth > 560 ? box.width < 560 : image.closest("picture") && box.width < 300;
        if (/\\.svg$/.test(image.src) && small)
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
HEAVIEST = {"chapters": 1.5e6, "book/play.html": 2e6, "book/summary.html": 1.5e6, "": 0.8e6}
"""Bytes of a page with all that it loads, unpacked: those of a chapter, of the two that hold more, of any other."""
SAMPLES = """() => {
    const seen = new Set();
    const clear = style => /, 0\\)$/.test(style.backgroundColor) && style.backgroundImage === "none";
    const ground = element => {
        const found = [];
        for (; element; element = element.parentElement) {
            const style = getComputedStyle(element);
            found.push(style.opacity, style.filter);
            if (!clear(style)) { found.push(style.backgroundColor, style.backgroundImage); break; }
        }
        return found.join();
    };
    for (const element of document.querySelectorAll("body *")) {
        delete element.dataset.sample;
        if (![...element.childNodes].some(part => part.nodeType === Node.TEXT_NODE && part.data.trim())) continue;
        if (!element.checkVisibility()) continue;
        const { color, fontSize, fontWeight } = getComputedStyle(element);
        const key = [color, fontSize, fontWeight, ground(element)].join("|");
        if (!seen.has(key)) element.dataset.sample = "";
        seen.add(key);
    }
    return seen.size;
}"""
"""Marks one text of each colour, size and ground; how many there are."""
NARROW = ("scrollable-region-focusable", "target-size", "aria-hidden-focus", "meta-viewport", "bypass")
"""What axe-core may find on a narrow page that it does not find on a wide one."""


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


class Visit:
    """A tab that notes what goes wrong."""

    def __init__(self, browser: Any, address: str, width: int, scheme: str, **options: Any) -> None:
        self.view = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=self.view, color_scheme=scheme, **options)
        self.page, self.address, self.wrong = self.context.new_page(), address, []
        self.devtools = self.context.new_cdp_session(self.page)
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
        """What is wrong with a page, opened as the first one: a cached style sheet brings along fonts of others."""
        self.wrong.clear()
        self.devtools.send("Network.clearBrowserCache")
        self.page.goto(f"{self.address}/{name}", wait_until="load")
        self.page.evaluate(SETTLED)
        wrong = [*self.wrong, *self.page.evaluate(PROBLEMS)]
        weight = self.page.evaluate(WEIGHT)
        most = HEAVIEST.get(name, HEAVIEST.get(name.partition("/")[0], HEAVIEST[""]))
        if weight > most:
            wrong.append(f"weighs {weight / 1e6:.2f} MB, more than {most / 1e6:.1f}")
        return [f"{name}: {told}" for told in wrong]

    def barriers(self, *rules: str) -> list[str]:
        """What axe-core finds on the page that keeps people out: by these rules, or by all but that of contrast."""
        options = {"runOnly": list(rules)} if rules else {"rules": {"color-contrast": {"enabled": False}}}
        return self._axe("document", options)

    def pale(self) -> list[str]:
        """Where text is too pale for its ground. Of those alike in colour, size and ground one is looked at."""
        if not self.page.evaluate(SAMPLES):
            return []
        return self._axe('{include: ["[data-sample]"]}', {"runOnly": ["color-contrast"]})

    def _axe(self, where: str, options: dict[str, Any]) -> list[str]:
        if self.page.evaluate("typeof axe") == "undefined":
            self.page.evaluate(AXE_SCRIPT)
        options = {**options, "resultTypes": ["violations"], "preload": False}
        found = self.page.evaluate(f"async options => (await axe.run({where}, options)).violations", options)
        return [
            f"{self.page.url}: {rule['id']} ({rule['impact']}): {node['html'][:120]}"
            for rule in found
            if rule["impact"] in ("critical", "serious")
            for node in rule["nodes"]
        ]


MARGIN = 16 / 25.4 * 72
"""Points at the sides of a printed page, as book.css has them."""
LOOKED_AT = 5
"""Of so many letters on a printed sheet one is looked at."""


def printed(page: Any) -> tuple[str, list[str]]:
    """The text of a page printed to PDF, without white space, and what is wrong with where and how it stands."""
    text, wrong = [], []
    document = pypdfium2.PdfDocument(page.pdf(format="A4"))
    for number, sheet in enumerate(document, start=1):
        letters, (width, height) = sheet.get_textpage(), sheet.get_size()
        whole = letters.get_text_range()
        text.append("".join("-" if letter in "\x02\ufffe" else letter for letter in whole if not letter.isspace()))
        for index in range(0, letters.count_chars(), LOOKED_AT):
            letter = letters.get_text_range(index, 1)
            if not letter.strip() or letter in "\x02\ufffe":
                continue
            place = pypdfium2.raw.FS_MATRIX()
            pypdfium2.raw.FPDFText_GetMatrix(letters, index, place)
            if not (MARGIN - 2 < place.e < width - MARGIN and 0 < place.f < height):
                wrong.append(f"sheet {number}: {letter!r} at {place.e:.0f}, {place.f:.0f} of {width:.0f}, {height:.0f}")
            colours = [ctypes.c_uint() for _ in range(4)]
            pypdfium2.raw.FPDFText_GetFillColor(letters, index, *colours)
            if min(colour.value for colour in colours[:3]) > 170:
                wrong.append(f"sheet {number}: {letter!r} is pale: {[colour.value for colour in colours]}")
    return "".join(text), wrong
