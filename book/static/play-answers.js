/* What a network answers to a graph: asked, drawn, told. */

import { answer, foresee, largest, readPrompt, softmax } from "./transformer.js";
import { bar, edge, make, node, note, percent, pressed, spots } from "./play-drawing.js";

export const METHODS = {
  teacher_forcing: { name: "One token at a time", told: "taught by teacher forcing" },
  reversed: { name: "Backwards", told: "taught to begin at the goal" },
  multi_token: { name: "Four tokens at once", told: "taught to look ahead", ahead: "What it foresees before it speaks" },
  latent_lookahead: {
    name: "Latent steps back",
    told: "taught to plan from the goal",
    plans: true,
    ahead: "What it says to itself before its first step",
  },
};

const STEPS = ["first step", "second step", "third step", "fourth step"];

/** What the tokens of a path are called. */
export function placesOf({ path }) {
  return ["start", ...STEPS.slice(0, path.length - 2), "goal"];
}

/** How a network of a method answers a graph: what it says, in its order, and how likely it takes each edge. One that
    plans reads a state of its own for every node of the path but the start. */
export function ask(model, method, star, forced = null) {
  const backwards = method === "reversed";
  const prompt = readPrompt(model, star.prompt);
  const given = forced === null ? [] : [star.start, star.arms[forced][0]];
  const planned = METHODS[method].plans ? star.path.length - 1 : 0;
  const steps = answer(prompt, star.path.length, given, planned);
  const said = steps.map(step => step.token);
  const shares = star.arms.map((arm, i) => {
    const jumps = given.length && i !== forced; // it would have to leave the arm that it was put on
    const path = [...given, ...[star.start, ...arm].slice(given.length)];
    const order = backwards ? path.reverse() : path;
    let share = 1;
    const reached = answer(prompt, order.length, order, planned).map((step, at) => {
      if (at >= given.length) share *= step.probabilities[order[at]];
      return share;
    });
    const edges = reached.slice(1).map((taken, at) => (jumps && at < 2 ? 0 : taken)); // when its second node is said
    return backwards ? edges.reverse() : edges;
  });
  const path = backwards ? [...said].reverse() : said;
  const right = path.every((token, i) => token === star.path[i]);
  const heads = model.extra.length ? foresee(prompt).reverse() : [];
  const ahead = planned ? steps[1].plan.map(({ logits }) => logits) : heads; // from the goal back
  return { steps, said, path, shares, right, backwards, planned, ahead };
}

/* ---- on the graph ---- */

const SMALL = { left: 20, top: 24, across: 60, down: 62 };

export function drawAnswer(star, method, found, shown, force, forced) {
  const places = spots(star, SMALL);
  const said = new Set(found.said.slice(0, shown));
  const lines = star.arms.flatMap((arm, row) =>
    arm.map((to, i) => {
      const ends = [places.get(i ? arm[i - 1] : star.start), places.get(to)];
      const share = found.shares[row][i];
      const open = shown >= found.said.length || said.has(to);
      const width = open ? 8 * share : 0;
      const flow = edge(...ends, 13, { class: "play-flow", "stroke-width": width });
      return [edge(...ends, 14, { class: "play-edge" }), flow];
    })
  );
  const there = new Set(star.edges.map(String));
  const path = found.path.filter(token => said.has(token) && places.has(token));
  const jumps = path.slice(1).flatMap((to, i) => {
    if (there.has(String([path[i], to])) || path[i] === to) return [];
    return [edge(places.get(path[i]), places.get(to), 14, { class: "play-jump" })];
  });
  const numbers = star.arms.map((arm, row) => {
    const [x1, y1] = places.get(star.start);
    const [x2, y2] = places.get(arm[0]);
    const side = Math.sign(y2 - y1); // above the upper arms, below the lower ones, above one that goes straight on
    const away = side > 0 ? 16 : side < 0 ? -9 : -11;
    return note([(x1 + x2) / 2 - (side ? 12 : 0), (y1 + y2) / 2 + away], percent(found.shares[row][0]));
  });
  const firsts = new Map(star.arms.map((arm, row) => [arm[0], row]));
  const discs = [...places].map(([label, place]) => {
    const row = firsts.get(label);
    const looks = { class: said.has(label) ? "play-node play-said" : "play-node", ring: label === star.goal };
    if (!force || row === undefined) return node(place, label, 13, looks);
    return node(place, label, 13, {
      ...pressed(() => force(row)),
      ...looks,
      class: `${looks.class} play-first`,
      "aria-pressed": String(row === forced),
      "aria-label": `put it on the arm of ${label}`,
      "data-arm": row,
    });
  });
  const role = force ? { role: "group" } : { role: "img" };
  const told = inWords(star, method, found, forced);
  return make("svg", { viewBox: `0 0 220 ${50 + SMALL.down * (star.arms.length - 1)}`, ...role, "aria-label": told }, lines, jumps, numbers, discs);
}

/** An answer as a sentence. */
export function inWords(star, method, found, forced = null) {
  const { name } = METHODS[method];
  const path = found.path.map(token => star.task.symbols[token]).join(", ");
  const shares = star.arms.map((arm, row) => `${percent(found.shares[row][0])} to ${arm[0]}`).join(", ");
  const planned = found.planned ? `, having said to itself ${plan(star, found)}` : "";
  const verdict = (found.right ? "right" : "wrong") + planned;
  if (forced !== null) return `${name}, put on the arm of ${star.arms[forced][0]}: ${path}, ${verdict}.`;
  if (found.backwards) return `${name}: ${path}, ${verdict}.`;
  return `${name}: ${path}, ${verdict}; its first step goes ${shares}.`;
}

/** What a network has said to itself. */
function plan(star, found) {
  return found.ahead.map(logits => star.task.symbols[largest(logits)]).join(", ");
}

/* ---- in numbers ---- */

export function steps(star, found, shown, forced) {
  const symbol = token => star.task.symbols[token];
  const places = placesOf(star);
  const rows = found.steps.slice(0, shown).map(({ token, probabilities }, i) => {
    const place = places[found.backwards ? places.length - 1 - i : i];
    const given = forced !== null && i < 2;
    const other = probabilities
      .map((share, one) => [share, one])
      .filter(([share, one]) => one !== token && share >= 0.005)
      .sort(([a], [b]) => b - a)[0];
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, place),
      make("td", {}, symbol(token)),
      make("td", {}, given ? "put there" : percent(probabilities[token])),
      make("td", {}, given || !other ? "" : `${symbol(other[1])}: ${percent(other[0])}`)
    );
  });
  const cells = () => ["says", "sure", "or"].map(() => make("td"));
  while (rows.length < places.length) rows.push(make("tr", {}, make("th", { scope: "row" }, "…"), cells()));
  const heads = ["", "says", "sure", "or"].map(text => (text ? make("th", { scope: "col" }, text) : make("td")));
  return make("table", { class: "play-steps" }, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows));
}

/** What extra heads, or states of its own, say of the path before it is said, from the goal backwards: how likely the
    right tokens are to them. */
export function rungs(star, method, found) {
  const places = placesOf(star);
  const rows = found.ahead.map((logits, i) => {
    const place = places.length - 1 - i;
    const share = softmax(logits)[star.path[place]];
    return make("li", {}, make("span", {}, places[place]), bar(share), make("span", {}, percent(share)));
  });
  const head = METHODS[method].ahead + (found.planned ? `: ${plan(star, found)}.` : ":");
  return make("div", { class: "play-rungs" }, make("p", {}, head), make("ol", {}, rows));
}
