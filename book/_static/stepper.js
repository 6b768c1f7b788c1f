// Algorithm 1, line by line: eight values that can be moved, and what batch normalization makes of them. No libraries.
// It takes the place of the still picture in every box of the directive `bnstepper`, which gives it its start.
(() => {
  "use strict";

  // Algorithm 1 for the values x of one unit, and the gradient of the loss ½ Σ (y − target)² through all of it.
  const algorithm1 = ({ x, targets, gamma, beta, eps }) => {
    const m = x.length;
    const mean = sum(x) / m;
    const variance = sum(x.map((value) => (value - mean) ** 2)) / m;
    const std = Math.sqrt(variance + eps);
    const xHat = x.map((value) => (value - mean) / std);
    const y = xHat.map((value) => gamma * value + beta);
    const dY = y.map((value, i) => value - targets[i]);
    const loss = sum(dY.map((d) => d * d)) / 2;
    const dBeta = sum(dY);
    const dGamma = dot(dY, xHat);
    const dX = dY.map((d, i) => (gamma / std) * (d - dBeta / m - (xHat[i] * dGamma) / m));
    return { mean, variance, std, x, xHat, y, dY, loss, dBeta, dGamma, dX };
  };
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const dot = (a, b) => sum(a.map((value, i) => value * b[i]));
  const moments = (values) => {
    const mean = sum(values) / values.length;
    return [mean, sum(values.map((value) => (value - mean) ** 2)) / values.length];
  };

  // How it is written.
  const I = (letters) => `<i>${letters}</i>`;
  const sub = (letter, index = "i") => `<i>${letter}</i><sub><i>${index}</i></sub>`;
  const HAT = "x\u0302";
  const ROOT = `√<span class="bn-st-root">${I("σ")}² + ${I("ε")}</span>`;
  const partial = (letter, indexed = true) => `∂${I("ℓ")}/∂${indexed ? sub(letter) : I(letter)}`;
  const MEAN = `(1/${I("m")})`;
  const LINES = [
    {
      name: { ko: "평균", en: "mean" },
      formula: `${I("μ")} = ${MEAN} Σ ${sub("x")}`,
      result: (now) => [`${I("μ")} =`, now.mean],
      note: {
        ko: "점을 옮겨 보자. 하나를 옮기면 평균은 그 거리의 1/{m}만큼 움직인다.",
        en: "Move a point: the mean follows by 1/{m} of the way.",
      },
    },
    {
      name: { ko: "분산", en: "variance" },
      formula: `${I("σ")}² = ${MEAN} Σ (${sub("x")} − ${I("μ")})²`,
      result: (now) => [`${I("σ")}² =`, now.variance],
      note: {
        ko: `평균에서 떨어진 거리를 제곱해 평균한다. 띠는 ${I("μ")} − ${I("σ")}에서 ${I("μ")} + ${I("σ")}까지다.`,
        en: `The mean of the squared distances from the mean. The band reaches from ${I("μ")} − ${I("σ")} to ${I("μ")} + ${I("σ")}.`,
      },
    },
    {
      name: { ko: "정규화", en: "normalize" },
      formula: `${sub(HAT)} = (${sub("x")} − ${I("μ")}) / ${ROOT}`,
      result: (now) => [`${ROOT} =`, now.std],
      note: {
        ko: `모든 점을 함께 옮기거나 벌려 보자. ${I("ε")}이 작으면 ${I(HAT)}은 그대로다.`,
        en: `Move or spread all points together: while ${I("ε")} is small, ${I(HAT)} stays as it is.`,
      },
    },
    {
      name: { ko: "크기와 위치 조정", en: "scale and shift" },
      formula: `${sub("y")} = ${I("γ")} ${sub(HAT)} + ${I("β")},<br>${I("ℓ")} = ½ Σ (${sub("y")} − ${sub("t")})²`,
      result: (now) => [`${I("ℓ")} =`, now.loss],
      note: {
        ko: `테두리만 있는 표시는 목표 ${I("t")}다. 동그라미는 −1, 네모는 +1이다. ${I("γ")}와 ${I("β")}로 손실 ${I("ℓ")}을 줄여 보자.`,
        en: `Outlined marks are the targets ${I("t")}: −1 for circles, +1 for squares. Make the loss ${I("ℓ")} smaller with ${I("γ")} and ${I("β")}.`,
      },
    },
    {
      name: { ko: "그래디언트", en: "gradient" },
      formula: `${partial("x")} = ${I("γ")} / ${ROOT} · [${sub("g")} − ${MEAN} Σ ${sub("g", "j")} − `
        + `${sub(HAT)} · ${MEAN} Σ ${sub("g", "j")} ${sub(HAT, "j")}],<br>${sub("g")} = ${partial("y")} = ${sub("y")} − ${sub("t")}`,
      result: (now) => [`Σ ${partial("x")} =`, sum(now.dX)],
      note: {
        ko: `화살표는 경사 하강법이 값을 옮기는 방향이다(${I("x")}에서는 {stretch}배로 그리고 축 끝에서 자른다). ${I("x")}의 화살표는 모두 더하면 0이고, ${I("ε")}이 작으면 ${I(HAT)}과 직교한다. `
          + `함께 옮기고 벌리는 일은 ${I("β")}와 ${I("γ")}의 역할이기 때문이다. ${I("β")}를 바꿔도 ${I("x")}의 화살표는 그대로다.`,
        en: `Arrows show where gradient descent pushes (for ${I("x")}, {stretch} times as long, cut at the ends of the axis). The pushes on ${I("x")} add up to zero and, while ${I("ε")} is small, `
          + `are orthogonal to ${I(HAT)}: to move or spread all together is left to ${I("β")} and ${I("γ")}. Change ${I("β")}, and the arrows of ${I("x")} stay as they are.`,
      },
    },
  ];
  const COLUMNS = [ // and the line from which they are known
    { key: "x", head: I("x"), line: 0 },
    { key: "xHat", head: I(HAT), line: 2 },
    { key: "y", head: I("y"), line: 3 },
    { key: "dY", head: partial("y", false), line: 4 },
    { key: "dX", head: partial("x", false), line: 4 },
  ];
  const WORDS = {
    title: { ko: "알고리즘 1 한 줄씩 해 보기", en: "Algorithm 1, line by line, to try out" },
    back: { ko: "앞 줄", en: "Back" },
    next: { ko: "다음 줄", en: "Next" },
    reset: { ko: "처음으로", en: "Reset" },
    lines: { ko: "알고리즘의 줄", en: "Lines of the algorithm" },
    line: { ko: "{of}줄 중 {line}줄", en: "Line {line} of {of}" },
    points: { ko: "미니배치의 값 x", en: "The values x of the mini-batch" },
    point: { ko: "샘플 {i}의 x", en: "x of example {i}" },
    hint: { ko: "점은 끌거나 화살표 키로 옮긴다.", en: "Drag the points, or use the arrow keys." },
    all: { ko: "모든 점", en: "All points" },
    narrow: { ko: "폭 ×½", en: "spread ×½" },
    wide: { ko: "폭 ×2", en: "spread ×2" },
    outside: { ko: "그러면 {low}에서 {high}까지인 축을 벗어난다.", en: "That would leave the axis, {low} to {high}." },
    parameters: { ko: "파라미터와 ε", en: "Parameters and ε" },
    numbers: { ko: "모든 값", en: "All the numbers" },
    example: { ko: "샘플", en: "Example" },
    mean: { ko: "평균", en: "mean" },
    variance: { ko: "분산", en: "variance" },
    inner: { ko: "x̂과의 내적", en: "dot with x̂" },
  };
  const KEYS = { ArrowRight: 0.1, ArrowUp: 0.1, ArrowLeft: -0.1, ArrowDown: -0.1, PageUp: 1, PageDown: -1 };

  // Small helpers.
  const make = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const html = (name, attributes, markup) => {
    const node = make(name, attributes);
    node.innerHTML = markup;
    return node;
  };
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
  const tidy = (value) => Math.round(value * 1e9) / 1e9; // 0.1 + 0.2
  const written = (value, digits = 3) => {
    const size = Math.abs(value);
    const text = size < 100 ? size.toFixed(digits) : size < 1000 ? size.toFixed(1) : size.toPrecision(4);
    return (value < 0 && Number(text) ? "−" : "") + text;
  };
  const number = (name, digits = 3) => {
    const node = make("data", { "data-name": name });
    node.show = (value) => { node.value = value; node.textContent = written(value, digits); };
    return node;
  };

  document.querySelectorAll(".bn-stepper").forEach((box, which) => {
    const start = JSON.parse(box.dataset.start);
    const languages = box.dataset.languages.split(" ");
    const [low, high] = start.range;
    const fields = { ...start, m: start.x.length, low: written(low, 0), high: written(high, 0) };
    const state = { ...start, x: [...start.x], line: 0 };
    const id = (name) => `bn-st-${which}-${name}`;
    const place = (value) => `${(100 * (Math.min(high, Math.max(low, value)) - low)) / (high - low)}%`;

    // Words: in the edition's language, or in both, each marked as what it is.
    const plain = (words, values = {}) => languages.map((lang) => fill(words[lang], { ...fields, ...values })).join(" · ");
    const spans = (words, values = {}) => languages.map((lang) =>
      make("span", { lang, class: `bn-st-word bn-st-${lang}` }, fill(words[lang], { ...fields, ...values })));

    const button = (words, action, attributes = {}) => {
      const node = make("button", { type: "button", class: "bn-button bn-st-button", ...attributes }, ...spans(words));
      node.addEventListener("click", action);
      return node;
    };

    // The lines.
    const goTo = (line) => {
      if (line < 0 || line >= LINES.length) return;
      state.line = line;
      glide();
      show();
      const [, value] = LINES[line].result(algorithm1(state));
      const values = { line: line + 1, of: LINES.length };
      status.replaceChildren(...languages.map((lang) =>
        make("span", { lang }, `${fill(WORDS.line[lang], values)}: ${LINES[line].name[lang]}, ${written(value)}. `)));
    };
    const lines = LINES.map((line, k) => {
      const value = number(`line-${k + 1}`);
      const result = make("span", { class: "bn-st-result" }, html("span", {}, `${line.result(algorithm1(state))[0]} `), value);
      const node = make("button", { type: "button", class: "bn-st-line" },
        make("span", { class: "bn-st-number" }, String(k + 1)),
        make("span", { class: "bn-st-name" }, ...spans(line.name)),
        html("span", { class: "bn-st-formula", lang: "en" }, line.formula), result);
      node.addEventListener("click", () => goTo(k));
      return { node, value };
    });
    const back = button(WORDS.back, () => goTo(state.line - 1), { "data-action": "back" });
    const next = button(WORDS.next, () => goTo(state.line + 1), { "data-action": "next" });
    const reset = button(WORDS.reset, () => {
      Object.assign(state, start, { x: [...start.x] });
      goTo(0);
    }, { "data-action": "reset" });
    const note = make("div", { class: "bn-st-note" });
    const status = make("div", { class: "bn-live", role: "status", "aria-live": "polite" });

    // The picture: a panel each for x, x̂ and y, in it a row for each example. Marks glide from panel to panel.
    const kinds = start.targets.map((target) => (target < 0 ? "circle" : "square"));
    const marks = (name) => start.x.map((_, i) =>
      make("span", { class: `bn-st-mark bn-st-${kinds[i]} bn-st-${name}`, "data-example": i + 1, style: `--row: ${i}` }));
    const arrows = () => start.x.map((_, i) => make("span", { class: "bn-st-arrow", "data-example": i + 1, style: `--row: ${i}` }));
    const picture = {
      mean: make("span", { class: "bn-st-mean" }), band: make("span", { class: "bn-st-band" }),
      unit: make("span", { class: "bn-st-band" }),
      xHat: marks("filled"), y: marks("filled"), targets: marks("target"), pushX: arrows(), pushY: arrows(),
    };
    picture.targets.forEach((mark, i) => { mark.style.left = place(start.targets[i]); });

    const handles = start.x.map((_, i) => {
      const handle = make("div", {
        class: "bn-st-handle", role: "slider", tabindex: 0, "aria-label": plain(WORDS.point, { i: i + 1 }),
        "aria-valuemin": low, "aria-valuemax": high, "aria-orientation": "horizontal", "data-example": i + 1, style: `--row: ${i}`,
      }, make("span", { class: `bn-st-knob bn-st-${kinds[i]}`, "aria-hidden": "true" }, String(i + 1)));
      const set = (value) => {
        state.x[i] = tidy(Math.min(high, Math.max(low, value)));
        show();
      };
      handle.addEventListener("keydown", (event) => {
        if (event.altKey || event.ctrlKey || event.metaKey) return;
        if (event.key in KEYS) set(state.x[i] + KEYS[event.key]);
        else if (event.key === "Home") set(low);
        else if (event.key === "End") set(high);
        else return;
        event.preventDefault();
      });
      handle.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        const from = event.clientX - handle.parentElement.getBoundingClientRect().left - handle.offsetLeft;
        const move = (moved) => {
          const track = handle.parentElement.getBoundingClientRect();
          const value = low + ((moved.clientX - from - track.left) / track.width) * (high - low);
          set(Math.round(value * 10) / 10);
        };
        handle.setPointerCapture(event.pointerId);
        handle.addEventListener("pointermove", move);
        const end = () => handle.removeEventListener("pointermove", move);
        handle.addEventListener("lostpointercapture", end, { once: true });
      });
      return handle;
    });

    const panel = (name, label, ...content) => make("div", { class: `bn-st-panel bn-st-panel-${name}`, "aria-hidden": "true" },
      html("span", { class: "bn-st-label", lang: "en" }, label), make("div", { class: "bn-st-track" }, make("span", { class: "bn-st-zero", style: `left: ${place(0)}` }), ...content));
    const xPanel = panel("x", sub("x"), picture.band, picture.mean, ...picture.pushX, ...handles);
    xPanel.removeAttribute("aria-hidden");
    xPanel.setAttribute("role", "group");
    xPanel.setAttribute("aria-label", plain(WORDS.points));
    const ticks = make("div", { class: "bn-st-ticks", "aria-hidden": "true" });
    for (let tick = low; tick <= high; tick += 2) ticks.append(make("span", { style: `left: ${place(tick)}` }, written(tick, 0)));

    // Everything at once.
    const allPoints = (change) => {
      const mean = sum(state.x) / state.x.length;
      const moved = state.x.map((value) => change(value, mean));
      if (Math.min(...moved) < low || Math.max(...moved) > high) {
        status.replaceChildren(...spans(WORDS.outside));
        refused.replaceChildren(...spans(WORDS.outside));
        return;
      }
      state.x = moved;
      glide();
      show();
    };
    const refused = make("p", { class: "bn-st-hint", "aria-hidden": "true" });
    const signs = (text) => ({ ko: text, en: text });
    const named = (words, action, change) => {
      const node = button(words, () => allPoints(change), { "data-action": action });
      if (words.ko === words.en) node.replaceChildren(words.en);
      return node;
    };
    const all = make("div", { class: "bn-st-all", role: "group", "aria-labelledby": id("all") },
      make("span", { id: id("all"), class: "bn-st-all-name" }, ...spans(WORDS.all)),
      named(signs("−1"), "left", (value) => value - 1), named(signs("+1"), "right", (value) => value + 1),
      named(WORDS.narrow, "narrow", (value, mean) => mean + (value - mean) / 2),
      named(WORDS.wide, "wide", (value, mean) => mean + (value - mean) * 2));

    // γ, β, and ε, whose slider moves its exponent.
    const knobs = [
      { key: "gamma", sign: "γ", min: -2, max: 2, step: 0.1, gradient: "dGamma" },
      { key: "beta", sign: "β", min: -2, max: 2, step: 0.1, gradient: "dBeta" },
      { key: "eps", sign: "ε", min: -5, max: 1, step: 1, read: (position) => 10 ** position, position: Math.log10 },
    ].map(({ key, sign, read = Number, position = Number, gradient, ...limits }) => {
      const input = make("input", { type: "range", id: id(key), "data-name": key, ...limits });
      const shown = make("output", { for: id(key) });
      const slope = gradient ? number(gradient) : null;
      input.addEventListener("input", () => {
        state[key] = tidy(read(Number(input.value)));
        show();
      });
      const row = make("div", { class: "bn-st-parameter" }, html("label", { for: id(key), lang: "en" }, I(sign)), input, shown);
      if (slope) row.append(make("span", { class: "bn-st-slope" }, html("span", { lang: "en" }, `${partial(sign, false)} = `), slope));
      const update = (now) => {
        input.value = tidy(position(state[key]));
        shown.textContent = key === "eps" ? String(state[key]).replace("1e-5", "0.00001") : written(state[key], 1);
        input.setAttribute("aria-valuetext", shown.textContent);
        if (slope) slope.show(now[gradient]);
      };
      return { row, update };
    });

    // The numbers.
    const cells = {};
    const row = (name, heading, scope = "row") => make("tr", typeof name === "number" ? { "data-example": name } : {},
      make("th", { scope }, ...heading), ...COLUMNS.map((column) => {
        const cell = number(`${column.key}-${name}`, 3);
        (cells[column.key] ??= {})[name] = cell;
        return make("td", { class: `bn-st-from-${column.line}` }, cell);
      }));
    const table = make("table", { class: "bn-st-table" },
      make("caption", { class: "bn-live" }, ...spans(WORDS.numbers)),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, ...spans(WORDS.example)),
        ...COLUMNS.map((column) => html("th", { scope: "col", class: "bn-st-formula", lang: "en" }, column.head)))),
      make("tbody", {}, ...start.x.map((_, i) => row(i + 1, [make("span", { class: `bn-st-knob bn-st-${kinds[i]}` }, String(i + 1))]))),
      make("tfoot", {}, row("mean", spans(WORDS.mean)), row("variance", spans(WORDS.variance)), row("inner", spans(WORDS.inner))));
    ["x", "xHat", "y"].forEach((key) => { cells[key].inner.remove(); delete cells[key].inner; });
    ["dY", "dX"].forEach((key) => { cells[key].variance.remove(); delete cells[key].variance; });

    const app = make("div", { class: "bn-st", role: "group", "aria-label": plain(WORDS.title) },
      make("div", { class: "bn-st-script" },
        make("div", { class: "bn-st-buttons" }, back, next, reset),
        make("ol", { class: "bn-st-lines", "aria-label": plain(WORDS.lines) }, ...lines.map(({ node }) => make("li", {}, node))), note),
      make("div", { class: "bn-st-picture" }, xPanel,
        panel("hat", sub(HAT), picture.unit, ...picture.xHat),
        panel("y", sub("y"), ...picture.targets, ...picture.pushY, ...picture.y), ticks,
        make("p", { class: "bn-st-hint" }, ...spans(WORDS.hint))),
      make("div", { class: "bn-st-controls" }, all, refused,
        make("div", { class: "bn-st-parameters", role: "group", "aria-label": plain(WORDS.parameters) }, ...knobs.map((knob) => knob.row))),
      make("div", { class: "bn-st-numbers" }, table), status);

    // An example is the same in every panel and in the table.
    const mark = (event) => {
      const example = event.target.closest?.("[data-example]")?.dataset.example;
      app.querySelectorAll("[data-example]").forEach((node) => node.classList.toggle("bn-st-marked", node.dataset.example === example));
    };
    app.addEventListener("pointerover", mark);
    app.addEventListener("pointerleave", mark);
    app.addEventListener("focusin", mark);

    // Marks glide where a button moved them, and follow at once where a hand does.
    const glide = () => {
      app.classList.add("bn-st-glide");
      clearTimeout(app.timer);
      app.timer = setTimeout(() => app.classList.remove("bn-st-glide"), 700);
    };
    const push = (arrow, from, by) => {
      const to = Math.min(high, Math.max(low, from + by));
      const known = state.line >= 4;
      arrow.style.left = place(known ? Math.min(from, to) : from);
      arrow.style.width = known ? `${(100 * Math.abs(to - from)) / (high - low)}%` : "0";
      arrow.classList.toggle("bn-st-left", by < 0);
    };
    const spread = (band, mean, std) => {
      band.style.left = place(mean - std);
      band.style.right = `calc(100% - ${place(mean + std)})`;
    };

    const show = () => {
      const now = algorithm1(state);
      app.dataset.line = state.line + 1;
      refused.replaceChildren();
      lines.forEach(({ node, value }, k) => {
        value.show(LINES[k].result(now)[1]);
        if (k === state.line) node.setAttribute("aria-current", "step");
        else node.removeAttribute("aria-current");
        node.classList.toggle("bn-st-done", k <= state.line);
      });
      back.setAttribute("aria-disabled", state.line === 0);
      next.setAttribute("aria-disabled", state.line === LINES.length - 1);
      note.replaceChildren(...languages.map((lang) => html("p", { lang }, fill(LINES[state.line].note[lang], fields))));

      handles.forEach((handle, i) => {
        handle.style.left = place(state.x[i]);
        handle.setAttribute("aria-valuenow", tidy(state.x[i]));
        handle.setAttribute("aria-valuetext", String(Number(state.x[i].toFixed(3))).replace("-", "−"));
      });
      picture.mean.style.left = place(now.mean);
      spread(picture.band, now.mean, Math.sqrt(now.variance));
      spread(picture.unit, 0, Math.sqrt(moments(now.xHat)[1]));
      picture.xHat.forEach((dot, i) => { dot.style.left = place(state.line < 2 ? now.x[i] : now.xHat[i]); });
      picture.y.forEach((dot, i) => { dot.style.left = place(state.line < 3 ? now.xHat[i] : now.y[i]); });
      now.dX.forEach((d, i) => push(picture.pushX[i], now.x[i], -state.stretch * d));
      now.dY.forEach((d, i) => push(picture.pushY[i], now.y[i], -d));

      knobs.forEach(({ update }) => update(now));
      COLUMNS.forEach(({ key }) => {
        now[key].forEach((value, i) => cells[key][i + 1].show(value));
        const [mean, variance] = moments(now[key]);
        cells[key].mean.show(mean);
        cells[key].variance?.show(variance);
        cells[key].inner?.show(dot(now[key], now.xHat));
      });
    };

    show();
    box.querySelector(".image-reference").before(app);
    box.classList.add("bn-stepper-live");
  });
})();
