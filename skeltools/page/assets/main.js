// The page: sections in order, and one run at a time where there are several.

const main = document.getElementById("main");
const contents = document.getElementById("contents");

document.getElementById("heading").textContent = values.heading;
document.getElementById("made").textContent = `skeltools ${values.version}, ${{ view: "a data file", timeline: "classes over time" }[values.kind] ?? `${values.runs.length} ${values.runs.length > 1 ? "runs" : "run"}`}`;
document.getElementById("theme").addEventListener("click", () => {
  const dark = colour("--page") !== "#ffffff";
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  dispatchEvent(new Event("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));

/** Add a section with a place in the contents and return it. */
function section(id, title, ...children) {
  contents.append(make("a", { href: `#${id}`, textContent: title }));
  const made = make("section", { id }, make("h2", { textContent: title }), ...children);
  main.append(made);
  return made;
}

if (values.notes.length) main.append(make("ul", { class: "notes" }, ...values.notes.map((note) => make("li", {}, named(note)))));

/** A box whose content follows the chosen run. */
const following = [];
function follow(id, title, fill) {
  if (!values.runs.some((run) => fill.fits(run))) return;
  const box = make("div");
  section(id, title, box);
  following.push((run) => {
    box.replaceChildren();
    if (fill.fits(run)) box.append(...[fill.make(run)].flat());
    else box.append(make("p", { class: "quiet", textContent: "This run has none; see the notes." }));
  });
}

let player = null;
const toPlayer = () => document.getElementById("player").scrollIntoView({ block: "start" });

if (values.kind === "run") {
  section("results", "Results", ...values.tables.map(sortableTable));
  if (!values.tables.length) document.getElementById("results").append(make("p", { textContent: "No protocol has been run yet." }));
  if (values.more.length) {
    document.getElementById("results").append(make("details", {}, make("summary", { textContent: "Top-1 by class" }), ...values.more.map(sortableTable)));
  }
}

if (values.broken) {
  const { severities, reliability, parts } = values.broken;
  if (severities.length || reliability.length) section("broken", "What breaks it", ...severities.map(severityCharts), ...reliability.map(reliabilityCharts));
  if (parts.length) section("parts", "Missing parts", ...parts.map(partsTable));
}

if (values.runs.length > 1) {
  const choice = chooser("run", values.runs.map((run, at) => [at, brief(run.name)]), (value) => show(values.runs[Number(value)]));
  section("run", "Run", make("div", { class: "bar" }, choice.element), make("p", { class: "quiet", textContent: "What follows is of this run." }));
}

follow("player", values.kind === "timeline" ? "Recording" : "Clips", {
  fits: (run) => run.player && run.player.clips.length,
  make: (run) => {
    player = clipPlayer(run);
    return player.element;
  },
});
follow("confusion", "Confusions", {
  fits: (run) => run.confusions && run.confusions.length,
  make: (run) => {
    const box = make("div");
    const draw = (at) => box.replaceChildren(confusionMatrix(run.confusions[at], player && run.confusions[at].shown ? (truth, guess) => {
      player.filter(truth, guess);
      toPlayer();
    } : null));
    const choice = chooser("result", run.confusions.map((found, at) => [at, found.title]), (value) => draw(Number(value)));
    draw(0);
    return [make("div", { class: "bar" }, choice.element), box];
  },
});
follow("embedding", "Features", {
  fits: (run) => run.embedding,
  make: (run) => embeddingChart(run.embedding, run.classes, (at) => {
    player.open(at);
    toPlayer();
  }),
});
follow("curves", "Curves", { fits: (run) => run.curves, make: (run) => curveCharts(run.curves) });
if (values.kind === "timeline") {
  section("stretches", "Frames by class", ...values.tables.map(sortableTable));
  section("about", "The recording", factTable(values.facts));
}
if (values.kind === "view") {
  section("classes", "Classes", ...values.tables.map(sortableTable));
  section("about", "The file", factTable(values.facts));
}
follow("settings", "What was run", {
  fits: (run) => run.facts,
  make: (run) => [factTable(run.facts), make("details", {}, make("summary", { textContent: "Every setting" }), sortableTable(run.settings)), run.records.rows.length ? make("details", {}, make("summary", { textContent: "Every result: its settings and digests" }), sortableTable(run.records)) : ""],
});

function show(run) {
  if (player) player.stop();
  player = null;
  following.forEach((fill) => fill(run));
}
show(values.runs[0]);

// Paper is light and has no folded parts.
let before = null;
addEventListener("beforeprint", () => {
  const folded = [...document.querySelectorAll("details:not([open])")];
  before = { theme: document.documentElement.dataset.theme, folded };
  folded.forEach((one) => (one.open = true));
  document.documentElement.dataset.theme = "light";
  dispatchEvent(new Event("themechange"));
});
addEventListener("afterprint", () => {
  if (!before) return;
  before.folded.forEach((one) => (one.open = false));
  if (before.theme) document.documentElement.dataset.theme = before.theme;
  else delete document.documentElement.dataset.theme;
  before = null;
  dispatchEvent(new Event("themechange"));
});
document.documentElement.dataset.ready = "yes";
