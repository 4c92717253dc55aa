/* The smallest Transformer you will ever read: a GPT-2-style decoder that reads one token at a time, on plain arrays.
   It computes what lib/lookahead/models/transformer.py does; a test holds the two together. */

/* ---- the file: a header in JSON that says where each tensor lies, then the numbers ---- */

export function readSafetensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const { __metadata__: metadata = {}, ...places } = header;
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(places)) {
    const bytes = buffer.slice(8 + length + begin, 8 + length + end);
    if (dtype !== "F16" && dtype !== "F32") throw new Error(`${name} is of type ${dtype}: F16 and F32 can be read`);
    const data = dtype === "F32" ? new Float32Array(bytes) : Float32Array.from(new Uint16Array(bytes), half);
    tensors[name] = { shape, data };
  }
  return { tensors, metadata };
}

const POWERS = Array.from({ length: 32 }, (_, exponent) => 2 ** (Math.max(1, exponent) - 25));

/** A number of 16 bits: one for the sign, five for the exponent, ten for the fraction. */
function half(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) + (exponent ? 1024 : 0);
  return (bits & 0x8000 ? -1 : 1) * fraction * POWERS[exponent];
}

/* ---- what a layer is made of: x is always one position's numbers ---- */

/** One row of a table: the embedding of a token or of a position. */
function row({ data, shape: [, width] }, index) {
  return data.subarray(index * width, (index + 1) * width);
}

function add(x, y) {
  return Float64Array.from(x, (value, i) => value + y[i]);
}

function dot(x, y) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

/** Every output is a weighted sum of all inputs. */
function linear({ weight: { data }, bias }, x) {
  const y = new Float64Array(bias.data);
  let place = 0;
  for (let out = 0; out < y.length; out++) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += data[place++] * x[i];
    y[out] += sum;
  }
  return y;
}

/** Mean 0 and variance 1, then a scale and a shift that were learnt. */
function normalize({ weight, bias }, x) {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  return x.map((value, i) => ((value - mean) / Math.sqrt(variance + 1e-5)) * weight.data[i] + bias.data[i]);
}

/** A smooth step: what is far below 0 becomes 0, what is far above stays. */
function gelu(x) {
  return x.map(v => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))));
}

/** Wider, bent, and narrow again: two layers with a smooth step between them. */
function think({ mlpIn, mlpOut }, x) {
  return linear(mlpOut, gelu(linear(mlpIn, x)));
}

