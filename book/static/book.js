/* What the pages do: marks on what scrolls, definitions beside terms, printing, searching from a disk. */

"use strict";

/* ---- what scrolls sideways can be reached by the keyboard, and says on which side there is more ---- */

const SCROLLING =
  ".bd-article pre, .bd-article .figure-frame, .bd-article .pst-scrollable-table-container, " +
  ".bd-article .cell_output .text_html, .bd-article div.math, .bd-footer-content pre";

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

/* ---- paper is light, and nothing on it can be unfolded ---- */

function printWhole() {
  const root = document.documentElement;
  let theme, opened = [];
  window.addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    opened = [...document.querySelectorAll(".bd-article details:not([open], .hide)")];
    for (const fold of opened) fold.open = true;
    for (const image of document.images) image.loading = "eager";
  });
  window.addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    for (const fold of opened) fold.open = false;
  });
  for (const place of document.querySelectorAll("[data-address]")) place.textContent = location.href.split("#")[0];
}

/* ---- a page opened from a disk may not read its neighbours: the search shows titles without excerpts ---- */

if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined")
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

document.addEventListener("DOMContentLoaded", () => {
  watchScroll();
  tieNotes();
  printWhole();
});
