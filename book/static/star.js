/* The path-star task (lib/lookahead/tasks/path_star), as far as a page needs it: a graph, its prompt, and
   whether the networks were kept from training on it. A test holds them together. */

function shuffled(things) {
  const mixed = [...things];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [mixed[i], mixed[j]] = [mixed[j], mixed[i]];
  }
  return mixed;
}

const range = count => Array.from({ length: count }, (_, i) => i);

/** A graph: its start, its arms (each from the start's neighbour to its end), which of them ends in the goal, and in
    which order the prompt lists the edges. */
export class Star {
  constructor(task, start, arms, right, order) {
    Object.assign(this, { task, start, arms, right, order });
  }

  /** A graph that no network was trained on, drawn by chance. */
  static drawn(task) {
    for (;;) {
      const [start, ...rest] = shuffled(range(task.num_nodes));
      const long = task.path_length - 1;
      const arms = range(task.degree).map(arm => rest.slice(arm * long, (arm + 1) * long));
      const right = Math.floor(Math.random() * task.degree);
      const star = new Star(task, start, arms, right, shuffled(range(task.degree * long)));
      if (star.heldOut) return star;
    }
  }

  with(changes) {
    return Object.assign(new Star(this.task, this.start, this.arms, this.right, this.order), changes);
  }

  /** The same graph, its edges listed in another order. */
  shuffled() {
    return this.with({ order: shuffled(this.order) });
  }

  /** The same question with two labels exchanged; a label that the graph lacks may be one of them. */
  exchanged(one, other) {
    const change = label => (label === one ? other : label === other ? one : label);
    return this.with({ start: change(this.start), arms: this.arms.map(arm => arm.map(change)) });
  }

  /** The same graph with the end of the next arm as its goal. */
  aimed() {
    return this.with({ right: (this.right + 1) % this.arms.length });
  }

  get goal() {
    return this.arms[this.right].at(-1);
  }

  /** What is to be answered. */
  get path() {
    return [this.start, ...this.arms[this.right]];
  }

  /** From and to, in the order of the prompt. */
  get edges() {
    const all = this.arms.flatMap(arm => arm.map((node, i) => [i ? arm[i - 1] : this.start, node]));
    return this.order.map(edge => all[edge]);
  }

  /** As tokens: the edges, then start and goal. */
  get prompt() {
    const { edge, question, answer } = this.task.marks;
    const listed = this.edges.flatMap(([from, to]) => [from, to, edge]);
    return [...listed.slice(0, -1), question, this.start, this.goal, answer];
  }

  /** Whether it is one of those that are kept for testing: told by a hash of its labels, as offsets from the start. */
  get heldOut() {
    const { num_nodes: labels, salts, held } = this.task;
    const states = this.arms.map(arm =>
      arm.reduce((state, node, i) => scattered(state ^ (((node - this.start + labels) % labels) + salts[i])), 0)
    );
    const hashes = states.map((state, arm) => scattered(state ^ salts.at(arm === this.right ? -1 : -2)));
    return hashes.reduce((sum, hash) => sum + hash, this.start) % labels < held;
  }
}

/** A whole number of 32 bits as another one; neighbours land far apart (lib/lookahead/random.py, `mix`). */
function scattered(word) {
  word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
  word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
  return (word ^ (word >>> 15)) >>> 0;
}
