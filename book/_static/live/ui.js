// Figure 1 trained while the reader looks on: controls, curves, and the Worker that does the arithmetic (engine.js).
// It stands in every box of the directive `live`, which gives it its words, its settings and the digits. No libraries.
(() => {
  "use strict";

  const { HIDDEN, HISTOGRAM, SATURATED } = globalThis.bnLiveEngine();
  const NETS = ["plain", "bn"];
  const KINDS = ["population", "moving", "batch"]; // the statistics that evaluation can use
  const CALM = 1000; // ms between pictures where less motion is asked for
  const SAY = 10000; // ms between what a screen reader is told
  const GRADIENTS = [1e-6, 10]; // the axis of their norms
  const FARTHEST = 500; // what diverges leaves the picture; its ticks have room beside it
  const MARK = "#train:"; // what a link with settings begins with
  const KEPT = "bn-train"; // where the settings are kept for the other editions

  // Small helpers.
  const make = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
  const within = (value, [low, high]) => Math.min(high, Math.max(low, value));
  const percent = (share) => `${(100 * share).toFixed(1)}%`;
  const grouped = (count) => count.toLocaleString("en-US");
  const rounded = (value) => Number(value.toPrecision(2));

  // Bits in base64, and labels written as digits.
  const unpacked = ({ side, ...splits }) => {
    const split = ({ images, labels }) => {
      const bytes = atob(images);
      const values = Uint8Array.from({ length: labels.length * side * side }, (_, i) => (bytes.charCodeAt(i >> 3) >> (7 - (i & 7))) & 1);
      return { images: values, labels: Uint8Array.from(labels, Number) };
    };
    return { pixels: side * side, train: split(splits.train), test: split(splits.test) };
  };

  // Where the arithmetic runs: in a Worker made of the engine's text, since browsers load none from a local file;
  // in the page itself, between its other business, where there are none.
  const engineIn = (place) => {
    if (place === "page") {
      const { port1, port2 } = new MessageChannel();
      globalThis.bnLiveEngine().serve(port2);
      return port1;
    }
    const text = `(${globalThis.bnLiveEngine})().serve(self);`;
    const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    return new Worker(address);
  };

  // A scale from values to pixels, and the ticks on it.
  const scale = ([low, high], [from, to], log = false) => {
    const at = log ? Math.log10 : Number;
    const to_pixel = (value) => from + ((at(value) - at(low)) / (at(high) - at(low))) * (to - from);
    return Object.assign((value) => (log && value <= 0 ? from : to_pixel(value)), { low, high, log });
  };
  const ticks = ({ low, high, log }, count) => {
    if (log) {
      const first = Math.ceil(Math.log10(low) - 1e-9);
      const powers = Array.from({ length: Math.floor(Math.log10(high) + 1e-9) - first + 1 }, (_, i) => first + i);
      const every = Math.ceil(powers.length / count);
      return powers.filter((power) => power % every === 0).map((power) => 10 ** power);
    }
    const raw = (high - low) / count;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const by = [1, 2, 5, 10].map((factor) => factor * unit).find((one) => one >= raw * 0.999);
    const found = [];
    for (let tick = Math.ceil(low / by - 1e-9) * by; tick <= high + by * 1e-6; tick += by) found.push(Number(tick.toPrecision(6)));
    return found;
  };
  const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const tickText = (value, { log, low, high }) => {
    if (log && high / low > 1e5) {
      const power = Math.round(Math.log10(value));
      return `10${power < 0 ? "⁻" : ""}${[...String(Math.abs(power))].map((digit) => SUPERSCRIPTS[digit]).join("")}`;
    }
    return (Math.abs(value) >= 1000 ? grouped(value) : String(value)).replace("-", "−");
  };

  // An empty canvas in pixels of CSS, as sharp as the screen; null where it is out of sight.
  const sight = new Set();
  const watch = (canvas, redraw) => new IntersectionObserver(([{ isIntersecting }]) => {
    sight[isIntersecting ? "add" : "delete"](canvas);
    if (isIntersecting) redraw();
  }, { rootMargin: "200px" }).observe(canvas);
  const cleared = (canvas) => {
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !sight.has(canvas)) return null;
    const ratio = devicePixelRatio || 1;
    const size = [width, height].map((length) => Math.round(length * ratio));
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    return { c, width, height };
  };

  // A canvas with axes. `paint(context, x, y, box)` draws within them.
  const chart = (tall, label) => {
    const canvas = make("canvas", { role: "img", "aria-label": label, style: `height: ${tall}px` });
    const draw = ({ x, y, paint, under = () => {} }, colours) => {
      const empty = cleared(canvas);
      if (!empty) return;
      const { c, width, height } = empty;
      c.font = `11px ${colours.font}`;
      const box = { left: 40, right: width - 12, top: 8, bottom: height - 20 };
      const [X, Y] = [scale(x.range, [box.left, box.right], x.log), scale(y.range, [box.bottom, box.top], y.log)];
      c.save();
      c.beginPath();
      c.rect(box.left, box.top - 1, box.right - box.left, box.bottom - box.top + 2);
      c.clip();
      under(c, X, Y, box);
      c.restore();
      c.lineWidth = 1;
      c.textBaseline = "middle";
      c.textAlign = "right";
      for (const tick of ticks(Y, 5)) {
        c.strokeStyle = colours.line;
        c.beginPath();
        c.moveTo(box.left, Y(tick));
        c.lineTo(box.right, Y(tick));
        c.stroke();
        c.fillStyle = colours.muted;
        c.fillText((y.text ?? tickText)(tick, Y), box.left - 5, Y(tick));
      }
      c.textBaseline = "top";
      c.textAlign = "center";
      const marks = x.ticks ?? ticks(X, width < 300 ? 3 : 5);
      for (const tick of marks) {
        const text = tickText(tick, X);
        const half = c.measureText(text).width / 2;
        c.fillText(text, within(X(tick), [box.left, width - half - 1]), box.bottom + 5);
      }
      c.strokeStyle = colours.muted;
      c.beginPath();
      c.moveTo(box.left, box.bottom);
      c.lineTo(box.right, box.bottom);
      c.stroke();
      c.save();
      c.beginPath();
      c.rect(box.left, box.top - 2, box.right - box.left + 3, box.bottom - box.top + 4);
      c.clip();
      c.lineJoin = "round";
      paint(c, X, Y, box);
      c.restore();
    };
    return { canvas, draw };
  };
  const line = (c, X, Y, points, colour, width = 2, dash = []) => {
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.setLineDash(dash);
    c.beginPath();
    points.forEach(([x, y], i) => c[i ? "lineTo" : "moveTo"](X(x), Y(y)));
    c.stroke();
    c.setLineDash([]);
  };

  document.querySelectorAll(".bn-train").forEach((box, which) => {
    const given = JSON.parse(box.dataset.given);
    const { words, languages, ranges, presets, axes } = given;
    const sets = { digits: unpacked(given.digits) };
    const id = (name) => `bn-tr-${which}-${name}`;
    const still = matchMedia("(prefers-reduced-motion: reduce)");

    let settings = { ...given.start };
    let kind = KINDS[0];
    let unit = 1;
    let goal = given.steps;
    let step = 0;
    let running = false;
    let hiddenWhile = false; // it ran when the page was hidden
    let run = 0;
    let history = []; // the reports of this run
    let sent = null; // the data that the Worker has
    let port = null;

    // Words: in the edition's language, or in both, each marked as what it is.
    const plain = (key, values = {}) => [...new Set(languages.map((lang) => fill(words[key][lang], values)))].join(" · ");
    const spans = (key, values = {}) => {
      const same = languages.length > 1 && words[key].ko === words[key].en;
      return (same ? ["en"] : languages).map((lang) => make("span", { lang, class: `bn-tr-${lang}` }, fill(words[key][lang], values)));
    };
    const button = (key, action, attributes = {}) => {
      const node = make("button", { type: "button", class: "bn-button bn-tr-button", ...attributes }, ...spans(key));
      node.addEventListener("click", action);
      return node;
    };

    // The Worker, and what it tells.
    const connect = (place) => {
      port = engineIn(place);
      sent = null;
      port.onmessage = ({ data: message }) => {
        if (message.run !== run) return;
        if (message.report) {
          history.push(message.report);
          step = message.report.step;
        }
        if (message.ended !== undefined && running && message.ended >= goal) stopped();
        redraw();
      };
      // Where the page may have no Worker it says so only now.
      port.onerror = () => {
        if (place === "page") return;
        connect("page");
        const goesOn = running;
        restart();
        if (goesOn) start();
      };
    };
    const restart = () => {
      run += 1;
      history = [];
      step = 0;
      goal = given.steps;
      running = false;
      const { activation, data, ...rest } = settings;
      const message = { run, start: { ...rest, relu: activation === "relu" } };
      if (sent !== data) message.data = sets[data];
      sent = data;
      port.postMessage(message);
      refresh();
    };
    const start = () => {
      if (step >= goal) goal += given.steps;
      running = true;
      port.postMessage({ until: goal });
      refresh();
    };
    const stopped = () => {
      running = false;
      refresh();
      say(true);
    };
    const pause = () => {
      port.postMessage({ pause: true });
      stopped();
    };
    const startOrPause = () => (running ? pause() : start());
    const oneStep = () => {
      if (running) pause();
      if (step >= goal) goal += given.steps;
      // What the Worker has done by now may be ahead of what it has told.
      port.postMessage({ more: 1 });
      refresh();
    };

    // Settings. Whatever changes starts the networks anew, and goes on training if they were being trained.
    const use = async (changes, goesOn = running) => {
      const next = { ...settings, ...changes };
      if (running) pause();
      if (!sets[next.data]) {
        status.replaceChildren(...spans("loading"));
        notice.replaceChildren(...spans("loading"));
        try {
          sets[next.data] = await loaded();
          notice.replaceChildren();
        } catch {
          next.data = settings.data;
          notice.replaceChildren(...spans("absent"));
          status.replaceChildren(...spans("absent"));
        }
      }
      settings = next;
      restart();
      if (goesOn) start();
      remember();
    };
    const loaded = () => new Promise((resolve, reject) => {
      const script = make("script", { src: box.dataset.parts });
      script.onload = () => resolve(unpacked(globalThis.bnLiveData));
      script.onerror = () => { script.remove(); reject(new Error("not there")); };
      document.head.append(script);
    });

    // A link holds the settings behind the #; what is out of range there is brought within it.
    const address = () => `${MARK}${new URLSearchParams({ ...settings, evaluation: kind, unit })}`;
    const remember = () => {
      try {
        window.history.replaceState(window.history.state, "", address());
        sessionStorage.setItem(KEPT, address());
      } catch { /* where nothing may be stored */ }
    };
    const kept = () => {
      try { return sessionStorage.getItem(KEPT) ?? ""; } catch { return ""; }
    };
    const recalled = (link) => {
      if (!link.startsWith(MARK)) return null;
      const found = new URLSearchParams(link.slice(MARK.length));
      const number = (key) => (found.has(key) && Number.isFinite(Number(found.get(key))) ? Number(found.get(key)) : given.start[key]);
      const oneOf = (key, choices, otherwise) => (choices.includes(found.get(key)) ? found.get(key) : otherwise);
      const nearest = (key) => ranges[key].reduce((best, one) => (Math.abs(one - number(key)) < Math.abs(best - number(key)) ? one : best));
      kind = oneOf("evaluation", KINDS, kind);
      unit = found.has("unit") ? within(Math.round(Number(found.get("unit"))) || 1, [1, HIDDEN]) : unit;
      return {
        data: oneOf("data", ["digits", "mnist"], given.start.data),
        activation: oneOf("activation", ["sigmoid", "relu"], given.start.activation),
        place: oneOf("place", ["before", "after"], given.start.place),
        rate: within(number("rate"), ranges.rate),
        std: within(number("std"), ranges.std),
        batch: nearest("batch"),
        depth: nearest("depth"),
        seed: within(Math.round(number("seed")), ranges.seed),
      };
    };

    // Controls.
    const startButton = button("start", startOrPause, { "data-action": "start" });
    const stepButton = button("step", oneStep, { "data-action": "step" });
    const resetButton = button("reset", () => { restart(); remember(); status.replaceChildren(...spans("at_step", { step: 0, goal: grouped(goal) })); }, { "data-action": "reset" });
    const linkButton = button("link", async () => {
      remember();
      const text = location.href.split("#")[0] + address();
      let answer = "copied";
      try { await navigator.clipboard.writeText(text); } catch { answer = "refused"; }
      linkButton.replaceChildren(...spans(answer));
      status.replaceChildren(...spans(answer));
      setTimeout(() => linkButton.replaceChildren(...spans("link")), 2500);
    }, { "data-action": "link" });
    const at = make("span", { class: "bn-tr-at" });
    const progress = make("progress", { max: 1, value: 0, "aria-label": plain("steps") });
    const status = make("div", { class: "bn-live", role: "status", "aria-live": "polite" });
    const notice = make("p", { class: "bn-tr-note" });
    const story = make("div", { class: "bn-tr-story" });

    const presetButtons = Object.keys(presets).map((name) =>
      button(name, () => use({ ...given.start, data: settings.data, seed: settings.seed, ...presets[name] }, true), { "data-preset": name }));
    const isPreset = (name) => Object.entries({ ...given.start, ...presets[name] }).every(([key, value]) =>
      ["data", "seed"].includes(key) || settings[key] === value);

    const field = (key, control, ...more) => {
      control.id = id(key);
      control.dataset.name = key;
      return make("div", { class: "bn-tr-field" }, make("label", { for: control.id }, ...spans(key)), control, ...more);
    };
    const choice = (key, values, change, current) => {
      const select = make("select", {}, ...values.map(([value, word = value]) =>
        make("option", { value }, words[word] ? plain(word) : String(value))));
      select.addEventListener("change", () => change(select.value));
      return { node: field(key, select), update: () => { select.value = current(); } };
    };
    // A slider over a range of magnitudes; the value follows the hand, the networks begin anew where it rests.
    const slider = (key) => {
      const [low, high] = ranges[key].map(Math.log10);
      const input = make("input", { type: "range", min: low, max: high, step: "any" });
      const shown = make("output", { for: id(key) });
      const value = () => rounded(within(10 ** Number(input.value), ranges[key]));
      const show = (number) => {
        shown.textContent = String(number);
        input.setAttribute("aria-valuetext", shown.textContent);
      };
      input.addEventListener("input", () => show(value()));
      input.addEventListener("change", () => use({ [key]: value() }));
      input.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5 }[event.key];
        if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        const moved = rounded(within(settings[key] * 10 ** (by / 10), ranges[key]));
        use({ [key]: moved });
      });
      return { node: field(key, input, shown), update: () => { input.value = Math.log10(settings[key]); show(settings[key]); } };
    };
    const seed = make("input", { type: "number", min: ranges.seed[0], max: ranges.seed[1], step: 1, inputmode: "numeric" });
    seed.addEventListener("change", () => use({ seed: within(Math.round(Number(seed.value)) || 1, ranges.seed) }));
    const setting = (key, values, read = String) =>
      choice(key, values.map((value) => [value]), (value) => use({ [key]: read(value) }), () => String(settings[key]));
    const fields = [
      setting("data", ["digits", "mnist"]), slider("rate"), slider("std"), setting("batch", ranges.batch, Number), setting("depth", ranges.depth, Number),
      setting("activation", ["sigmoid", "relu"]), setting("place", ["before", "after"]),
      { node: field("seed", seed), update: () => { seed.value = settings.seed; } },
    ];
    const evaluation = choice("evaluation", KINDS.map((value) => [value, value === "batch" ? "batch_statistics" : value]),
      (value) => { kind = value; remember(); refresh(); }, () => kind);
    const details = make("details", { class: "bn-tr-settings" }, make("summary", {}, ...spans("settings")),
      make("div", { class: "bn-tr-fields" }, ...fields.map(({ node }) => node)), make("p", { class: "bn-tr-note" }, ...spans("restarts")));

    // The numbers.
    const cells = Object.fromEntries(NETS.map((net) => [net, ["accuracy", "loss", "saturated"].map(() => make("td"))]));
    const saturatedHead = make("th", { scope: "col" });
    const table = make("table", { class: "bn-tr-table" },
      make("caption", { class: "bn-live" }, ...spans("now")),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, ...spans("network")), make("th", { scope: "col" }, ...spans("accuracy")),
        make("th", { scope: "col" }, ...spans("loss")), saturatedHead)),
      make("tbody", {}, ...NETS.map((net) => make("tr", {},
        make("th", { scope: "row" }, make("span", { class: `bn-tr-swatch bn-tr-${net}`, "aria-hidden": "true" }), ...spans(net)), ...cells[net]))));

    // The pictures.
    const charts = {
      paper: chart(200, plain("accuracy_paper")), log: chart(200, plain("accuracy_log")),
      plain: chart(160, plain("percentiles_plain", { unit })), bn: chart(160, plain("percentiles_bn", { unit })),
      histogram: chart(180, plain("histogram")), gradients: chart(180, plain("gradients")),
    };
    const heads = {};
    const panel = (name, key, axis, ...more) => {
      heads[name] = make("div", { class: "bn-tr-head" }, ...spans(key, { unit }));
      const below = axis ? [make("div", { class: "bn-tr-axis", "aria-hidden": "true" }, ...spans(axis))] : [];
      return make("div", { class: `bn-tr-panel bn-tr-panel-${name}` }, heads[name], charts[name].canvas, ...below, ...more);
    };
    const note = (key, values) => make("div", { class: "bn-tr-note bn-tr-wide" }, ...languages.map((lang) => make("p", { lang }, fill(words[key][lang], values))));

    // The units: a cell each, in rows of twenty; by keyboard with the slider.
    const COLUMNS = 20;
    const unitSlider = make("input", { type: "range", min: 1, max: HIDDEN, step: 1 });
    const unitShown = make("output", { for: id("unit") });
    const chooseUnit = (value) => {
      unit = value;
      remember();
      refresh();
    };
    unitSlider.addEventListener("input", () => chooseUnit(Number(unitSlider.value)));
    const grids = NETS.map((net) => {
      const canvas = make("canvas", { class: "bn-tr-units", role: "img", "aria-label": `${plain("units")}, ${plain(net)}` });
      canvas.addEventListener("click", (event) => {
        const { left, top, width, height } = canvas.getBoundingClientRect();
        const column = within(Math.floor(((event.clientX - left) / width) * COLUMNS), [0, COLUMNS - 1]);
        const row = within(Math.floor(((event.clientY - top) / height) * (HIDDEN / COLUMNS)), [0, HIDDEN / COLUMNS - 1]);
        chooseUnit(row * COLUMNS + column + 1);
      });
      return canvas;
    });

    const app = make("div", { class: `bn-tr ${languages.length > 1 ? "bn-tr-both" : ""}`, role: "group", "aria-label": plain("title") },
      make("div", { class: "bn-tr-presets", role: "group", "aria-label": plain("presets") }, ...presetButtons), story,
      make("div", { class: "bn-tr-buttons" }, startButton, stepButton, resetButton, linkButton, make("span", { class: "bn-tr-progress" }, at, progress)),
      notice, details,
      make("div", { class: "bn-tr-now" }, table, evaluation.node),
      make("div", { class: "bn-tr-panels" },
        panel("paper", "accuracy_paper", "steps"), panel("log", "accuracy_log", "steps_log"),
        panel("plain", "percentiles_plain", "steps", grids[0]), panel("bn", "percentiles_bn", "steps", grids[1]),
        make("div", { class: "bn-tr-wide" }, field("unit", unitSlider, unitShown)),
        note("percentiles_note", { percentiles: given.percentiles.join(", ") }),
        panel("histogram", "histogram", null, note("histogram_note")), panel("gradients", "gradients", null, note("gradients_note"))),
      status);

    // Everything that is seen, from `history` and `settings`.
    const accuracyOf = (report, net) => report.nets[net].accuracy[kind];
    const colours = () => {
      const style = getComputedStyle(app);
      const found = Object.fromEntries(["plain", "bn", "shade"].map((name) => [name, style.getPropertyValue(`--bn-tr-${name}`).trim()]));
      return {
        ...found, font: style.fontFamily, text: style.color, line: style.getPropertyValue("--bn-line").trim(),
        muted: style.getPropertyValue("--pst-color-text-muted").trim(), ground: style.getPropertyValue("--pst-color-background").trim(),
      };
    };
    const drawAccuracy = (hues) => {
      const curves = NETS.map((_, net) => history.map((report) => [report.step, accuracyOf(report, net)]));
      const paint = (c, X, Y) => curves.forEach((points, net) => line(c, X, Y, X.log ? points.filter(([x]) => x > 0) : points, hues[NETS[net]]));
      charts.paper.draw({ x: { range: [0, goal] }, y: { range: axes.accuracy }, paint }, hues);
      charts.log.draw({ x: { range: [1, goal], log: true }, y: { range: [0, 1] }, paint }, hues);
    };
    const drawPercentiles = (hues) => {
      const curves = NETS.map((_, net) => history.filter((report) => !report.nets[net].failed)
        .map((report) => [report.step, report.nets[net].percentiles.map((values) => values[unit - 1])]));
      const largest = Math.max(...curves.flat().flatMap(([, values]) => values.filter(Number.isFinite).map(Math.abs)), 0);
      let limit = axes.input;
      while (limit < largest && limit < FARTHEST) limit *= 2;
      NETS.forEach((net, index) => charts[net].draw({
        x: { range: [0, goal] }, y: { range: [-limit, limit] },
        under: (c, X, Y, inside) => {
          if (settings.activation === "relu") return shade(c, hues, inside.left, Y(0), inside.right, inside.bottom);
          shade(c, hues, inside.left, inside.top, inside.right, Y(SATURATED));
          shade(c, hues, inside.left, Y(-SATURATED), inside.right, inside.bottom);
        },
        paint: (c, X, Y) => [0, 1, 2].forEach((level) =>
          line(c, X, Y, curves[index].map(([x, values]) => [x, values[level]]), hues[net], level === 1 ? 2 : 1.3, level === 1 ? [] : [5, 3])),
      }, hues));
    };
    const shade = (c, hues, left, top, right, bottom) => {
      if (bottom <= top || right <= left) return;
      c.fillStyle = hues.shade;
      c.fillRect(left, top, right - left, bottom - top);
    };
    const last = () => history.at(-1);
    const drawHistogram = (hues) => {
      const { low, high, bins } = HISTOGRAM;
      const shares = last().nets.map(({ histogram: counts }) => {
        const total = counts?.reduce((sum, count) => sum + count, 0);
        return counts ? [...counts].map((count) => count / total) : [];
      });
      const highest = Math.max(0.02, ...shares.flat());
      const top = [0.02, 0.05, 0.1, 0.2, 0.5, 1].find((one) => one >= highest) ?? 1;
      charts.histogram.draw({
        x: { range: [low, high], ticks: [low, -SATURATED, 0, SATURATED, high] }, y: { range: [0, top], text: (value) => `${Number((100 * value).toPrecision(3))}%` },
        under: (c, X, Y, inside) => {
          if (settings.activation === "relu") return shade(c, hues, inside.left, inside.top, X(0), inside.bottom);
          shade(c, hues, inside.left, inside.top, X(-SATURATED), inside.bottom);
          shade(c, hues, X(SATURATED), inside.top, inside.right, inside.bottom);
        },
        paint: (c, X, Y) => shares.forEach((values, net) => {
          const width = (high - low) / bins;
          const outline = values.flatMap((share, bin) => [[low + bin * width, share], [low + (bin + 1) * width, share]]);
          if (!outline.length) return;
          const closed = [[low, 0], ...outline, [high, 0]];
          line(c, X, Y, closed, hues[NETS[net]], 1.5);
          c.globalAlpha = 0.22;
          c.fillStyle = hues[NETS[net]];
          c.fill();
          c.globalAlpha = 1;
        }),
      }, hues);
    };
    const drawGradients = (hues) => {
      const layers = settings.depth + 1;
      charts.gradients.draw({
        x: { range: [0.6, layers + 0.4], ticks: Array.from({ length: layers }, (_, i) => i + 1) }, y: { range: GRADIENTS, log: true },
        paint: (c, X, Y) => last().nets.forEach(({ norms }, net) => {
          const points = norms.map((norm, l) => [l + 1, within(norm, GRADIENTS)]);
          line(c, X, Y, points, hues[NETS[net]]);
          c.fillStyle = hues[NETS[net]];
          points.forEach(([x, y]) => {
            c.beginPath();
            if (net) c.arc(X(x), Y(y), 4, 0, 7);
            else c.rect(X(x) - 4, Y(y) - 4, 8, 8);
            c.fill();
          });
        }),
      }, hues);
    };
    const drawUnits = (hues) => grids.forEach((canvas, net) => {
      const empty = cleared(canvas);
      if (!empty) return;
      const { c, width, height } = empty;
      const [wide, high] = [width / COLUMNS, height / (HIDDEN / COLUMNS)];
      const shares = last().nets[net].saturated;
      for (let one = 0; one < HIDDEN; one++) {
        const [x, y] = [(one % COLUMNS) * wide, Math.floor(one / COLUMNS) * high];
        c.globalAlpha = 0.1 + 0.9 * (shares?.[one] ?? 0);
        c.fillStyle = hues[NETS[net]];
        c.fillRect(x + 1, y + 1, wide - 2, high - 2);
        c.globalAlpha = 1;
        if (one === unit - 1) {
          c.strokeStyle = hues.text;
          c.lineWidth = 2;
          c.strokeRect(x + 1, y + 1, wide - 2, high - 2);
        }
      }
    });
    const showNumbers = () => {
      at.replaceChildren(...spans("at_step", { step: grouped(step), goal: grouped(goal) }));
      progress.value = step / goal;
      last()?.nets.forEach((net, index) => {
        const [accuracy, loss, saturated] = cells[NETS[index]];
        accuracy.textContent = percent(accuracyOf(last(), index));
        if (net.failed) loss.replaceChildren(...spans("failed"));
        else loss.textContent = Number.isFinite(net.loss) ? net.loss.toFixed(3) : "–";
        saturated.textContent = net.saturated ? percent(net.saturated.reduce((sum, share) => sum + share, 0) / HIDDEN) : "–";
      });
    };
    // The pictures first: what is written makes the page's layout be computed again.
    const draw = () => {
      const hues = colours();
      if (last()) [drawAccuracy, drawPercentiles, drawHistogram, drawGradients, drawUnits].forEach((one) => one(hues));
      showNumbers();
      if (!last()) return;
      app.dataset.drawn = Number(app.dataset.drawn ?? 0) + 1;
      say();
    };
    // At most once for every picture of the screen; where less motion is asked for, once a second.
    let asked = false;
    const redraw = () => {
      if (asked) return;
      asked = true;
      const now = () => { asked = false; draw(); };
      if (still.matches && running && history.length > 1) setTimeout(now, CALM);
      else requestAnimationFrame(now);
    };
    // What has a state, at once.
    const refresh = () => {
      fields.forEach(({ update }) => update());
      evaluation.update();
      startButton.replaceChildren(...spans(running ? "pause" : step ? "go_on" : "start"));
      app.dataset.running = running;
      const name = Object.keys(presets).find(isPreset);
      presetButtons.forEach((node) => node.setAttribute("aria-pressed", node.dataset.preset === name));
      story.replaceChildren(...languages.map((lang) => make("p", { lang }, words[name ? `${name}_story` : "own"][lang])));
      saturatedHead.replaceChildren(...spans(settings.activation === "relu" ? "dead" : "saturated"));
      unitSlider.value = unit;
      unitShown.textContent = unit;
      NETS.forEach((net) => {
        heads[net].replaceChildren(...spans(`percentiles_${net}`, { unit }));
        charts[net].canvas.setAttribute("aria-label", plain(`percentiles_${net}`, { unit }));
      });
      redraw();
    };
    // For those who do not see the curves: now and then, and where training stops.
    let saidAt = 0;
    const say = (now = false) => {
      if (!last() || (!now && (!running || performance.now() - saidAt < SAY))) return;
      saidAt = performance.now();
      const [without, withBn] = NETS.map((_, net) => percent(accuracyOf(last(), net)));
      const values = { step: grouped(last().step), plain: without, bn: withBn };
      status.replaceChildren(...languages.map((lang) => make("span", { lang }, `${fill(words.said[lang], values)} `)));
      for (const name of ["paper", "log"]) charts[name].canvas.setAttribute("aria-label", `${plain(`accuracy_${name}`)}. ${plain("said", values)}`);
    };

    // A hidden page rests.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && running) {
        pause();
        hiddenWhile = true;
      } else if (!document.hidden && hiddenWhile) {
        hiddenWhile = false;
        start();
      }
    });
    addEventListener("hashchange", () => { const found = recalled(location.hash); if (found) use(found); });
    new ResizeObserver(redraw).observe(app);
    [...Object.values(charts).map(({ canvas }) => canvas), ...grids].forEach((canvas) => watch(canvas, redraw));
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });

    details.open = matchMedia("(min-width: 768px)").matches;
    box.append(app);
    box.classList.add("bn-train-live");
    try { connect("worker"); } catch { connect("page"); }
    const linked = recalled(location.hash);
    if (linked) app.scrollIntoView();
    const settled = linked ?? recalled(kept());
    if (settled) use(settled);
    else restart();
  });
})();