/** Numbers of any size as probabilities. */
export function softmax(x) {
  const largest = Math.max(...x);
  const powers = x.map(value => Math.exp(value - largest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map(value => value / sum);
}

export function largest(x) {
  return x.indexOf(Math.max(...x));
}

/* ---- the network ---- */

export class Transformer {
  /** `heads` is how many of them attend side by side in a layer. */
  constructor(tensors, heads) {
    const layer = name => ({ weight: tensors[`${name}.weight`], bias: tensors[`${name}.bias`] });
    const count = pattern => Object.keys(tensors).filter(name => pattern.test(name)).length;
    this.heads = heads;
    this.tokens = tensors["model.token_embedding.weight"];
    this.positions = tensors["model.position_embedding.weight"];
    this.finalNorm = layer("model.final_norm");
    this.blocks = Array.from({ length: count(/^model\.blocks\.\d+\.mlp_in\.weight$/) }, (_, i) => ({
      attentionNorm: layer(`model.blocks.${i}.attention_norm`),
      queryKeyValue: layer(`model.blocks.${i}.attention.query_key_value`),
      out: layer(`model.blocks.${i}.attention.out`),
      mlpNorm: layer(`model.blocks.${i}.mlp_norm`),
      mlpIn: layer(`model.blocks.${i}.mlp_in`),
      mlpOut: layer(`model.blocks.${i}.mlp_out`),
    }));
    // One who was taught several tokens at once has a small network of its own for each later token.
    this.extra = Array.from({ length: count(/^heads\.\d+\.layers\.1\.weight$/) }, (_, i) => ({
      norm: layer(`heads.${i}.layers.0`),
      mlpIn: layer(`heads.${i}.layers.1`),
      mlpOut: layer(`heads.${i}.layers.3`),
    }));
  }
}

/** One reading of one sequence: it keeps what later tokens will look back at. */
export class Reading {
  constructor(model) {
    this.model = model;
    this.length = 0;
    this.kept = model.blocks.map(() => ({ keys: [], values: [] }));
  }

  /** The same reading once more, to go on from in another way. */
  fork() {
    const other = Object.assign(new Reading(this.model), this);
    other.kept = this.kept.map(({ keys, values }) => ({ keys: [...keys], values: [...values] }));
    return other;
  }

  /** Reads one more token. */
  read(token) {
    return this.take(row(this.model.tokens, token));
  }

  /** Takes in the embedding of a token, or a state of its own. Afterwards `state` is what the network has made of all. */
  take(embedding) {
    const { model } = this;
    let x = add(embedding, row(model.positions, this.length));
    this.attention = [];
    model.blocks.forEach((block, i) => {
      x = add(x, this.attend(block, this.kept[i], normalize(block.attentionNorm, x)));
      x = add(x, think(block, normalize(block.mlpNorm, x)));
    });
    this.state = x;
    this.length += 1;
    return this;
  }

  /** Looks back: each head takes from every earlier position as much of its value as its key fits the query. */
  attend(block, kept, x) {
    const width = x.length;
    const size = width / this.model.heads;
    const all = linear(block.queryKeyValue, x);
    kept.keys.push(all.subarray(width, 2 * width));
    kept.values.push(all.subarray(2 * width));
    const mixed = new Float64Array(width);
    const looks = [];
    for (let begin = 0; begin < width; begin += size) {
      const part = y => y.subarray(begin, begin + size);
      const query = part(all);
      const weights = softmax(kept.keys.map(key => dot(query, part(key)) / Math.sqrt(size)));
      weights.forEach((weight, place) => {
        for (let i = begin; i < begin + size; i++) mixed[i] += weight * kept.values[place][i];
      });
      looks.push(weights);
    }
    this.attention.push(looks); // [layer][head][position looked at], of the last token read
    return linear(block.out, mixed);
  }

  /** A number for every token: how well its embedding fits the state. The largest one is the answer. */
  logits(state = this.state) {
    const { tokens, finalNorm } = this.model;
    const normed = normalize(finalNorm, state);
    return Array.from({ length: tokens.shape[0] }, (_, token) => dot(normed, row(tokens, token)));
  }

  /** What an extra head says of the token `ahead` places after the next one. */
  logitsAhead(ahead) {
    const head = this.model.extra[ahead - 1];
    return this.logits(add(this.state, think(head, normalize(head.norm, this.state))));
  }
}

/* ---- answers ---- */

/** A prompt, read to its end. */
export function readPrompt(model, prompt) {
  const reading = new Reading(model);
  for (const token of prompt) reading.read(token);
  return reading;
}

/** The answer, token by token: each is read before the next is asked for. The first ones can be forced. Before the
    second token a network can plan. */
export function answer(prompt, length, given = [], planned = 0) {
  const reading = prompt.fork();
  const steps = [];
  for (let i = 0; i < length; i++) {
    const plan = i === 1 ? makePlan(reading, planned) : [];
    const logits = reading.logits();
    const token = i < given.length ? given[i] : largest(logits);
    const { attention } = reading;
    steps.push({ token, logits, probabilities: softmax(logits), attention, plan });
    if (i + 1 < length) reading.read(token);
  }
  return steps;
}

/** The network reads its own state, as often as it is told. What the states say is its plan, from the goal back. */
function makePlan(reading, planned) {
  const plan = [];
  for (let i = 0; i < planned; i++) {
    plan.push({ logits: reading.logits(), attention: reading.attention });
    reading.take(reading.state);
  }
  return plan;
}

/** What the network and its extra heads say of all tokens of the answer, before any of them is there. */
export function foresee(prompt) {
  const ahead = prompt.model.extra.map((_, i) => prompt.logitsAhead(i + 1));
  return [prompt.logits(), ...ahead];
}
