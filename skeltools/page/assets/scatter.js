// The embedding: a point per clip, by class or by right and wrong; one class can be picked out.

/**
 * @param found {title, points: [[x, y]] within -1000..1000, labels, guesses, names, clips}
 * @param classes class names by label
 * @param open called with a place in the player's clips
 */
function embeddingChart(found, classes, open) {
  const labels = [...new Set(found.labels)].sort((a, b) => a - b);
  const order = new Map(labels.map((label, at) => [label, at]));
  const series = values.colours.series;
  let only = null;
  let byMistake = false;
  let chosen = null;
  let spots = [];

  const wrong = (place) => found.guesses[place] !== null && found.guesses[place] !== found.labels[place];
  const visible = (place) => only === null || found.labels[place] === only;

  const { canvas, redraw } = surface(found.title, (context, width, height) => {
    const scale = (Math.min(width, height) - 24) / 2000;
    const stretch = Math.min((width - 24) / 2000, scale * 1.7);
    spots = found.points.map(([x, y]) => [width / 2 + x * stretch, height / 2 - y * scale]);
    const size = Math.min(5, Math.max(2.2, 90 / Math.sqrt(spots.length)));
    const draw = (place, faint) => {
      const [x, y] = spots[place];
      const at = order.get(found.labels[place]);
      context.globalAlpha = faint ? 0.12 : 0.85;
      context.fillStyle = byMistake ? (found.guesses[place] === null ? colours.none : wrong(place) ? colours.wrong : colours.right) : series[at % series.length];
      context.beginPath();
      if (!byMistake && Math.floor(at / series.length) % 2) context.rect(x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8);
      else context.arc(x, y, size, 0, 7);
      context.fill();
    };
    const colours = { right: colour("--right"), wrong: colour("--wrong"), none: colour("--quiet") };
    spots.forEach((_, place) => visible(place) || draw(place, true));
    spots.forEach((_, place) => visible(place) && draw(place, false));
    context.globalAlpha = 1;
    if (chosen !== null) {
      context.strokeStyle = colour("--text");
      context.lineWidth = 2;
      context.beginPath();
      context.arc(...spots[chosen], size + 4, 0, 7);
      context.stroke();
    }
  });
  canvas.style.height = "min(70vh, 32rem)";
  canvas.dataset.points = found.points.length;

  function tell() {
    const box = canvas.getBoundingClientRect();
    const [label, guess] = [found.labels[chosen], found.guesses[chosen]];
    const lines = [brief(found.names[chosen]), `class: ${brief(className(classes, label))}`];
    if (guess !== null) lines.push(`predicted: ${brief(className(classes, guess))}`);
    if (found.clips[chosen] !== null) lines.push("click or Enter: show in the player");
    tip(lines, box.left + spots[chosen][0], box.top + spots[chosen][1]);
    redraw();
  }

  const leave = () => {
    chosen = null;
    tip(null);
    redraw();
  };
  const show = () => chosen !== null && found.clips[chosen] !== null && open(found.clips[chosen]);
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let [best, least] = [null, 200];
    spots.forEach(([a, b], place) => {
      const far = (a - x) ** 2 + (b - y) ** 2;
      if (visible(place) && far < least) [best, least] = [place, far];
    });
    if (best === null) return leave();
    chosen = best;
    tell();
  });
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("click", show);
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter") return show();
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const shown = spots.map((_, place) => place).filter(visible);
    if (!shown.length) return;
    const here = shown.indexOf(chosen);
    chosen = shown[(here + step + shown.length) % shown.length];
    tell();
  });

  const filter = chooser("class", [["", "all classes"], ...labels.map((label) => [label, `${label} ${brief(className(classes, label), 48)}`])], (value) => {
    only = value === "" ? null : Number(value);
    canvas.dataset.shown = found.labels.filter((label) => only === null || label === only).length;
    chosen = null;
    redraw();
  });
  canvas.dataset.shown = found.points.length;
  const bar = make("div", { class: "bar" }, filter.element);
  if (found.guesses.some((guess) => guess !== null)) {
    bar.append(toggle("colour right and wrong", false, (on) => {
      byMistake = on;
      redraw();
    }));
  }
  return make("div", {}, make("p", { class: "quiet", textContent: `${found.title}. With many classes colours repeat, with squares for dots; choose a class to pick it out.` }), bar, make("div", { class: "frame" }, canvas));
}
