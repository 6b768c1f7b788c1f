// The live form of a figure, on its own page. bnbook.js loads it on a click, after uPlot (vendor/) and the
// figure's numbers (`bnFigure`, see drawing/series.py): values under the pointer, zoom, a choice of series and
// seeds, the rows in sight as CSV. uPlot has the scales, the axes and the selection; what is drawn into them are
// the marks of the figure itself, in its colours by day or by night.
(() => {
  "use strict";

  const box = document.querySelector(".bn-plots");
  const words = JSON.parse(box.dataset.words);
  const { figure, panels } = globalThis.bnFigure;
  const language = box.lang || document.documentElement.lang;
  const NEAR = 48; // CSS pixels from a mouse to a point that is read
  const ZOOM = 2;
  const CORNERS = { // of markers that are not round, in their radius; Matplotlib's letters
    s: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
    "^": [[0, -1], [1, 1], [-1, 1]],
    v: [[0, 1], [1, -1], [-1, -1]],
    "<": [[-1, 0], [1, -1], [1, 1]],
    ">": [[1, 0], [-1, 1], [-1, -1]],
  };
  const STEP = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  const create = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    made.append(...children);
    return made;
  };
  const button = (word, act, label = word) => {
    const made = create("button", { type: "button", class: "bn-button bn-plot-button", "aria-label": label, title: label }, word);
    made.addEventListener("click", act);
    return made;
  };
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = () => document.documentElement.dataset.theme === "dark";

  // Numbers as they are read, to the digits that the CSV has.
  const written = (value) => {
    const size = Math.abs(value);
    if (size && (size < 1e-4 || size >= 1e7)) return value.toExponential().replace("e+", "e").replace(/-/g, "−");
    return value.toLocaleString(language, { maximumSignificantDigits: 6 }).replace("-", "−");
  };

  // What is chosen

  const off = { names: new Set(), seeds: new Set() };
  const charts = [];
  const nameOf = (mark) => mark.name || words.other;
  const isShown = (mark) =>
    (mark.kind === "cells" && !mark.name) || (!off.names.has(nameOf(mark)) && !off.seeds.has(mark.seed));

  const choice = (word, kinds, chosen, colour) => {
    const boxes = kinds.map((kind) => {
      const input = create("input", { type: "checkbox" });
      input.checked = true;
      input.addEventListener("change", () => {
        input.checked ? chosen.delete(kind) : chosen.add(kind);
        charts.forEach((chart) => chart.draw());
      });
      const mark = colour(kind);
      const sign = create("span", { class: "bn-plot-colour", "aria-hidden": "true" });
      if (mark) paintSign(sign, mark);
      return create("label", { class: "bn-plot-choice" }, input, ...(mark ? [sign] : []), kind);
    });
    return create("fieldset", { class: "bn-plot-choices" }, create("legend", {}, word), ...boxes);
  };
  const signs = [];
  const paintSign = (sign, mark) => {
    signs.push([sign, mark]);
    sign.style.background = mark.colour[dark() ? 1 : 0];
  };

  // Axes

  const forward = (axis) => {
    if (axis.scale === "log") return Math.log10;
    const linear = axis.linear || 1;
    return axis.scale === "symlog" ? (value) => Math.asinh(value / linear) : (value) => value;
  };
  const backward = (axis) => {
    if (axis.scale === "log") return (value) => 10 ** value;
    const linear = axis.linear || 1;
    return axis.scale === "symlog" ? (value) => Math.sinh(value) * linear : (value) => value;
  };

  const isWhole = (axis, [low, high]) =>
    low === Math.min(...axis.limits) && high === Math.max(...axis.limits);

  // Ticks: the figure's own while all is in sight and where they are names; then round numbers.
  const ticks = (axis, view) => {
    const own = axis.ticks.filter(([at]) => at >= view[0] && at <= view[1]);
    if (axis.names || axis.said || isWhole(axis, view)) return own;
    const [low, high] = view;
    if (axis.scale === "log" && high / low > 30) {
      const places = [];
      for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power++) places.push(10 ** power);
      const every = Math.ceil(places.length / 6);
      return places.filter((_, place) => place % every === 0).map((at) => [at, written(at)]);
    }
    const rough = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
    const places = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) places.push(at);
    return places.map((at) => [at, written(Number(at.toPrecision(10)))]);
  };

  // What stands at a place of an axis: a name, what its ticks would say, or the number.
  const said = (axis, value) => {
    if (value == null) return "";
    if (axis.names) {
      const [at, name] = axis.ticks.reduce((a, b) => (Math.abs(b[0] - value) < Math.abs(a[0] - value) ? b : a));
      return Math.abs(at - value) < 0.5 ? name : "";
    }
    return axis.said?.find(([at]) => at === value)?.[1] ?? written(value);
  };

  const wrap = (text, room) => {
    const lines = [];
    text.split(" ").forEach((word) => {
      const last = lines.length - 1;
      if (last >= 0 && (lines[last] + word).length < room) lines[last] += ` ${word}`;
      else lines.push(word);
    });
    return lines.join("\n");
  };

  // A panel

  class Chart {
    constructor(panel, place) {
      this.panel = panel;
      this.axes = { x: panel.x, y: panel.y };
      this.whole = { x: this.limits(panel.x), y: this.limits(panel.y) };
      this.view = { ...this.whole };
      this.at = null;
      this.touches = new Map();
      this.name = panel.title || `${words.panel} ${place + 1}`;
      this.frame = create("div", {
        class: "bn-plot-frame", tabindex: "0", role: "application", "aria-label": `${this.name}. ${words.keys}`,
      });
      this.reading = create("output", { class: "bn-plot-reading", "aria-live": "polite" }, words.hint);
      const tools = create("div", { class: "bn-plot-tools", role: "group", "aria-label": this.name },
        button("+", () => this.scale(1 / ZOOM), words.in),
        button("−", () => this.scale(ZOOM), words.out),
        button(words.all, () => this.show(this.whole)),
        button("CSV", () => this.save(place), words.csv));
      this.box = create("section", { class: "bn-plot", "aria-label": this.name },
        create("p", { class: "bn-plot-title" }, panel.title || "\u00a0"), this.frame, this.reading, tools);
      this.ring = create("div", { class: "bn-plot-ring", hidden: "" });
    }

    limits({ limits }) { return [Math.min(...limits), Math.max(...limits)]; }

    width() { return this.frame.clientWidth; }

    height() {
      const rows = this.panel.y.names ? this.panel.y.ticks.length : 0;
      return Math.max(300, 90 + 38 * rows);
    }

    start() {
      const scale = (key) => {
        const axis = this.axes[key];
        const kind = { linear: 1, log: 3, symlog: 100 }[axis.scale] ?? 1;
        return {
          time: false, distr: kind, dir: axis.inverted ? -1 : 1, range: () => this.view[key],
          ...(kind === 100 ? { fwd: forward(axis), bwd: backward(axis) } : {}),
        };
      };
      const axis = (key) => {
        const given = this.axes[key];
        const room = key === "y" ? Math.min(24, Math.max(10, Math.round(this.width() / 26))) : 12;
        return {
          scale: key, side: key === "x" ? 2 : 3, label: given.label ? (key === "y" ? given.label : wrap(given.label, this.width() / 7)) : undefined,
          labelSize: 22, labelFont: font(13), font: font(12), stroke: () => style("--pst-color-text-base"),
          grid: { stroke: () => style("--bn-line"), width: 1 }, ticks: { stroke: () => style("--bn-line"), width: 1, size: 5 },
          splits: () => ticks(given, this.view[key]).map(([at]) => at),
          filter: (_, splits) => splits,
          values: (_, splits) => {
            const known = new Map(ticks(given, this.view[key]));
            return splits.map((at) => (given.names ? wrap(known.get(at) ?? "", room) : known.get(at) ?? ""));
          },
          size: key === "x" ? 38 : (_, values) => {
            const lines = (values ?? []).flatMap((value) => value.split("\n"));
            return 16 + 7.2 * Math.max(3, ...lines.map(textWidth));
          },
        };
      };
      this.plot = new uPlot({
        mode: 2, width: this.width(), height: this.height(), legend: { show: false }, padding: [10, 14, 0, 0],
        cursor: { x: false, y: false, points: { show: false }, drag: { x: true, y: true, setScale: false }, dataIdx: () => null, bind: { dblclick: () => null } },
        scales: { x: scale("x"), y: scale("y") },
        axes: [axis("x"), axis("y")],
        series: [{}, ...this.panel.marks.map((mark) => ({ paths: () => { this.paint(mark); return null; }, points: { show: false } }))],
        hooks: { setSelect: [() => this.select()] },
      }, [null, ...this.panel.marks.map(({ x, y }) => [x, y])], this.frame);
      this.over = this.plot.over;
      this.over.append(this.ring);
      this.listen();
      new ResizeObserver(() => {
        if (this.width() !== this.plot.width) this.plot.setSize({ width: this.width(), height: this.height() });
        this.locate();
      }).observe(this.frame);
    }

    draw() {
      this.points = null;
      this.plot.redraw(false, true);
      if (this.at && !isShown(this.at.mark)) this.read(null);
    }

    // Marks

    place(key, value, edge) {
      if (value == null) return edge;
      return this.plot.valToPos(value, key, true);
    }

    paint(mark) {
      if (!isShown(mark)) return;
      const { ctx, bbox } = this.plot;
      const pixel = devicePixelRatio;
      const colour = mark.colour?.[dark() ? 1 : 0];
      const right = bbox.left + bbox.width, bottom = bbox.top + bbox.height;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      ctx.globalAlpha = mark.opacity ?? 1;
      ctx.strokeStyle = ctx.fillStyle = colour ?? "";
      ctx.lineWidth = (mark.width ?? 0) * pixel;
      ctx.setLineDash((mark.dash ?? []).map((part) => part * pixel));
      ctx.lineJoin = "round";
      if (mark.kind === "cells") {
        mark.boxes.forEach(([x0, x1, y0, y1], cell) => {
          // At whole pixels, or lines would show between cells.
          const [left, end] = [this.place("x", x0, bbox.left), this.place("x", x1, right)].map(Math.round);
          const [top, foot] = [this.place("y", y0, bbox.top), this.place("y", y1, bottom)].map(Math.round);
          ctx.fillStyle = mark.colour?.length ? colour : mark.colours[cell];
          ctx.fillRect(left, top, end - left, foot - top);
        });
      } else if (mark.kind === "rule") {
        ctx.beginPath();
        ctx.moveTo(this.place("x", mark.x[0], bbox.left), this.place("y", mark.y[0], bbox.top));
        ctx.lineTo(this.place("x", mark.x[0], right), this.place("y", mark.y[0], bottom));
        ctx.stroke();
      } else if (mark.kind !== "dots") {
        ctx.beginPath();
        let gap = true;
        mark.x.forEach((x, number) => {
          const y = mark.y[number];
          if (x == null || y == null) { gap = true; return; }
          ctx[gap ? "moveTo" : "lineTo"](this.place("x", x), this.place("y", y));
          gap = false;
        });
        mark.kind === "band" ? ctx.fill() : ctx.stroke();
      }
      if (mark.radius) this.dots(mark, pixel);
      ctx.restore();
    }

    dots(mark, pixel) {
      const { ctx } = this.plot;
      const size = Math.max(mark.radius, 2) * pixel;
      ctx.setLineDash([]);
      ctx.lineWidth = 1.5 * pixel;
      mark.x.forEach((x, number) => {
        if (x == null || mark.y[number] == null) return;
        const [left, top] = [this.place("x", x), this.place("y", mark.y[number])];
        ctx.beginPath();
        if (mark.shape === "|") { ctx.moveTo(left, top - size); ctx.lineTo(left, top + size); }
        else if (mark.shape === "_") { ctx.moveTo(left - size, top); ctx.lineTo(left + size, top); }
        else if (mark.shape in CORNERS) {
          CORNERS[mark.shape].forEach(([x, y]) => ctx.lineTo(left + x * size, top + y * size));
          ctx.closePath();
        }
        else ctx.arc(left, top, size, 0, 2 * Math.PI);
        mark.hollow || mark.shape === "|" || mark.shape === "_" ? ctx.stroke() : ctx.fill();
      });
    }

    // Readings

    // Every point in sight with its place on the screen, in CSS pixels of the plot.
    found() {
      if (this.points) return this.points;
      const inside = (key, value) => value == null || (value >= this.view[key][0] && value <= this.view[key][1]);
      this.points = this.panel.marks.filter(isShown).flatMap((mark) =>
        Array.from({ length: Math.max(mark.x.length, mark.y.length) }, (_, number) => {
          const [x, y] = [mark.x[number] ?? null, mark.y[number] ?? null];
          if ((mark.kind !== "rule" && (x === null || y === null)) || !inside("x", x) || !inside("y", y)) return null;
          return {
            mark, number, x, y,
            left: x === null ? null : this.plot.valToPos(x, "x"), top: y === null ? null : this.plot.valToPos(y, "y"),
          };
        }).filter(Boolean));
      return this.points;
    }

    nearest(left, top, far) {
      let best = null, least = far;
      this.found().forEach((point) => {
        // A rule is as near as it is, but a point beside it comes first; a cell is read wherever one is in it.
        const across = point.left === null ? 6 : point.left - left;
        const up = point.top === null ? 6 : point.top - top;
        const distance = this.isInside(point, left, top) ? 0 : Math.hypot(across, up);
        if (distance < least) [best, least] = [point, distance];
      });
      return best;
    }

    isInside({ mark, number }, left, top) {
      if (mark.kind !== "cells" || !mark.values) return false;
      const [x0, x1, y0, y1] = mark.boxes[number];
      const [x, y] = [this.plot.posToVal(left, "x"), this.plot.posToVal(top, "y")];
      return x >= Math.min(x0, x1) && x < Math.max(x0, x1) && y >= Math.min(y0, y1) && y < Math.max(y0, y1);
    }

    read(point) {
      this.at = point;
      this.locate();
      if (!point) { this.reading.textContent = words.hint; return; }
      const { mark, number } = point;
      const value = (key) => {
        const text = said(this.axes[key], point[key]);
        const label = this.axes[key].label;
        return text && text !== mark.name ? (label ? `${label}: ${text}` : text) : "";
      };
      const seed = mark.seed != null ? `${words.seed} ${mark.seed}` : "";
      const cell = mark.values ? mark.values[number] : null;
      const shown = cell === null ? "" : typeof cell === "string" ? cell : written(cell);
      const parts = [mark.name, seed, value("x"), value("y"), shown && (this.panel.value ? `${this.panel.value}: ${shown}` : shown)];
      this.reading.textContent = parts.filter(Boolean).join(" · ");
    }

    locate() {
      const point = this.at;
      this.ring.hidden = !point || !this.found().some((one) => one.mark === point.mark && one.number === point.number);
      if (this.ring.hidden) return;
      const { clientWidth, clientHeight } = this.over;
      const left = point.x === null ? clientWidth / 2 : this.plot.valToPos(point.x, "x");
      const top = point.y === null ? clientHeight / 2 : this.plot.valToPos(point.y, "y");
      this.ring.style.transform = `translate(${left}px, ${top}px)`;
    }

    // From the keyboard: along a series, and to the next series.
    step([along, across]) {
      const points = this.found();
      if (!points.length) return;
      if (!this.at || !points.some((one) => one.mark === this.at.mark && one.number === this.at.number)) {
        return this.read(points.find(({ mark }) => mark.kind !== "rule") ?? points[0]);
      }
      const own = points.filter(({ mark }) => mark === this.at.mark);
      const place = own.findIndex(({ number }) => number === this.at.number);
      if (along) return this.read(own[Math.min(own.length - 1, Math.max(0, place + along))]);
      const marks = [...new Set(points.map(({ mark }) => mark))];
      const next = marks[(marks.indexOf(this.at.mark) + across + marks.length) % marks.length];
      const { left, top } = own[place];
      const gap = (one) => Math.hypot((one.left ?? 0) - (left ?? 0), 0.1 * ((one.top ?? 0) - (top ?? 0)));
      this.read(points.filter(({ mark }) => mark === next).reduce((a, b) => (gap(b) < gap(a) ? b : a)));
    }

    // Zoom

    show(view) {
      this.view = { x: [...view.x], y: [...view.y] };
      this.points = null;
      this.plot.batch(() => ["x", "y"].forEach((key) => this.plot.setScale(key, { min: this.view[key][0], max: this.view[key][1] })));
      this.plot.redraw(false, true);
      this.points = null;
      this.locate();
    }

    // By a factor around a place of the plot, which then moves by (dx, dy) pixels; never beyond the whole.
    scale(factor, middle = null, moved = [0, 0]) {
      const sizes = { x: this.over.clientWidth, y: this.over.clientHeight };
      const view = {};
      ["x", "y"].forEach((key, number) => {
        const axis = this.axes[key];
        const [to, from] = [forward(axis), backward(axis)];
        const [low, high] = this.view[key].map(to);
        const [least, most] = this.whole[key].map(to);
        const point = this.at?.[key];
        const centre = middle ? to(this.plot.posToVal(middle[number], key)) : point != null && point >= this.view[key][0] && point <= this.view[key][1] ? to(point) : (low + high) / 2;
        const turned = (key === "x" ? 1 : -1) * (axis.inverted ? -1 : 1);
        const shift = -turned * moved[number] * (high - low) / sizes[key];
        const span = Math.min((high - low) * factor, most - least);
        if (span < 1e-6 * (most - least)) { view[key] = this.view[key]; return; }
        const share = (centre - low) / (high - low);
        const start = Math.min(Math.max(centre - share * span + shift, least), most - span);
        view[key] = span > 0.999999 * (most - least) ? this.whole[key] : [from(start), from(start + span)];
      });
      this.show(view);
    }

    select() {
      const { left, top, width, height } = this.plot.select;
      if (width < 8 || height < 8) return;
      const range = (key, from, to) => {
        const ends = [this.plot.posToVal(from, key), this.plot.posToVal(to, key)].sort((a, b) => a - b);
        return [Math.max(ends[0], this.whole[key][0]), Math.min(ends[1], this.whole[key][1])];
      };
      const view = { x: range("x", left, left + width), y: range("y", top, top + height) };
      this.plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      this.show(view);
    }

    listen() {
      const place = (event) => {
        const { left, top } = this.over.getBoundingClientRect();
        return [event.clientX - left, event.clientY - top];
      };
      this.over.addEventListener("pointerdown", (event) => {
        if (event.pointerType === "mouse") return;
        this.touches.set(event.pointerId, place(event));
        if (this.touches.size === 1) this.read(this.nearest(...place(event), Infinity));
      });
      this.over.addEventListener("pointermove", (event) => {
        if (event.pointerType === "mouse") {
          if (!event.buttons) this.read(this.nearest(...place(event), NEAR));
          return;
        }
        if (!this.touches.has(event.pointerId)) return;
        const before = [...this.touches.values()];
        this.touches.set(event.pointerId, place(event));
        if (this.touches.size === 1) return this.read(this.nearest(...place(event), Infinity));
        const after = [...this.touches.values()];
        const gap = ([[x0, y0], [x1, y1]]) => Math.max(20, Math.hypot(x1 - x0, y1 - y0));
        const middle = ([[x0, y0], [x1, y1]]) => [(x0 + x1) / 2, (y0 + y1) / 2];
        const [from, to] = [middle(before), middle(after)];
        this.scale(gap(before) / gap(after), from, [to[0] - from[0], to[1] - from[1]]);
      });
      ["pointerup", "pointercancel"].forEach((kind) =>
        addEventListener(kind, (event) => this.touches.delete(event.pointerId)));
      this.over.addEventListener("dblclick", () => this.show(this.whole));
      this.frame.addEventListener("focus", () => { if (!this.at && this.frame.matches(":focus-visible")) this.step([0, 0]); });
      this.frame.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (STEP[event.key]) this.step(STEP[event.key]);
        else if (event.key === "Home" || event.key === "End") this.step([event.key === "Home" ? -Infinity : Infinity, 0]);
        else if (event.key === "+" || event.key === "=") this.scale(1 / ZOOM);
        else if (event.key === "-") this.scale(ZOOM);
        else if (event.key === "0" || event.key === "Escape") this.show(this.whole);
        else return;
        event.preventDefault();
      });
    }

    // The rows in sight

    csv() {
      const cell = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
      const value = (key, at) => (at === null ? "" : this.axes[key].names || this.axes[key].said ? said(this.axes[key], at) : at);
      const points = this.found();
      const valued = points.some(({ mark }) => mark.values);
      const head = [words.series, words.seed, this.axes.x.label || "x", this.axes.y.label || "y", ...(valued ? [this.panel.value || words.value] : [])];
      const rows = points.map(({ mark, number, x, y }) =>
        [mark.name, mark.seed ?? "", value("x", x), value("y", y), ...(valued ? [mark.values?.[number] ?? ""] : [])]);
      return [head, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
    }

    save(place) {
      // The mark at the beginning tells Excel that this is UTF-8.
      const address = URL.createObjectURL(new Blob(["\ufeff", this.csv()], { type: "text/csv" }));
      create("a", { href: address, download: `${figure}-${place + 1}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    }
  }

  const font = (size) => `${size}px ${getComputedStyle(document.body).fontFamily}`;
  // In letters: a Korean one is as wide as two.
  const textWidth = (text) => [...text].reduce((sum, sign) => sum + (sign > "\u1100" ? 1.75 : 1), 0);

  const marks = panels.flatMap((panel) => panel.marks);
  const chosen = marks.filter((mark) => mark.kind !== "cells" || mark.name);
  const names = [...new Set(chosen.map(nameOf))].sort((a, b) => (a === words.other) - (b === words.other));
  const seeds = [...new Set(marks.map((mark) => mark.seed).filter((seed) => seed != null))]
    .sort((a, b) => a - b || String(a).localeCompare(b));
  const named = (name) => {
    const alike = chosen.filter((mark) => nameOf(mark) === name && mark.colour?.length);
    return alike.find((mark) => mark.kind !== "band") ?? alike[0];
  };
  if (names.length > 1) box.append(choice(words.series, names, off.names, named));
  if (seeds.length > 1) box.append(choice(words.seeds, seeds, off.seeds, () => null));
  const grid = create("div", { class: "bn-plot-grid" });
  if (panels.length === 1) grid.classList.add("bn-plot-one");
  box.append(grid);
  panels.forEach((panel, place) => {
    const chart = new Chart(panel, place);
    charts.push(chart);
    grid.append(chart.box);
  });
  box.hidden = false;
  charts.forEach((chart) => chart.start());

  new MutationObserver(() => {
    signs.forEach(([sign, mark]) => { sign.style.background = mark.colour[dark() ? 1 : 0]; });
    charts.forEach((chart) => chart.draw());
  }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
