/* The page on which trained networks answer: it loads them, draws what they say, and lets the reader change the
   question. transformer.js computes, star.js holds the graph, play-answers.js draws, play-game.js keeps the score. */

import { readSafetensors, Transformer } from "./transformer.js";
import { Star } from "./star.js";
import { ask, drawAnswer, inWords, METHODS, placesOf, rungs, steps } from "./play-answers.js";
import { Looks } from "./play-attention.js";
import { arrowhead, edge, make, node, note, percent, pressed, spots } from "./play-drawing.js";
import { startGame } from "./play-game.js";

const FOLDER = new URL("models/", import.meta.url);
const LOST = "The networks could not be loaded.";

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/* ---- the networks ---- */

/** What is there for each kind of graph; and each network, fetched when it is asked for, once. */
export async function shelf() {
  const { graphs } = await (await fetch(new URL("index.json", FOLDER))).json();
  const loaded = new Map();
  const load = heads => file => {
    if (!loaded.has(file)) {
      const model = fetch(new URL(file, FOLDER))
        .then(reply => reply.arrayBuffer())
        .then(bytes => new Transformer(readSafetensors(bytes).tensors, heads));
      loaded.set(file, model);
      model.catch(() => loaded.delete(file)); // so that it is tried again
    }
    return loaded.get(file);
  };
  return graphs.map(graph => ({ ...graph, load: load(graph.heads) }));
}

/* ---- the graph that the reader changes ---- */

const LARGE = { left: 34, top: 42, across: 98, down: 82 };
const [WIDE, EDGE] = [362, 24]; // of the drawing, and how near to its edge a node may come
const ARROWS = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };
const STILL = 4; // what moves less than that was pressed, not dragged

/** How high the drawing is. */
const high = star => 88 + LARGE.down * (star.arms.length - 1);

/** The drawing, each node where it belongs or where it was put; `act` says what a click and an arrow key do to one. */
function drawQuestion(star, chosen, moved, act) {
  const places = spots(star, LARGE);
  [...places.keys()].forEach((label, at) => moved.has(at) && places.set(label, moved.get(at)));
  const right = new Set(star.path);
  const lines = star.arms.flatMap(arm =>
    arm.map((to, i) => {
      const ends = [places.get(i ? arm[i - 1] : star.start), places.get(to)];
      const kind = { class: right.has(to) ? "play-edge play-right" : "play-edge" };
      return [edge(...ends, 24, kind), arrowhead(...ends, 21, kind)];
    })
  );
  const discs = [...places].map(([label, place], at) => {
    const role = label === star.start ? ", the start" : label === star.goal ? ", the goal" : "";
    const { onkeydown, ...button } = pressed(() => act.choose(label));
    return node(place, label, 20, {
      ...button,
      onkeydown: event => {
        onkeydown(event);
        const way = ARROWS[event.key];
        if (!way) return;
        event.preventDefault();
        act.move(at, [place[0] + way[0], place[1] + way[1]]);
      },
      onpointerdown: () => act.grip(at, place),
      class: right.has(label) ? "play-node play-right" : "play-node",
      "aria-label": `label ${label}${role}`,
      "aria-pressed": String(label === chosen),
      "data-label": label,
      ring: label === star.goal,
    });
  });
  const [x, y] = places.get(star.start);
  const [goalX, goalY] = places.get(star.goal);
  return make(
    "svg",
    { viewBox: `0 0 ${WIDE} ${high(star)}`, class: "play-question", role: "group", "aria-label": "the graph" },
    lines,
    discs,
    note([x, y + 37], "start"),
    note([goalX, goalY + 37], "goal")
  );
}

/* ---- the page ---- */

class Explorer {
  /** `taken` is called with the networks of each kind of graph that is chosen. */
  constructor(place, shelf, taken) {
    Object.assign(this, { shelf, taken });
    this.moved = new Map(); // place in the drawing -> where the reader has put it
    this.build(place);
  }

  /** Takes another kind of graph, with networks of its own. */
  take(models) {
    this.models = models;
    const moments = models.models.flatMap(({ checkpoints }) => checkpoints.map(({ steps }) => steps));
    this.moments = [...new Set(moments)].sort((a, b) => a - b);
    this.at = this.moments.length - 1;
    this.slider.max = this.slider.value = this.at;
    this.taken(models);
    return this.renew();
  }

