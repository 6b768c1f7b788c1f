// The network of Section 4.1 and its training: forward pass, backward pass, SGD, Algorithms 1 and 2, in float32.
// One function without surroundings: its text also makes the Web Worker (ui.js), which browsers would not load
// from a local file. Weights are held input by output, (inputs, units); rows are as wide as a multiple of eight.
globalThis.bnLiveEngine = function bnLiveEngine() {
  "use strict";

  const HIDDEN = 100;
  const CLASSES = 10;
  const EPS = 1e-5;
  const MOMENTUM = 0.1; // of the moving averages
  const LEVELS = [0.15, 0.5, 0.85]; // of the percentiles of Figure 1b and 1c
  const PROBE = 300; // fixed training images that distributions are taken over
  const POPULATION = 1200; // training images, about, that Algorithm 2 averages over, in mini-batches
  const HISTOGRAM = { low: -8, high: 8, bins: 64 };
  const SATURATED = 4; // a sigmoid's input beyond this, as in the book's picture of saturation
  const PAGES = 512; // of 64 KiB: the largest setting needs 20 MiB

  const wide = (count) => Math.ceil(count / 8) * 8;

  // Random numbers: mulberry32, and by Box and Muller those of a Gaussian.
  const random = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const gaussian = (uniform) => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const permutation = (count, uniform) => {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(uniform() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  };

  // The exponential to within a float, in half the time of Math.exp: a power of two, and a series for what is left.
  const POWERS = Float64Array.from({ length: 257 }, (_, i) => 2 ** (i - 128));
  const exp = (x) => {
    const most = x > 87 ? 87 : x < -87 ? -87 : x;
    const power = Math.floor(most * Math.LOG2E + 0.5);
    const r = most - power * Math.LN2;
    return POWERS[power + 128] * (1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r / 5040)))))));
  };

  // Matrix products: C = A B, where C and B have rows of floats beside one another, A any two strides. All is in
  // bytes but the counts; `rows` is a multiple of 4, `columns` of 8. WebAssembly makes them four floats at a time.
  const PARAMETERS = ["a", "aRow", "aColumn", "b", "bRow", "c", "cRow", "rows", "columns", "inner"];
  const assembled = () => {
    const integers = [...PARAMETERS, "i", "j", "k", "pb", "pc", "p0", "p1", "p2", "p3"];
    const vectors = ["left", "right", "x", ...Array.from({ length: 8 }, (_, i) => `sum${i}`)];
    const place = Object.fromEntries([...integers, ...vectors].map((name, index) => [name, index]));
    const get = (name) => [0x20, place[name]];
    const set = (name) => [0x21, place[name]];
    const constant = (value) => [0x41, value]; // below 64
    const [ADD, TIMES, LESS] = [[0x6a], [0x6c], [0x49]];
    const load = (offset) => [0xfd, 0x00, 0x02, offset];
    const store = (offset) => [0xfd, 0x0b, 0x02, offset];
    const SPREAD = [0xfd, 0x09, 0x02, 0x00]; // one float to all four
    const [ADD4, TIMES4] = [[0xfd, 0xe4, 0x01], [0xfd, 0xe6, 0x01]];
    const ZERO = [0xfd, 0x0c, ...Array(16).fill(0)];
    const increase = (name, ...by) => [...get(name), ...by.flat(), ...ADD, ...set(name)];
    const loop = (counter, by, limit, ...body) => [
      ...constant(0), ...set(counter), 0x03, 0x40, ...body.flat(),
      ...increase(counter, constant(by)), ...get(counter), ...get(limit), ...LESS, 0x0d, 0x00, 0x0b,
    ];
    const at = (start, ...parts) => [...get(start), ...parts.flatMap(([index, stride]) => [...get(index), ...stride, ...TIMES, ...ADD])];
    const rows = [0, 1, 2, 3];
    const code = [
      ...loop("i", 4, "rows", loop("j", 8, "columns",
        at("a", ["i", get("aRow")]), set("p0"),
        rows.slice(1).flatMap((r) => [...get(`p${r - 1}`), ...get("aRow"), ...ADD, ...set(`p${r}`)]),
        at("b", ["j", constant(4)]), set("pb"),
        rows.flatMap((r) => [...ZERO, ...set(`sum${2 * r}`), ...ZERO, ...set(`sum${2 * r + 1}`)]),
        loop("k", 1, "inner",
          get("pb"), load(0), set("left"), get("pb"), load(16), set("right"),
          rows.flatMap((r) => [
            ...get(`p${r}`), ...SPREAD, ...set("x"),
            ...get(`sum${2 * r}`), ...get("x"), ...get("left"), ...TIMES4, ...ADD4, ...set(`sum${2 * r}`),
            ...get(`sum${2 * r + 1}`), ...get("x"), ...get("right"), ...TIMES4, ...ADD4, ...set(`sum${2 * r + 1}`),
            ...increase(`p${r}`, get("aColumn")),
          ]),
          increase("pb", get("bRow"))),
        at("c", ["i", get("cRow")], ["j", constant(4)]), set("pc"),
        rows.flatMap((r) => [
          ...get("pc"), ...get(`sum${2 * r}`), ...store(0), ...get("pc"), ...get(`sum${2 * r + 1}`), ...store(16),
          ...increase("pc", get("cRow")),
        ]))),
      0x0b,
    ];
    const size = (count) => (count < 128 ? [count] : [(count & 127) | 128, ...size(count >> 7)]);
    const sized = (bytes) => [...size(bytes.length), ...bytes];
    const text = (letters) => sized([...letters].map((letter) => letter.charCodeAt(0)));
    const section = (number, ...content) => [number, ...sized(content.flat())];
    const locals = [2, integers.length - PARAMETERS.length, 0x7f, vectors.length, 0x7b];
    return new Uint8Array([
      0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
      ...section(1, [1, 0x60], sized(PARAMETERS.map(() => 0x7f)), [0]),
      ...section(2, [1], text("m"), text("m"), [2, 0], size(1)),
      ...section(3, [1, 0]),
      ...section(7, [1], text("multiply"), [0, 0]),
      ...section(10, [1], sized([...locals, ...code])),
    ]);
  };
  // The same where there is no WebAssembly with vectors: blocks of four by four.
  const plainMultiply = (f) => (a, aRow, aColumn, b, bRow, c, cRow, rows, columns, inner) => {
    const round = Math.fround;
    [a, aRow, aColumn, b, bRow, c, cRow] = [a, aRow, aColumn, b, bRow, c, cRow].map((bytes) => bytes >> 2);
    for (let i = 0; i < rows; i += 4) {
      for (let j = 0; j < columns; j += 4) {
        const sums = new Float32Array(16);
        for (let r = 0; r < 4; r++) {
          let [s0, s1, s2, s3] = [round(0), round(0), round(0), round(0)];
          let p = a + (i + r) * aRow;
          let q = b + j;
          for (let k = 0; k < inner; k++, p += aColumn, q += bRow) {
            const x = f[p];
            s0 = round(s0 + round(x * f[q]));
            s1 = round(s1 + round(x * f[q + 1]));
            s2 = round(s2 + round(x * f[q + 2]));
            s3 = round(s3 + round(x * f[q + 3]));
          }
          sums.set([s0, s1, s2, s3], 4 * r);
        }
        for (let r = 0; r < 4; r++) f.set(sums.subarray(4 * r, 4 * r + 4), c + (i + r) * cRow + j);
      }
    }
  };

  // All floats of a run, in one memory, handed out one after the other; `clear` takes all of them back. Without
  // `vectors` it does without WebAssembly.
  const memory = (vectors = true) => {
    let multiply, floats;
    try {
      if (!vectors) throw new Error("not asked for");
      const m = new WebAssembly.Memory({ initial: PAGES });
      ({ multiply } = new WebAssembly.Instance(new WebAssembly.Module(assembled()), { m: { m } }).exports);
      floats = new Float32Array(m.buffer);
    } catch {
      floats = new Float32Array(PAGES * 16384);
      multiply = plainMultiply(floats);
    }
    let used = 0;
    const clear = () => {
      used = 0;
      floats.fill(0);
    };
    const take = (count) => {
      const from = used;
      used += wide(count);
      if (used > floats.length) throw new Error("the settings need more memory than there is");
      return floats.subarray(from, used);
    };
    // A matrix has `columns` used of `width` in each row; rows beyond `rows` fill up the last four.
    const matrix = (rows, columns) => {
      const width = wide(columns);
      return { rows, columns, width, data: take(Math.ceil(rows / 4) * 4 * width) };
    };
    const product = (a, b, c, rows, inner, transposed = false) => {
      const [aRow, aColumn] = transposed ? [4, 4 * a.width] : [4 * a.width, 4];
      multiply(a.data.byteOffset, aRow, aColumn, b.data.byteOffset, 4 * b.width, c.data.byteOffset, 4 * c.width,
        Math.ceil(rows / 4) * 4, c.width, inner);
    };
    return { clear, take, matrix, product };
  };

  // A network's parameters. `norm` is null, "before" or "after" the nonlinearity; a layer whose sum is normalized
  // needs no bias. BN has gamma and beta, moving averages, and the population statistics of Algorithm 2.
  const network = (mem, { inputs, depth, norm }) => {
    const sizes = [inputs, ...Array(depth).fill(HIDDEN), CLASSES];
    const layers = sizes.slice(1).map((units, l) => {
      const last = l === depth;
      const normalized = norm && !last;
      const layer = {
        weight: mem.matrix(sizes[l], units),
        gradient: mem.matrix(sizes[l], units),
        back: l ? mem.matrix(units, sizes[l]) : null, // the weights the other way round, for the gradient
        bias: normalized && norm === "before" ? null : mem.take(units),
      };
      if (normalized) {
        Object.assign(layer, { gamma: mem.take(units).fill(1), beta: mem.take(units), std: mem.take(units) });
        for (const kind of ["moving", "population"]) layer[kind] = { mean: mem.take(units), variance: mem.take(units).fill(1) };
        layer.batch = { mean: mem.take(units), variance: mem.take(units) };
      }
      return layer;
    });
    return { norm, layers, failed: false };
  };

  // Room for what a pass leaves behind, one for all networks of `depth` and any mini-batch of up to `rows`.
  const workspace = (mem, depth, rows) => {
    const matrices = () => Array.from({ length: depth }, () => mem.matrix(rows, HIDDEN));
    return {
      sums: matrices(), // Wu (+ b)
      normal: matrices(), // x̂
      inner: matrices(), // the nonlinearity's input, where BN comes before it; else its output
      outputs: matrices(),
      logits: mem.matrix(rows, CLASSES),
      dLogits: mem.matrix(rows, CLASSES),
      dOutput: mem.matrix(rows, HIDDEN),
      dSum: mem.matrix(rows, HIDDEN),
    };
  };

  const addBias = (matrix, bias, rows) => {
    const { data, width } = matrix;
    for (let i = 0; i < rows * width; i += width) for (let j = 0; j < width; j++) data[i + j] += bias[j];
  };
  const activate = (from, to, rows, relu) => {
    const [x, y, end] = [from.data, to.data, rows * from.width];
    if (relu) for (let i = 0; i < end; i++) y[i] = x[i] > 0 ? x[i] : 0;
    else for (let i = 0; i < end; i++) y[i] = 1 / (1 + exp(-x[i]));
  };
  const activateBack = (output, d, rows, relu) => {
    const [y, g, end] = [output.data, d.data, rows * output.width];
    if (relu) for (let i = 0; i < end; i++) g[i] = y[i] > 0 ? g[i] : 0;
    else for (let i = 0; i < end; i++) g[i] *= y[i] * (1 - y[i]);
  };

  // Algorithm 1, lines 1 and 2, over the first `rows` rows. Sums are in double precision.
  const column = { a: new Float64Array(wide(HIDDEN)), b: new Float64Array(wide(HIDDEN)) };
  const batchStatistics = ({ data, width }, rows, { mean, variance }) => {
    const { a: sum, b: squares } = column;
    sum.fill(0);
    squares.fill(0);
    for (let i = 0; i < rows * width; i += width) for (let j = 0; j < width; j++) sum[j] += data[i + j];
    for (let j = 0; j < width; j++) sum[j] /= rows;
    for (let i = 0; i < rows * width; i += width) {
      for (let j = 0; j < width; j++) {
        const centred = data[i + j] - sum[j];
        squares[j] += centred * centred;
      }
    }
    for (let j = 0; j < width; j++) [mean[j], variance[j]] = [sum[j], squares[j] / rows];
  };
  // Lines 3 and 4, with these statistics.
  const normalize = (from, normal, to, rows, layer, { mean, variance }) => {
    const { gamma, beta, std } = layer;
    const [x, xHat, y, width] = [from.data, normal.data, to.data, from.width];
    for (let j = 0; j < width; j++) std[j] = Math.sqrt(variance[j] + EPS);
    for (let i = 0; i < rows * width; i += width) {
      for (let j = 0; j < width; j++) {
        xHat[i + j] = (x[i + j] - mean[j]) / std[j];
        y[i + j] = gamma[j] * xHat[i + j] + beta[j];
      }
    }
  };
  // The gradient through Algorithm 1; dY is replaced by dX, and gamma and beta take their step.
  const normalizeBack = (normal, d, rows, layer, rate) => {
    const { gamma, beta, std } = layer;
    const { a: dBeta, b: dGamma } = column;
    const [xHat, g, width] = [normal.data, d.data, d.width];
    dBeta.fill(0);
    dGamma.fill(0);
    for (let i = 0; i < rows * width; i += width) {
      for (let j = 0; j < width; j++) {
        dBeta[j] += g[i + j];
        dGamma[j] += g[i + j] * xHat[i + j];
      }
    }
    for (let i = 0; i < rows * width; i += width) {
      for (let j = 0; j < width; j++) {
        g[i + j] = (gamma[j] / std[j]) * (g[i + j] - dBeta[j] / rows - (xHat[i + j] * dGamma[j]) / rows);
      }
    }
    for (let j = 0; j < width; j++) {
      gamma[j] -= rate * dGamma[j];
      beta[j] -= rate * dBeta[j];
    }
  };

  // From the inputs `x` to the logits. `statistics` says by what BN normalizes: "batch", "moving", "population".
  const forward = (mem, space, net, x, rows, relu, statistics = "batch") => {
    let u = x;
    const end = net.layers.length - 1;
    for (let l = 0; l < end; l++) {
      const layer = net.layers[l];
      const [sum, normal, inner, output] = [space.sums[l], space.normal[l], space.inner[l], space.outputs[l]];
      mem.product(u, layer.weight, sum, rows, u.columns);
      if (layer.bias) addBias(sum, layer.bias, rows);
      const normalizing = (from, to) => {
        if (statistics === "batch") batchStatistics(from, rows, layer.batch);
        normalize(from, normal, to, rows, layer, layer[statistics]);
      };
      if (net.norm === "before") {
        normalizing(sum, inner);
        activate(inner, output, rows, relu);
      } else if (net.norm === "after") {
        activate(sum, inner, rows, relu);
        normalizing(inner, output);
      } else activate(sum, output, rows, relu);
      u = output;
    }
    mem.product(u, net.layers[end].weight, space.logits, rows, u.columns);
    addBias(space.logits, net.layers[end].bias, rows);
    return space.logits;
  };

  // Mean cross-entropy (nats) and how many are right; `d` receives the loss's gradient by the logits.
  const softmaxLoss = (logits, labels, rows, d) => {
    const { data, width } = logits;
    let loss = 0;
    let right = 0;
    for (let n = 0; n < rows; n++) {
      const at = n * width;
      let best = 0;
      for (let c = 1; c < CLASSES; c++) if (data[at + c] > data[at + best]) best = c;
      let total = 0;
      for (let c = 0; c < CLASSES; c++) total += Math.exp(data[at + c] - data[at + best]);
      loss += Math.log(total) + data[at + best] - data[at + labels[n]];
      if (best === labels[n]) right += 1;
      if (d) {
        for (let c = 0; c < CLASSES; c++) {
          d.data[at + c] = (Math.exp(data[at + c] - data[at + best]) / total - (c === labels[n])) / rows;
        }
      }
    }
    return { loss: loss / rows, right };
  };

  const follow = (moving, batch, rows) => {
    for (let j = 0; j < moving.mean.length; j++) {
      moving.mean[j] += MOMENTUM * (batch.mean[j] - moving.mean[j]);
      moving.variance[j] += MOMENTUM * (batch.variance[j] * (rows / (rows - 1)) - moving.variance[j]);
    }
  };
  const transpose = (from, to) => {
    for (let i = 0; i < from.rows; i++) for (let j = 0; j < from.columns; j++) to.data[j * to.width + i] = from.data[i * from.width + j];
  };

  // One step of SGD; returns the loss before it and the norm of each layer's gradient by its weights.
  const trainStep = (mem, space, net, x, labels, rows, { rate, relu }) => {
    forward(mem, space, net, x, rows, relu);
    const { loss } = softmaxLoss(space.logits, labels, rows, space.dLogits);
    const norms = [];
    let d = space.dLogits;
    for (let l = net.layers.length - 1; l >= 0; l--) {
      const layer = net.layers[l];
      if (l < space.sums.length) {
        const output = net.norm === "after" ? space.inner[l] : space.outputs[l];
        if (net.norm === "after") normalizeBack(space.normal[l], d, rows, layer, rate);
        activateBack(output, d, rows, relu);
        if (net.norm === "before") normalizeBack(space.normal[l], d, rows, layer, rate);
        if (net.norm) follow(layer.moving, layer.batch, rows);
      }
      const u = l ? space.outputs[l - 1] : x;
      const { weight, gradient, bias } = layer;
      mem.product(u, d, gradient, weight.rows, rows, true);
      const before = d;
      if (l) {
        d = d === space.dSum ? space.dOutput : space.dSum;
        transpose(weight, layer.back);
        mem.product(before, layer.back, d, rows, weight.columns);
      }
      let squares = 0;
      for (let i = 0; i < weight.data.length; i++) {
        squares += gradient.data[i] * gradient.data[i];
        weight.data[i] -= rate * gradient.data[i];
      }
      norms[l] = Math.sqrt(squares);
      if (bias) {
        for (let j = 0; j < weight.columns; j++) {
          let total = 0;
          for (let i = j; i < rows * before.width; i += before.width) total += before.data[i];
          bias[j] -= rate * total;
        }
      }
    }
    return { loss, norms };
  };

  // Algorithm 2, lines 8 to 10: averages over mini-batches of training data, the parameters as they are.
  const populationStatistics = (mem, space, net, batches, rows, relu) => {
    const layers = net.layers.slice(0, -1);
    const sums = layers.map(() => ({ mean: new Float64Array(wide(HIDDEN)), variance: new Float64Array(wide(HIDDEN)) }));
    batches.forEach((x) => {
      forward(mem, space, net, x, rows, relu);
      layers.forEach(({ batch }, l) => {
        for (let j = 0; j < batch.mean.length; j++) {
          sums[l].mean[j] += batch.mean[j] / batches.length;
          sums[l].variance[j] += (batch.variance[j] * rows) / (rows - 1) / batches.length;
        }
      });
    });
    layers.forEach(({ population }, l) => {
      population.mean.set(sums[l].mean);
      population.variance.set(sums[l].variance);
    });
  };

  const initialise = (net, std, seed) => {
    const uniform = random(seed);
    net.layers.forEach(({ weight }) => {
      for (let i = 0; i < weight.rows; i++) for (let j = 0; j < weight.columns; j++) weight.data[i * weight.width + j] = std * gaussian(uniform);
    });
  };

  // Linear between neighbours, as torch.quantile; `values` is sorted.
  const quantile = (values, level) => {
    const place = level * (values.length - 1);
    const below = Math.floor(place);
    const above = Math.min(below + 1, values.length - 1);
    return values[below] + (place - below) * (values[above] - values[below]);
  };

  // Two networks, without and with BN, that begin with the same weights and see the same mini-batches.
  // `data` has { pixels, train, test }, both { images: Uint8Array of 0 and 1, labels }.
  const pair = (data, settings, mem = memory()) => {
    const { rate, std, batch, depth, relu, place, seed } = settings;
    const { pixels, train, test } = data;
    const count = { train: train.labels.length, test: test.labels.length };
    mem.clear();
    const rows = Math.max(batch, count.test, PROBE);
    const space = workspace(mem, depth, rows);
    const nets = [null, place].map((norm) => network(mem, { inputs: pixels, depth, norm }));
    nets.forEach((net) => initialise(net, std, seed));

    const gather = (x, order, from, size) => {
      for (let n = 0; n < size; n++) {
        const at = order[from + n] * pixels;
        x.data.set(train.images.subarray(at, at + pixels), n * x.width);
      }
      return x;
    };
    const x = mem.matrix(batch, pixels);
    const labels = new Uint8Array(batch);
    const everything = mem.matrix(count.test, pixels);
    everything.data.set(test.images);
    const members = permutation(count.train, random(seed + 7919));
    const probe = gather(mem.matrix(PROBE, pixels), members, 0, PROBE);
    const population = Array.from({ length: Math.min(Math.ceil(POPULATION / batch), Math.floor(count.train / batch)) },
      (_, i) => gather(mem.matrix(batch, pixels), members, i * batch, batch));

    const perEpoch = Math.floor(count.train / batch);
    let order;
    let step = 0;
    const losses = [0, 0];
    let summed = 0;
    let norms = nets.map(() => []);

    // One step of both networks on the next mini-batch; returns their losses.
    const next = () => {
      const [epoch, position] = [Math.floor(step / perEpoch), step % perEpoch];
      if (!position || !order) order = permutation(count.train, random(seed * 1_000_003 + epoch + 1));
      gather(x, order, position * batch, batch);
      for (let n = 0; n < batch; n++) labels[n] = train.labels[order[position * batch + n]];
      return take(x, labels);
    };
    const take = (inputs, targets) => {
      step += 1;
      summed += 1;
      return nets.map((net, which) => {
        if (net.failed) return NaN;
        const { loss, norms: found } = trainStep(mem, space, net, inputs, targets, batch, { rate, relu });
        if (!Number.isFinite(loss)) net.failed = true;
        losses[which] += loss;
        norms[which] = found;
        return loss;
      });
    };

    const accuracy = (net, statistics) => {
      forward(mem, space, net, everything, count.test, relu, statistics);
      return softmaxLoss(space.logits, test.labels, count.test).right / count.test;
    };
    // What the last nonlinearity receives, over the probe.
    const distribution = (net) => {
      forward(mem, space, net, probe, PROBE, relu);
      const { data: values, width } = (net.norm === "before" ? space.inner : space.sums).at(-1);
      const percentiles = LEVELS.map(() => new Float32Array(HIDDEN));
      const saturated = new Float32Array(HIDDEN);
      const histogram = new Uint32Array(HISTOGRAM.bins);
      const one = new Float32Array(PROBE);
      const { low, high, bins } = HISTOGRAM;
      for (let unit = 0; unit < HIDDEN; unit++) {
        for (let n = 0; n < PROBE; n++) {
          const value = values[n * width + unit];
          one[n] = value;
          if (relu ? value <= 0 : Math.abs(value) > SATURATED) saturated[unit] += 1 / PROBE;
          histogram[Math.min(bins - 1, Math.max(0, Math.floor(((value - low) / (high - low)) * bins)))] += 1;
        }
        one.sort();
        LEVELS.forEach((level, i) => { percentiles[i][unit] = quantile(one, level); });
      }
      return { percentiles, saturated, histogram };
    };
    const measure = () => {
      const found = nets.map((net, which) => {
        const loss = summed ? losses[which] / summed : NaN;
        if (net.failed) return { failed: true, loss: NaN, norms: [], accuracy: { population: 1 / CLASSES, moving: 1 / CLASSES, batch: 1 / CLASSES } };
        const result = { failed: false, loss, norms: norms[which], ...distribution(net), accuracy: {} };
        if (net.norm) {
          populationStatistics(mem, space, net, population, batch, relu);
          for (const kind of ["population", "moving", "batch"]) result.accuracy[kind] = accuracy(net, kind);
        } else result.accuracy.population = result.accuracy.moving = result.accuracy.batch = accuracy(net);
        return result;
      });
      losses.fill(0);
      summed = 0;
      return { step, nets: found };
    };
    return { next, take, measure, nets, mem, space, get step() { return step; } };
  };

  // When to measure next: at first after every step, then after a tenth more, then after `every`.
  const after = (step, every = 50) => Math.max(step + 1, Math.min(Math.round(step * 1.1), step + every));

  // Answers messages: { start: settings, data, run }, { until: step }, { more: steps }, { pause }. Between slices of
  // training it listens.
  const serve = (port) => {
    const SLICE = 30; // ms
    const mem = memory();
    let training = null;
    let run, data, due, until, told;
    let going = false;
    const wake = new MessageChannel();
    const report = () => {
      port.postMessage({ run, report: training.measure() });
      told = training.step;
      due = after(told);
    };
    wake.port1.onmessage = () => {
      if (!going) return;
      const end = performance.now() + SLICE;
      while (training.step < until && performance.now() < end) {
        training.next();
        if (training.step >= due || training.step === until) report();
      }
      if (training.step < until) wake.port2.postMessage(0);
      else {
        going = false;
        port.postMessage({ run, ended: training.step });
      }
    };
    port.onmessage = ({ data: message }) => {
      if (message.data) data = message.data;
      if (message.start) {
        going = false;
        run = message.run;
        training = pair(data, message.start, mem);
        report();
      } else if (message.until || message.more) {
        until = message.until ?? (going ? until : training.step) + message.more;
        if (!going) wake.port2.postMessage(0);
        going = true;
      } else if (message.pause) {
        going = false;
        if (training.step > told) report();
        port.postMessage({ run, ended: training.step });
      }
    };
  };

  return {
    HIDDEN, HISTOGRAM, PROBE, SATURATED,
    memory, workspace, network, trainStep, populationStatistics, forward, softmaxLoss, pair, serve,
  };
};
