/* What the pages do: marks on what scrolls, definitions beside terms, tables that can be sorted and taken away, printing,
   searching from a disk. */

"use strict";

/* ---- what scrolls sideways can be reached by the keyboard, and says on which side there is more ---- */

const SCROLLING =
  ".bd-article pre, .bd-article .figure-frame, .bd-article .pst-scrollable-table-container, " +
  ".bd-article .cell_output .text_html, .bd-article div.math, #play-networks, .bd-footer-content pre";

function markScroll(frame) {
  const hidden = frame.scrollWidth - frame.clientWidth;
  const left = frame.scrollLeft > 1;
  const right = frame.scrollLeft < hidden - 1; // one pixel is rounding
  if (left || right) frame.dataset.more = left && right ? "both" : left ? "left" : "right";
  else delete frame.dataset.more;
  if (hidden > 0) frame.tabIndex = 0;
  else frame.removeAttribute("tabindex");
}

function watchScroll() {
  const frames = [...document.querySelectorAll(SCROLLING)];
  const sizes = new ResizeObserver(entries => entries.forEach(entry => markScroll(entry.target)));
  for (const frame of frames) {
    frame.addEventListener("scroll", () => markScroll(frame), { passive: true });
    sizes.observe(frame);
    for (const child of frame.children) sizes.observe(child);
  }
}

/* ---- a term's definition, while the pointer or the focus is on a link to it; Escape puts it away ---- */

function showNote(link, note) {
  note.showPopover();
  const box = link.getClientRects()[0];
  const margin = 8;
  const left = Math.min(box.left, document.documentElement.clientWidth - note.offsetWidth - margin);
  const below = box.bottom + margin;
  const fits = below + note.offsetHeight < window.innerHeight;
  note.style.left = `${Math.max(margin, left)}px`;
  note.style.top = `${fits ? below : Math.max(margin, box.top - note.offsetHeight - margin)}px`;
}

function tieNotes() {
  if (!("popover" in HTMLElement.prototype)) {
    document.querySelectorAll(".term-note").forEach(note => note.remove());
    return;
  }
  for (const link of document.querySelectorAll('.bd-article a[href*="#term-"]')) {
    const note = document.getElementById(`note-${link.hash.slice(1)}`);
    if (!note) continue;
    let leaving;
    const show = () => {
      clearTimeout(leaving);
      if (!note.matches(":popover-open")) showNote(link, note);
    };
    const hide = () => note.matches(":popover-open") && note.hidePopover();
    const leave = () => (leaving = setTimeout(hide, 150)); // so that the pointer can move onto the note
    link.classList.add("term");
    link.removeAttribute("title");
    link.setAttribute("aria-describedby", note.id);
    link.addEventListener("mouseenter", show);
    link.addEventListener("mouseleave", leave);
    note.addEventListener("mouseenter", () => clearTimeout(leaving));
    note.addEventListener("mouseleave", leave);
    link.addEventListener("focus", show);
    link.addEventListener("blur", hide);
    link.addEventListener("keydown", event => event.key === "Escape" && hide());
    window.addEventListener("scroll", hide, { passive: true });
  }
}

/* ---- the table of a cell that is tagged `sortable`: a click on a column's name sorts it; as CSV it can be taken away ---- */

const inside = cell => cell.innerText.trim();

function sortBy(table, column, rising) {
  const body = table.tBodies[0];
  const value = row => inside(row.cells[column]);
  const order = new Intl.Collator("en", { numeric: true });
  const number = text => Number(text.replace(/,/g, "").match(/^-?\d*\.?\d+/)?.[0] ?? NaN);
  const compare = (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (!a || !b) return !a - !b; // what is empty comes last, either way
    const apart = number(a) - number(b) || order.compare(a, b);
    return rising ? apart : -apart;
  };
  body.append(...[...body.rows].sort(compare));
}

function asCSV(table) {
  const quoted = cell => `"${inside(cell).replaceAll('"', '""')}"`;
  return [...table.rows].map(row => [...row.cells].map(quoted).join(",")).join("\r\n") + "\r\n";
}

function tieTables() {
  for (const table of document.querySelectorAll(".tag_sortable table")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.className = "sorts";
      button.append(...head.childNodes);
      button.addEventListener("click", () => {
        const rising = head.ariaSort !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        sortBy(table, column, rising);
      });
      head.append(button);
    });
    const link = document.createElement("a");
    const name = document.querySelector("h1")?.id || "table";
    link.className = "takes";
    link.download = `${name}.csv`;
    link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(asCSV(table))}`;
    link.textContent = "this table as CSV";
    (table.closest(".pst-scrollable-table-container") ?? table).after(link);
  }
}

/* ---- paper is light and wide, and nothing on it can be unfolded ---- */

function printWhole() {
  const root = document.documentElement;
  const narrow = [...document.querySelectorAll(".figure-frame source")];
  const small = narrow[0]?.media;
  let theme, opened = [];
  window.addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    opened = [...document.querySelectorAll(".bd-article details:not([open], .hide)")];
    for (const fold of opened) fold.open = true;
    for (const image of document.images) image.loading = "eager";
    for (const source of narrow) source.media = "not all";
  });
  window.addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    for (const fold of opened) fold.open = false;
    for (const source of narrow) source.media = small;
  });
  for (const place of document.querySelectorAll("[data-address]")) place.textContent = location.href.split("#")[0];
}

/* ---- a page opened from a disk may not read its neighbours: the search shows titles without excerpts ---- */

if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined")
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

document.addEventListener("DOMContentLoaded", () => {
  watchScroll();
  tieNotes();
  tieTables();
  printWhole();
});