  build(place) {
    const button = (text, act) => make("button", { type: "button", onclick: act }, text);
    this.question = make("div");
    this.letDrag();
    this.prompt = make("code");
    this.status = make("p", { class: "play-status", role: "status" });
    const moved = () => {
      this.at = Number(this.slider.value);
      this.change({});
    };
    this.slider = make("input", { type: "range", min: 0, id: "play-moment", oninput: moved });
    this.looks = new Looks(this.shelf[0].layers);
    const kinds = this.shelf.map((models, i) => make("option", { value: i }, kind(models.task)));
    const other = event => this.take(this.shelf[event.target.value]);
    const graph = make("select", { id: "play-kind", onchange: other }, kinds);
    this.moment = make("output", { for: "play-moment" });
    this.panels = Object.fromEntries(
      Object.entries(METHODS).map(([method, { name, told }]) => {
        const body = make("div");
        const head = make("p", { class: "play-name" }, make("strong", {}, name), make("br"), told);
        const section = make("section", { class: `play-model play-${method}`, "aria-label": name }, head, body);
        return [method, { body, section }];
      })
    );
    const group = { class: "play-buttons", role: "group", "aria-label": "change the question" };
    const label = make("label", { for: "play-moment" }, "Training steps");
    place.replaceChildren(
      make("div", { class: "play-time" }, make("label", { for: "play-kind" }, "A graph of"), graph),
      make(
        "div",
        group,
        button("New graph", () => this.renew()),
        button("Shuffle the edges", () => this.change({ star: this.star.shuffled() })),
        button("Move the goal", () => this.change({ star: this.star.aimed() }))
      ),
      this.question,
      make("p", { class: "play-hint" }, "Drag a node, or choose two to exchange their labels. The networks read: ", this.prompt),
      make("div", { class: "play-time" }, label, this.slider, this.moment),
      make("div", { class: "play-models" }, Object.values(this.panels).map(({ section }) => section)),
      this.status,
      this.looks.element
    );
  }

  /** The last network of a method that had been trained for no more steps than the slider says, or its first. */
  checkpoint(method) {
    const { checkpoints } = this.models.models.find(model => model.method === method);
    return checkpoints.findLast(({ steps }) => steps <= this.moments[this.at]) ?? checkpoints[0];
  }

  renew() {
    this.moved.clear();
    return this.change({ star: Star.drawn(this.models.task) });
  }

  /** Puts a node somewhere else in the drawing. The graph stays what it is, and so does what the networks read. */
  move(at, [x, y]) {
    const inside = (value, size) => Math.min(Math.max(value, EDGE), size - EDGE);
    this.moved.set(at, [inside(x, WIDE), inside(y, high(this.star))]);
    this.drawQuestion();
  }

  /** A node that is gripped follows the pointer until that is lifted. */
  letDrag() {
    const point = event => {
      const box = this.question.querySelector("svg").getBoundingClientRect();
      const scale = WIDE / box.width;
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    };
    this.question.addEventListener("pointermove", event => {
      if (!this.gripped) return;
      const to = point(event);
      const [x, y] = this.gripped.place;
      if (!this.gripped.dragged && Math.hypot(to[0] - x, to[1] - y) < 20 + STILL) return;
      this.gripped.dragged = true;
      this.move(this.gripped.at, to);
    });
    for (const end of ["pointerup", "pointercancel"])
      window.addEventListener(end, () => (this.gripped = null));
  }

  choose(label) {
    if (this.chosen === null) return this.change({ chosen: label, forced: this.forced });
    const star = label === this.chosen ? this.star : this.star.exchanged(label, this.chosen);
    return this.change({ star, chosen: null });
  }

  /** Puts a network on an arm, and then shows it step by step; or lets it go. */
  force(method, row) {
    const { [method]: before, ...forced } = this.forced;
    if (row === before) return this.change({ forced });
    forced[method] = row;
    return this.change({ forced, followed: calm.matches ? null : method, shown: 2 });
  }

  /** Another question or another moment: all networks answer anew. */
  async change({ star = this.star, forced = {}, chosen = null, followed = null, shown = 0 }) {
    Object.assign(this, { star, forced, chosen, followed, shown });
    clearTimeout(this.following);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    this.drawQuestion();
    const found = {};
    for (const { method } of this.models.models) {
      const network = await this.models.load(this.checkpoint(method).file).catch(() => null);
      if (turn !== this.turn) return; // it was changed again while it was loading
      if (!network) return void (this.status.textContent = LOST);
      found[method] = ask(network, method, star, forced[method] ?? null);
    }
    this.found = found;
    this.drawAnswers();
    this.looks.show(star, found);
    this.say();
    this.follow();
  }

  /** Shows one more step of the network that was put on an arm, until all are there. */
  follow() {
    if (!this.followed || this.shown >= this.star.path.length) return;
    this.following = setTimeout(() => {
      this.shown += 1;
      this.drawAnswers();
      this.follow();
    }, 600);
  }

