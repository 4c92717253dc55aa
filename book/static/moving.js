/* Figures that can be gone through: below a still figure a slider, and the same results at the training step it stands
   at. A dot is a network, a line the mean of several; what is drawn is also said in words. */

"use strict";

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const WIDE = 220;
  const HIGH = 150;
  const LEFT = 34;
  const FLOOR = 118;
  const CEILING = 14;

  const SHAPES = new Set(["svg", "line", "circle", "text"]);

  function make(tag, attributes = {}, ...children) {
    const element = SHAPES.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;

  /** One panel: the groups side by side, a dot a network. Returns what sets it to a training step. */
  function panel({ title, groups }, told) {
    const y = value => FLOOR - (FLOOR - CEILING) * (value / told.top);
    const step = (WIDE - LEFT - 6) / groups.length;
    const svg = make("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, "aria-hidden": "true" });
    for (const tick of told.ticks) {
      svg.append(make("line", { x1: LEFT, x2: WIDE, y1: y(tick), y2: y(tick), class: "moving-grid" }));
      svg.append(make("text", { x: LEFT - 6, y: y(tick) + 3.5, "text-anchor": "end" }, String(tick)));
    }
    if (told.chance)
      svg.append(make("line", { x1: LEFT, x2: WIDE, y1: y(told.chance), y2: y(told.chance), class: "moving-chance" }));
    const sets = groups.map((group, at) => {
      const middle = LEFT + step * (at + 0.5);
      const words = group.name.split(" ");
      const half = words.length > 2 ? Math.ceil(words.length / 2) : words.length;
      [words.slice(0, half), words.slice(half)].forEach((line, row) =>
        svg.append(make("text", { x: middle, y: FLOOR + 14 + 11 * row, "text-anchor": "middle" }, line.join(" ")))
      );
      const count = group.values[0].length;
      const spread = Math.min(step * 0.7, 5 * (count - 1));
      const shift = group.aside ? step * 0.13 : 0;
      const dots = group.values[0].map((_, i) => {
        const x = middle - shift + (count > 1 ? spread * (i / (count - 1) - 0.5) : 0);
        return make("circle", { cx: x, r: count > 1 ? 2.2 : 5, fill: group.color, "fill-opacity": count > 1 ? 0.55 : 1 });
      });
      const others = (group.aside?.[0] ?? []).map(() =>
        make("circle", { cx: middle + shift, r: 4.2, fill: "none", stroke: group.color, "stroke-width": 1.5 })
      );
      const bar = make("line", {
        x1: middle - spread / 2 - 5,
        x2: middle + spread / 2 + 5,
        stroke: group.color,
        "stroke-width": 3,
      });
      svg.append(...others, ...dots, ...(count > 1 ? [bar] : []));
      return at => {
        dots.forEach((dot, i) => dot.setAttribute("cy", y(group.values[at][i])));
        others.forEach((dot, i) => dot.setAttribute("cy", y(group.aside[at][i])));
        for (const end of ["y1", "y2"]) bar.setAttribute(end, y(mean(group.values[at])));
      };
    });
    const figure = make("div", { class: "moving-panel" }, make("p", {}, title), svg);
    return { figure, set: at => sets.forEach(one => one(at)) };
  }

  const begun = text => text[0].toUpperCase() + text.slice(1);

  /** What stands at a training step, in words. */
  function inWords(told, at) {
    const panels = told.panels.map(({ title, groups }) => {
      const said = groups.map(({ name, values, aside }) => {
        const beside = aside ? ` (${told.aside} ${mean(aside[at]).toFixed(2)})` : "";
        return `${name} ${mean(values[at]).toFixed(2)}${beside}`;
      });
      return `${begun(title)}: ${said.join(", ")}.`;
    });
    return `${begun(told.axis)}, after ${told.steps[at].toLocaleString("en")} training steps. ${panels.join(" ")}`;
  }

  function start(place) {
    const told = JSON.parse(place.querySelector("script").textContent);
    const panels = told.panels.map(one => panel(one, told));
    const last = told.steps.length - 1;
    const id = `${place.id}-step`;
    const slider = make("input", { type: "range", id, min: 0, max: last, value: last });
    const shown = make("output", { for: id });
    const words = make("p", { role: "status" });
    const set = () => {
      const at = Number(slider.value);
      panels.forEach(one => one.set(at));
      const step = told.steps[at].toLocaleString("en");
      shown.textContent = step;
      slider.setAttribute("aria-valuetext", `${step} training steps`);
      words.textContent = inWords(told, at);
    };
    slider.addEventListener("input", set);
    set();
    const kept = place.querySelector("p");
    const time = make("div", { class: "moving-time" }, make("label", { for: id }, "Training steps"), slider, shown);
    const row = make("div", { class: "moving-panels" }, ...panels.map(one => one.figure));
    place.replaceChildren(kept, time, row, words);
    place.classList.add("moving-ready");
  }

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".moving").forEach(start));
})();
