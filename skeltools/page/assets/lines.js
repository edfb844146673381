// Line charts as SVG: axes, a cursor that follows pointer or arrow keys, lines that can be left out.

const SVG = "http://www.w3.org/2000/svg";

function shape(tag, set) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(set)) element.setAttribute(name, value);
  return element;
}

/** About `count` round numbers from low to high. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => power * factor >= rough * 0.999);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) found.push(at * step);
  return found;
}

const short = (value) => String(Number(value.toPrecision(5)));

/** Return the place of the value nearest to `wanted` in a sorted list. */
function nearest(sorted, wanted) {
  let [low, high] = [0, sorted.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < wanted) low = middle;
    else high = middle;
  }
  return wanted - sorted[low] <= sorted[high] - wanted ? low : high;
}

/**
 * A chart of lines over one axis.
 * @param label what it shows, for the axis
 * @param series [{name, colour, x: [...], y: [...], dots}], x sorted
 * @param range [first, last] x of the chart
 * @param set {along: what x is, names: texts of x = 0, 1, ..., bounds: [low, high] of y, diagonal: whether y = x is drawn};
 *   a line may have `sizes`, radii of its dots
 */
function lineChart(label, series, range, height, { along: what = "step", names = null, bounds = null, diagonal = false } = {}) {
  const svg = shape("svg", { tabindex: 0, role: "img", "aria-label": `${label} over ${what === "step" ? "steps" : what}` });
  const hidden = new Set();
  let cursor = null;
  const margin = { left: 58, right: 14, top: 10, bottom: 26 };
  let across, along;

  function draw() {
    const width = svg.clientWidth;
    if (!width) return;
    svg.setAttribute("height", height);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const shown = series.filter((line) => !hidden.has(line.name));
    const all = shown.flatMap((line) => line.y.filter((value) => value !== null));
    let [low, high] = all.length ? [Math.min(...all), Math.max(...all)] : [0, 1];
    const pad = (high - low) * 0.06 || Math.abs(high) * 0.05 || 0.5;
    [low, high] = bounds ?? [low - pad, high + pad];
    const [from, to] = range[0] === range[1] ? [range[0] - 1, range[1] + 1] : range;
    across = (x) => margin.left + ((x - from) / (to - from)) * (width - margin.left - margin.right);
    along = (y) => height - margin.bottom - ((y - low) / (high - low)) * (height - margin.top - margin.bottom);
    const parts = [];
    for (const y of ticks(low, high, Math.max(2, height / 45))) {
      parts.push(shape("line", { x1: margin.left, x2: width - margin.right, y1: along(y), y2: along(y), stroke: "var(--grid)" }));
      const text = shape("text", { x: margin.left - 6, y: along(y) + 4, "text-anchor": "end" });
      text.textContent = short(y);
      parts.push(text);
    }
    for (const x of names ? names.keys() : ticks(from, to, Math.max(2, width / 110))) {
      const text = shape("text", { x: across(x), y: height - 8, "text-anchor": "middle" });
      text.textContent = names ? names[x] : short(x);
      parts.push(text);
    }
    if (diagonal) parts.push(shape("line", { x1: across(low), y1: along(low), x2: across(high), y2: along(high), stroke: "var(--quiet)", "stroke-dasharray": "1 3" }));
    for (const line of shown) {
      let path = "";
      let pen = "M";
      line.x.forEach((x, place) => {
        if (line.y[place] === null) pen = "M";
        else {
          path += `${pen}${across(x).toFixed(1)} ${along(line.y[place]).toFixed(1)}`;
          pen = "L";
        }
      });
      parts.push(shape("path", { d: path, fill: "none", stroke: line.colour, "stroke-width": 1.8, "stroke-linejoin": "round" }));
      if (line.dots || line.x.length < 3) {
        line.x.forEach((x, place) => {
          if (line.y[place] !== null) parts.push(shape("circle", { cx: across(x), cy: along(line.y[place]), r: line.sizes ? line.sizes[place].toFixed(1) : 3, fill: line.colour }));
        });
      }
    }
    if (cursor !== null) parts.push(shape("line", { class: "cursor", x1: across(cursor), x2: across(cursor), y1: margin.top, y2: height - margin.bottom, stroke: "var(--quiet)", "stroke-dasharray": "3 3" }));
    svg.replaceChildren(...parts);
  }

  function point(x, clientX, clientY) {
    const longest = series.reduce((a, b) => (b.x.length > a.x.length ? b : a));
    cursor = longest.x[nearest(longest.x, x)];
    draw();
    const lines = [`${what} ${names ? names[cursor] : cursor}`];
    for (const line of series) {
      if (hidden.has(line.name) || !line.x.length) continue;
      const value = line.y[nearest(line.x, cursor)];
      if (value !== null) lines.push(`${line.name}: ${short(value)}`);
    }
    tip(lines, clientX, clientY);
  }

  function leave() {
    cursor = null;
    tip(null);
    draw();
  }

  svg.addEventListener("pointermove", (event) => {
    if (!across) return;
    const box = svg.getBoundingClientRect();
    const share = (event.clientX - box.left - margin.left) / (box.width - margin.left - margin.right);
    point(range[0] + share * (range[1] - range[0]), event.clientX, event.clientY);
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const longest = series.reduce((a, b) => (b.x.length > a.x.length ? b : a));
    const here = cursor === null ? -1 : nearest(longest.x, cursor);
    const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const x = longest.x[Math.min(Math.max(here + step, 0), longest.x.length - 1)];
    const box = svg.getBoundingClientRect();
    point(x, box.left + (across ? across(x) : 0), box.top + 20);
  });
  new ResizeObserver(draw).observe(svg);

  const legend = make("div", { class: "bar lines" });
  if (series.length > 1) {
    for (const line of series) {
      const button = toggle(line.name, true, (on) => {
        if (on) hidden.delete(line.name);
        else hidden.add(line.name);
        draw();
      });
      button.prepend(key(line.colour));
      legend.append(button);
    }
  }
  return make("div", {}, make("h3", { textContent: label }), legend.children.length ? legend : null, make("div", { class: "frame" }, svg));
}