  drawQuestion() {
    const act = {
      choose: label => this.choose(label),
      move: (at, to) => this.move(at, to),
      grip: (at, place) => (this.gripped = { at, place, dragged: false }),
    };
    keepFocus(this.question, "data-label", () =>
      this.question.replaceChildren(drawQuestion(this.star, this.chosen, this.moved, act))
    );
    this.prompt.textContent = asText(this.star);
    const steps = this.moments[this.at].toLocaleString("en");
    this.moment.textContent = steps;
    this.slider.setAttribute("aria-valuetext", `${steps} training steps`);
  }

  drawAnswers() {
    for (const [method, { body, section }] of Object.entries(this.panels)) {
      const found = this.found[method];
      section.hidden = !found;
      if (!found) continue; // there is no such network for graphs of this kind
      const whole = this.star.path.length;
      const shown = method === this.followed ? this.shown : whole;
      const forced = this.forced[method] ?? null;
      const force = found.backwards ? null : row => this.force(method, row);
      const done = shown >= whole;
      const verdict = !done ? "follows …" : found.right ? "✓ the right path" : "✗ not the path";
      const trained = this.checkpoint(method).steps;
      keepFocus(body, "data-arm", () =>
        body.replaceChildren(
          drawAnswer(this.star, method, found, shown, force, forced),
          make("p", { class: done && found.right ? "play-verdict play-good" : "play-verdict" }, verdict),
          steps(this.star, found, shown, forced),
          make("p", { class: "play-trained" }, `after ${trained.toLocaleString("en")} training steps`),
          ...(found.ahead.length ? [rungs(this.star, method, found)] : [])
        )
      );
    }
  }

  /** The state in words. */
  say() {
    const chosen = this.chosen === null ? "" : `Label ${this.chosen} is chosen: choose another to exchange them. `;
    const steps = this.moments[this.at].toLocaleString("en");
    const asked = `From ${this.star.start} to ${this.star.goal}, after ${steps} training steps. `;
    const said = Object.entries(this.found).map(([method, found]) =>
      inWords(this.star, method, found, this.forced[method] ?? null)
    );
    this.status.textContent = chosen + asked + said.join(" ");
  }
}

/** Redraws what the focus is in, and puts it back where it was. */
function keepFocus(place, attribute, redraw) {
  const held = place.contains(document.activeElement) ? document.activeElement.getAttribute(attribute) : null;
  redraw();
  if (held !== null) place.querySelector(`[${attribute}="${held}"]`)?.focus();
}

/** The prompt as the networks read it. */
function asText(star) {
  return star.prompt.map(token => star.task.symbols[token]).join("").replace(/(\d)(?=\d)/g, "$1,");
}

/** A kind of graph in words. */
function kind({ degree, path_length: nodes }) {
  return `${degree} arms of ${nodes} nodes`;
}

/** Which training each network comes from. */
function listNetworks(place, shelf) {
  const heads = ["graph", "network", "training steps", "paths right", "run", "weights"];
  const rows = shelf.flatMap(({ task, models }) =>
    models.flatMap(({ method, checkpoints }, first) =>
      checkpoints.map(({ steps, run, right, file, bytes }, at) => {
        const link = make("a", { href: new URL(file, FOLDER).href, download: file }, `${Math.round(bytes / 1000)} kB`);
        const names = at ? ["", ""] : [first ? "" : kind(task), METHODS[method].name];
        const cells = [...names, steps.toLocaleString("en"), percent(right), make("code", {}, run), link];
        return make("tr", {}, cells.map(cell => make("td", {}, cell)));
      })
    )
  );
  const head = make("tr", {}, heads.map(name => make("th", { scope: "col" }, name)));
  place.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, rows)));
}

/** The picture that stands here without a script stays, folded, and comes out on paper. */
function fold(still) {
  const details = make("details", { class: "play-still" }, make("summary", {}, "The same as a still picture"));
  still.replaceWith(details);
  details.append(still);
}

async function start() {
  const place = document.getElementById("play");
  const kinds = await shelf();
  const [first] = kinds;
  await Promise.all(first.models.map(({ checkpoints }) => first.load(checkpoints.at(-1).file)));
  let endGame = () => {};
  const explorer = new Explorer(place, kinds, models => {
    endGame();
    endGame = startGame(document.getElementById("play-game"), models);
  });
  await explorer.take(first);
  const still = document.getElementById("fig-play");
  if (still) fold(still.closest("figure") ?? still);
  listNetworks(document.getElementById("play-networks"), kinds);
  document.documentElement.dataset.playing = "ready";
}

start().catch(error => {
  document.getElementById("play").append(make("p", { role: "status" }, LOST));
  console.warn(error);
});
