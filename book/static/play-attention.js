/* What the networks look at: lines from the last token that was read to those before it. */

import { METHODS } from "./play-answers.js";
import { make, percent } from "./play-drawing.js";

const LAYERS = ["first", "second", "third"];
const STATES = ["z₁", "z₂", "z₃"]; // of its own, that a network has read
const [HIGH, SPACE] = [50, 16];

export class Looks {
  constructor(layers) {
    const options = LAYERS.slice(0, layers).map((name, i) =>
      make("option", { value: i, selected: i === layers - 1 }, `${name} layer`)
    );
    this.layer = make("select", { id: "play-layer", onchange: () => this.draw() }, options);
    this.body = make("div");
    const label = make("label", { for: "play-layer" }, "Thick lines are where its heads look, in the ");
    this.element = make(
      "details",
      { class: "play-looks hide", ontoggle: () => this.draw() }, // "hide": not on paper
      make("summary", {}, "What they look at"),
      make("p", {}, "Each network has said one token and is about to say the next. ", label, " ", this.layer),
      this.body
    );
  }

  /** Other answers. */
  show(star, found) {
    Object.assign(this, { star, found });
    this.draw();
  }

  draw() {
    if (!this.element.open || !this.found) return;
    this.body.replaceChildren(...Object.keys(this.found).map(method => this.strips(method)));
  }

  /** What one network has read; one that plans is shown before each state of its own that it reads, too. */
  strips(method) {
    const { said, steps, planned } = this.found[method];
    const { name } = METHODS[method];
    const read = [...this.star.prompt, said[0]].map(token => this.star.task.symbols[token]);
    const drawings = [...steps[1].plan, steps[1]].map(({ attention }, i) =>
      strip(name, [...read, ...STATES.slice(0, i)], attention[this.layer.value])
    );
    const caption = planned ? `${name}; ${STATES.slice(0, planned).join(", ")} are the states that it reads` : name;
    return make("figure", { class: `play-${method}` }, make("figcaption", {}, caption), drawings);
  }
}

/** A line to each token, as thick as the head that looks there most. */
function strip(name, symbols, heads) {
  const weights = symbols.map((_, place) => Math.max(...heads.map(head => head[place])));
  const x = place => (place + 0.5) * SPACE;
  const last = symbols.length - 1;
  const lines = weights.map((weight, place) => {
    const top = 30 - 2.7 * (last - place);
    const look = { class: "play-look", "stroke-width": 5 * weight, opacity: Math.min(1, 0.15 + weight) };
    return make("path", { ...look, d: `M${x(last)} 34 Q${(x(last) + x(place)) / 2} ${top} ${x(place)} 34` });
  });
  const letters = symbols.map((symbol, place) =>
    make("text", { x: x(place), y: 46, "font-size": 11, "text-anchor": "middle" }, symbol)
  );
  const most = weights.map((weight, place) => [weight, place]).sort(([a], [b]) => b - a).slice(0, 2);
  const places = most.map(([weight, place]) => `the ${symbols[place]} at place ${place + 1} (${percent(weight)})`);
  const told = `${name} looks most at ${places.join(" and ")} of ${symbols.join(" ")}`;
  const view = `0 0 ${symbols.length * SPACE + 8} ${HIGH}`;
  return make("svg", { viewBox: view, role: "img", "aria-label": told }, lines, letters);
}
