// "Judge it yourself": a claim judged again by a reader's effect and level, from the values on its page.
//
// The arithmetic is that of stats.py (mean_interval, p_greater, holm, restricted_mean_ratio) and of claims.verdict; a
// test holds it to them. Its input is the JSON of the page (sphinxext/judging.py): `sample` has `values` with `counts`,
// or two `groups` of steps, on the scale on which the interval is Student's (`logs`: of logarithms); `share` is the
// part of the error that its interval may use; `others` are the p-values of a family's other claims.
(() => {
  "use strict";

  // Student's t

  const LANCZOS = [676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];

  const logGamma = (x) => {
    if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
    const sum = LANCZOS.reduce((all, c, i) => all + c / (x + i), 0.99999999999980993);
    const t = x + 6.5;
    return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
  };

  /** The regularized incomplete beta function, by its continued fraction (Lentz). */
  const incompleteBeta = (x, a, b) => {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
    const TINY = 1e-300;
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
    const away = (value) => (Math.abs(value) < TINY ? TINY : value);
    let c = 1;
    let d = 1 / away(1 - ((a + b) * x) / (a + 1));
    let fraction = d;
    for (let m = 1; m < 1000; m += 1) {
      const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 / away(1 + even * d);
      c = away(1 + even / c);
      fraction *= d * c;
      const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 / away(1 + odd * d);
      c = away(1 + odd / c);
      fraction *= d * c;
      if (Math.abs(d * c - 1) < 1e-15) break;
    }
    return front * fraction;
  };

  /** The probability of more than `t`. */
  const tail = (t, freedom) => {
    const half = incompleteBeta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2;
    return t < 0 ? 1 - half : half;
  };

  /** The value that is exceeded with probability `p` < 1/2. */
  const quantile = (p, freedom) => {
    let [low, high] = [0, 1];
    while (tail(high, freedom) > p) high *= 2;
    for (let i = 0; i < 200 && high - low > 1e-15 * high; i += 1) {
      const middle = (low + high) / 2;
      if (tail(middle, freedom) > p) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  };

  // Intervals and verdicts

  const moments = (values, counts) => {
    const n = counts.reduce((sum, count) => sum + count, 0);
    const mean = values.reduce((sum, value, i) => sum + counts[i] * value, 0) / n;
    const squares = values.reduce((sum, value, i) => sum + counts[i] * (value - mean) ** 2, 0);
    return { n, mean, variance: n > 1 ? squares / (n - 1) : NaN };
  };

  /** Estimate and half width on the sample's own scale. */
  const spread = (sample, level) => {
    const doubt = ((1 - level) * sample.share) / 2;
    if (sample.groups) {
      const [slow, fast] = sample.groups.map((steps) => moments(steps, steps.map(() => 1)));
      const estimate = Math.log(slow.mean / fast.mean);
      if (Math.min(slow.n, fast.n) === 1) return [estimate, Infinity];
      const squares = [slow, fast].map(({ n, mean, variance }) => variance / n / mean ** 2);
      const all = squares[0] + squares[1];
      if (!all) return [estimate, sample.resolution];
      const freedom = all ** 2 / (squares[0] ** 2 / (slow.n - 1) + squares[1] ** 2 / (fast.n - 1));
      return [estimate, sample.resolution + quantile(doubt, freedom) * Math.sqrt(all)];
    }
    const { n, mean, variance } = moments(sample.values, sample.counts);
    if (n === 1) return [mean, Infinity];
    return [mean, (variance && quantile(doubt, n - 1) * Math.sqrt(variance / n)) + sample.resolution / 2];
  };

  /** [estimate, low, high] at `level`; as registered where the values do not make the interval. */
  const interval = (known, level) => {
    if (!known.sample) return known.interval.map((end, i) => end ?? [NaN, -Infinity, Infinity][i]);
    const [middle, half] = spread(known.sample, level);
    const ends = [middle, middle - half, middle + half];
    return known.sample.logs ? ends.map(Math.exp) : ends;
  };

  /** The p-value of "the mean is at most `threshold`", or with `sign` -1 of "it is at least that". */
  const pBeyond = (sample, threshold, sign) => {
    const { n, mean, variance } = moments(sample.values, sample.counts);
    if (n < 2) return 1;
    const error = Math.max(Math.sqrt(variance), sample.resolution / Math.sqrt(12)) / Math.sqrt(n);
    const beyond = sign * (mean - threshold) - sample.resolution / 2;
    if (!error) return beyond > 0 ? 0 : 1;
    return tail(beyond / error, n - 1);
  };

  /** Holm's adjusted p-value of `own` in a family with `others`. */
  const holm = (own, others) => {
    const sorted = [own, ...others].sort((a, b) => a - b);
    const adjusted = sorted.map((p, i) => p * (sorted.length - i));
    return Math.min(1, Math.max(...adjusted.slice(0, sorted.indexOf(own) + 1)));
  };

  const verdict = (known, effect, level) => {
    const [middle, low, high] = interval(known, level);
    if (known.definition) return middle > effect ? "holds" : "fails";
    let [above, below] = [low > effect, high < effect];
    if (known.others) {
      const threshold = known.sample.logs ? Math.log(effect) : effect;
      const [up, down] = [1, -1].map((sign, i) =>
        holm(pBeyond(known.sample, threshold, sign), known.others.map((other) => other[i])));
      [above, below] = [up < (1 - level) / 2, down < (1 - level) / 2];
    }
    if (above && [null, "lower"].includes(known.bound)) return "reproduced";
    if (below && [null, "upper"].includes(known.bound)) return "not reproduced";
    return "inconclusive";
  };

  /** A number as measures.amount writes it. */
  const amount = (value, { decimals, signed }) => {
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    const size = Math.abs(Number(value.toFixed(decimals)));
    const digits = Math.max(0, decimals - (size >= 10) - (size >= 100));
    const text = Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return value ? `${value < 0 ? "−" : signed ? "+" : ""}${text}` : "0";
  };

  globalThis.bnJudge = { tail, quantile, interval, verdict, amount };

  // The form

  const form = document.querySelector(".bn-judge");
  if (!form) return;
  const known = JSON.parse(document.querySelector(".bn-judge-data").textContent);
  const { effect: effectSlider, level: levelSlider } = form.elements;
  const plot = document.querySelector(".bn-claim-plot svg");
  const own = plot?.querySelector(".bn-plot-own");

  const chosen = () => {
    const steps = Number(effectSlider.value);
    return {
      effect: known.ratio ? known.effect * known.step ** steps : known.effect + steps * known.step,
      level: levelSlider ? known.levels[levelSlider.value] : known.confidence,
    };
  };

  const place = (value) => {
    const { low, high, edge, wide, logs } = Object.fromEntries(
      Object.entries(plot.dataset).map(([name, text]) => [name, Number(text)]));
    const scale = logs ? (x) => Math.log(Math.max(x, low)) : (x) => x;
    const share = (scale(value) - scale(low)) / (scale(high) - scale(low));
    return edge + Math.min(1, Math.max(0, share)) * (wide - 2 * edge);
  };

  const draw = (effect, [, low, high]) => {
    const [bar, line] = own.children;
    const moved = (path, x0, x1) => path.getAttribute("d").replace(/^M[\d.]+ ([\d.]+)(.)[\d.]+/, (_, y, way) =>
      `M${x0} ${y}${way}${way === "H" ? x1 : path.getAttribute("d").split("V")[1]}`);
    bar.setAttribute("d", moved(bar, place(low), place(high)));
    bar.toggleAttribute("hidden", known.definition);
    line.setAttribute("d", moved(line, place(effect), 0));
    own.toggleAttribute("hidden", effect === known.effect && chosen().level === known.confidence);
  };

  const show = () => {
    const { effect, level } = chosen();
    const ends = interval(known, level);
    const [name, words] = known.verdicts[verdict(known, effect, level)];
    const percent = `${Number((100 * level).toFixed(1))}%`;
    const texts = { middle: ends[0], low: ends[1], high: ends[2] };
    const said = known.words[known.definition ? "definition" : known.bound ?? "none"]
      .replace(/\{(\w+)\}/g, (_, key) => (key === "level" ? percent : amount(texts[key], known.unit)
        + (key === "middle" || known.bound ? known.unit.word.split(" · ")[0] : "")));
    const asked = amount(effect, known.unit) + known.unit.word;
    form.querySelector("[data-of=effect]").textContent = asked;
    effectSlider.setAttribute("aria-valuetext", asked);
    if (levelSlider) {
      form.querySelector("[data-of=level]").textContent = percent;
      levelSlider.setAttribute("aria-valuetext", percent);
    }
    const pill = form.querySelector(".bn-judge-outcome .bn-verdict");
    pill.className = `bn-verdict bn-verdict-${name}`;
    pill.textContent = words;
    form.querySelector(".bn-judge-words").textContent = said;
    if (plot) draw(effect, ends);
  };

  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
})();
