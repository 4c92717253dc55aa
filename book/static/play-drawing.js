/* What play.js draws with: elements, graphs, bars. */

const SVG = "http://www.w3.org/2000/svg";

/** An element of HTML or SVG with attributes, listeners (on...) and children. */
export function make(tag, attributes = {}, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter(child => child !== null));
  return element;
}

const SVG_TAGS = new Set(["svg", "g", "line", "circle", "path", "text", "polyline"]);

/** A click, a touch, Enter or the space bar: what makes a part of a drawing a button. */
export function pressed(act) {
  return {
    role: "button",
    tabindex: 0,
    onclick: act,
    onkeydown: event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      act();
    },
  };
}

export function percent(share) {
  return `${Math.round(100 * share)}%`;
}

export function bar(share) {
  return make("span", { class: "play-bar", "aria-hidden": "true" }, make("span", { style: `width: ${100 * share}%` }));
}

/** Where the nodes of a graph stand: the start to the left, an arm a row. label -> [x, y]. */
export function spots(star, { left, top, across, down }) {
  const places = new Map([[star.start, [left, top + (down * (star.arms.length - 1)) / 2]]]);
  star.arms.forEach((arm, row) =>
    arm.forEach((node, i) => places.set(node, [left + across * (i + 1), top + down * row]))
  );
  return places;
}

/** A line from node to node, ending at their discs. */
export function edge([x1, y1], [x2, y2], radius, attributes) {
  const length = Math.hypot(x2 - x1, y2 - y1);
  const [dx, dy] = [((x2 - x1) / length) * radius, ((y2 - y1) / length) * radius];
  return make("line", { x1: x1 + dx, y1: y1 + dy, x2: x2 - dx, y2: y2 - dy, ...attributes });
}

/** The head of an arrow that ends at a node. */
export function arrowhead([x1, y1], [x2, y2], radius, attributes) {
  const angle = Math.atan2(y2 - y1, x2 - x1);
  const tip = [x2 - Math.cos(angle) * radius, y2 - Math.sin(angle) * radius];
  const side = turn => [tip[0] - 9 * Math.cos(angle + turn), tip[1] - 9 * Math.sin(angle + turn)].join(" ");
  return make("path", { d: `M${tip.join(" ")} L${side(0.42)} L${side(-0.42)} Z`, ...attributes });
}

/** A disc with its label; a ring around the goal. */
export function node([x, y], label, radius, { ring = false, ...attributes } = {}) {
  return make(
    "g",
    attributes,
    make("circle", { class: "play-reach", cx: x, cy: y, r: radius * 1.35 }),
    ring ? make("circle", { class: "play-ring", cx: x, cy: y, r: radius + 3.5 }) : null,
    make("circle", { class: "play-disc", cx: x, cy: y, r: radius }),
    make("text", { x, y, "font-size": radius * 0.95, "text-anchor": "middle", dy: "0.35em" }, String(label))
  );
}

export function note([x, y], text, size = 11) {
  return make("text", { class: "play-note", x, y, "font-size": size, "text-anchor": "middle" }, text);
}
