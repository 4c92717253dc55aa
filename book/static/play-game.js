/* The reader against the networks of one kind of graph: who finds the first step? */

import { Star } from "./star.js";
import { ask, METHODS } from "./play-answers.js";
import { bar, make, percent } from "./play-drawing.js";

const AT_ONCE = 100;

/** Begins anew; gives what ends it. */
export function startGame(place, models) {
  const players = models.models.map(({ method, checkpoints }) => {
    const { name } = METHODS[method];
    return { method, name, file: checkpoints.at(-1).file, right: 0, games: 0, shares: [] };
  });
  const reader = { method: "reader", name: "You", right: 0, games: 0, shares: [] };
  let star;
  let round = 0; // counts how often it was started again

  const button = (text, onclick) => make("button", { type: "button", onclick }, text);
  const edges = make("p", { class: "play-edges" });
  const choices = make("div", { class: "play-buttons", role: "group", "aria-label": "your first step" });
  const told = make("p", { class: "play-status", role: "status" });
  const score = make("tbody");
  const chart = make("div");
  const many = button(`Let the networks play ${AT_ONCE} graphs`, playMany);
  const heads = ["", "right", "of", "share"].map(text => (text ? make("th", { scope: "col" }, text) : make("td")));
  const table = make("table", { class: "play-score" }, make("thead", {}, make("tr", {}, heads)), score);
  const below = make("div", { class: "play-buttons" }, many, button("Start again", startAgain));
  place.replaceChildren(edges, choices, told, table, below, chart);

  /** A new graph, its first steps in the order of their labels, so that the place tells nothing. */
  function deal() {
    star = Star.drawn(models.task);
    const listed = star.edges.flatMap(([from, to]) => [make("span", {}, `${from} → ${to}`), " "]);
    const asked = make("strong", {}, `From ${star.start} to ${star.goal}.`);
    edges.replaceChildren("Edges: ", ...listed, asked, " Which step comes first?");
    const firsts = star.arms.map(arm => arm[0]).sort((a, b) => a - b);
    choices.replaceChildren(...firsts.map(label => button(String(label), () => choose(label))));
  }

  async function choose(label) {
    const right = label === star.path[1];
    reader.games += 1;
    reader.right += right;
    const found = await playOne(star);
    const others = players.map(({ name, method }) => `${name}: ${symbol(found[method].path[1])}`).join("; ");
    const verdict = `You chose ${label}: ${right ? "right" : "wrong"}. The path is ${star.path.join(", ")}.`;
    told.textContent = `${verdict} First steps of the networks: ${others}.`;
    showScore();
    const next = button("Next graph", () => {
      deal();
      choices.querySelector("button").focus();
    });
    choices.replaceChildren(next);
    next.focus();
  }

  const symbol = token => models.task.symbols[token];

  /** All networks answer one graph. */
  async function playOne(graph) {
    const found = {};
    for (const player of players) {
      const said = ask(await models.load(player.file), player.method, graph);
      player.games += 1;
      player.right += said.right;
      player.shares.push(player.right / player.games);
      found[player.method] = said;
    }
    return found;
  }

  async function playMany() {
    const mine = round;
    many.disabled = true;
    for (let i = 0; i < AT_ONCE; i++) {
      await playOne(Star.drawn(models.task));
      showScore();
      await new Promise(requestAnimationFrame);
      if (round !== mine) return;
    }
    many.disabled = false;
    const shares = players.map(({ name, right, games }) => `${name}: ${percent(right / games)} right`).join("; ");
    told.textContent = `After ${players[0].games} graphs: ${shares}. A coin: ${percent(1 / models.task.degree)}.`;
  }

  function showScore() {
    const rows = [reader, ...players].map(({ name, method, right, games }) => {
      const share = games ? right / games : 0;
      const numbers = [right, games].map(number => make("td", {}, String(number)));
      const last = make("td", {}, bar(share), games ? percent(share) : "–");
      return make("tr", { class: `play-${method}` }, make("th", { scope: "row" }, name), numbers, last);
    });
    score.replaceChildren(...rows);
    chart.replaceChildren(drawShares());
  }

  /** The share of right answers after each graph; the dashed line is a coin's. */
  function drawShares() {
    const [width, height] = [340, 96];
    const last = Math.max(AT_ONCE, players[0].shares.length);
    const y = share => 6 + (height - 12) * (1 - share);
    const x = game => 30 + ((width - 36) * game) / last;
    const coin = 1 / models.task.degree;
    const label = (share, text) =>
      make("text", { class: "play-note", x: 26, y: y(share) + 3.5, "font-size": 10, "text-anchor": "end" }, text);
    const lines = players.map(({ method, shares }) => {
      const points = shares.map((share, i) => `${x(i + 1)},${y(share)}`).join(" ");
      return make("polyline", { class: `play-line play-${method}`, points });
    });
    const look = { viewBox: `0 0 ${width} ${height}`, class: "play-shares" };
    return make(
      "svg",
      { ...look, role: "img", "aria-label": "Right paths after each graph" },
      make("line", { class: "play-coin", x1: x(0), x2: x(last), y1: y(coin), y2: y(coin) }),
      [label(1, "1"), label(coin, `1/${models.task.degree}`), label(0, "0")],
      lines
    );
  }

  function startAgain() {
    for (const player of [reader, ...players]) Object.assign(player, { right: 0, games: 0, shares: [] });
    round += 1;
    many.disabled = false;
    told.textContent = "";
    showScore();
    deal();
  }

  startAgain();
  return () => (round += 1);
}
