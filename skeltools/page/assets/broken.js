// What breaks an encoder: accuracy by severity, reliability diagrams, and a heat map of missing body parts.

const seriesColour = (place) => values.colours.series[place % values.colours.series.length];

/** Charts of top-1 by severity, one corruption at a time. */
function severityCharts(found) {
  const box = make("div");
  const draw = (at) => {
    const family = found.families[at];
    const names = family.lines[0].severities;
    const lines = family.lines.map((line, place) => ({ name: line.name, colour: seriesColour(place), x: line.values.map((_, level) => level), y: line.values, dots: true }));
    box.replaceChildren(lineChart(`top-1 under ${family.name}, %`, lines, [0, names.length - 1], 260, { along: "severity", names, bounds: [0, 100] }));
  };
  const choice = chooser("corruption", found.families.map((family, at) => [at, family.name]), (value) => draw(Number(value)));
  draw(0);
  return make("div", { class: "severities" }, make("p", { class: "quiet", textContent: `${found.title}; severity 0: clean clips` }), make("div", { class: "bar" }, choice.element), box);
}

/** Reliability diagrams: accuracy by confidence, as it is and after a temperature. */
function reliabilityCharts(found) {
  const box = make("div", { class: "reliability" }, make("p", { class: "quiet", textContent: `${found.title}; the first seed of each, ${found.bins} bins of confidence, empty ones left out. On the dotted line confidence is accuracy; below it a classifier is too sure.` }));
  for (const kind of ["as it is", "after temperature"]) {
    const lines = found.lines.filter((line) => line.kind === kind);
    if (!lines.length) continue;
    const most = Math.max(...lines.flatMap((line) => line.clips));
    const series = lines.map((line, place) => ({ name: line.name, colour: seriesColour(place), x: line.confidence, y: line.accuracy, dots: true, sizes: line.clips.map((clips) => 2 + 6 * Math.sqrt(clips / most)) }));
    box.append(lineChart(`${kind}: accuracy by confidence, %`, series, [0, 100], 260, { along: "confidence", bounds: [0, 100], diagonal: true }));
  }
  return box;
}

/** Two heat maps in one table: points of top-1 lost by class when a part is missing, and the salience of the part. */
function partsTable(found) {
  const flat = found.lost.flat();
  const reach = Math.max(1, ...flat.map(Math.abs));
  const saliences = found.salience ? found.salience.flat() : [];
  const [low, high] = [Math.min(...saliences), Math.max(...saliences)];
  const cell = (text, background, dark) => {
    const made = make("td", { class: "number heat", textContent: text });
    made.style.background = background;
    made.style.color = dark ? "#ffffff" : "#000000";
    return made;
  };
  const groups = ["points of top-1 lost", ...(found.salience ? ["salience"] : [])];
  const heads = ["class", "clips", ...groups.flatMap(() => found.parts)];
  const rows = found.classes.map((name, at) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, named(name)),
      make("td", { class: "number", textContent: String(found.clips[at]) }),
      ...found.lost[at].map((value) => cell(`${value >= 0 ? "+" : ""}${value.toFixed(0)}`, ramp([found.colours[0], "#ffffff", found.colours[1]], 0.5 + value / reach / 2), false)),
      ...(found.salience ? found.salience[at] : []).map((value) => {
        const share = high > low ? (value - low) / (high - low) : 0.5;
        return cell(value.toFixed(3), ramp(values.colours.salience, share), share < 0.5);
      }),
    ),
  );
  const table = make(
    "table",
    {},
    make("caption", { textContent: `${found.title}: what a missing part costs${found.salience ? ", and the salience of its mask" : ""}` }),
    make("thead", {}, make("tr", {}, make("td", { colSpan: 2 }), ...groups.map((name) => make("th", { scope: "colgroup", class: "group", colSpan: found.parts.length, textContent: name }))), make("tr", {}, ...heads.map((head, place) => make("th", { scope: "col", class: place ? "number" : "", textContent: head })))),
    make("tbody", {}, ...rows),
  );
  return make("div", { class: "parts" }, tableBox(table, found.title), make("p", { class: "quiet", textContent: `${found.told}.` }));
}