/** A small patch of colour. */
function key(colour) {
  const patch = make("span", { class: "key" });
  patch.style.display = "inline-block";
  patch.style.margin = "0 0.4rem 0.2rem 0";
  patch.style.background = colour;
  return patch;
}

const partName = (name) => name === "loss" ? "total" : name.replace(/^loss_/, "").replaceAll("_", " ");

/** The charts of a run's log. */
function curveCharts(curves) {
  const range = [curves.steps[0], Math.max(curves.steps.at(-1), curves.monitor.steps.at(-1) ?? 0)];
  const box = make("div", { class: "curves" });
  const line = (name, title, place) => ({ name: title, colour: values.colours.series[place % values.colours.series.length], x: curves.steps, y: curves.values[name] });
  const losses = Object.keys(curves.values).filter((name) => name.startsWith("loss"));
  if (losses.length) box.append(lineChart("loss", losses.map((name, place) => line(name, partName(name), place)), range, 260));
  if (curves.values.lr) box.append(lineChart("learning rate", [line("lr", "learning rate", 0)], range, 150));
  if (curves.values.momentum) box.append(lineChart("momentum of the key encoder", [line("momentum", "momentum", 0)], range, 150));
  if (curves.monitor.steps.length) {
    const monitor = { name: "kNN top-1, %", colour: values.colours.series[2], x: curves.monitor.steps, y: curves.monitor.values, dots: true };
    box.append(lineChart("kNN monitor: top-1 on training clips, %", [monitor], range, 170));
  }
  if (curves.window > 1) box.append(make("p", { class: "quiet", textContent: `Each point is the mean of ${curves.window} steps.` }));
  return box;
}
