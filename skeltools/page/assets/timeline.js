// The timeline under the player: a row per class, the best class, its score, and where the player is.

const MOST_ROWS = 8; // one for each colour

/**
 * @param timeline {frames, step, stretches: [[start, stop, label, score]], windows: [[start, stop, best, gap]]}
 * @param go Called with the player's frame when a place of the timeline is chosen.
 */
function timelineStrip(timeline, classes, go) {
  const { frames, step, stretches, windows } = timeline;
  const total = {};
  for (const [start, stop, label] of stretches) if (label >= 0) total[label] = (total[label] ?? 0) + stop - start;
  const order = Object.keys(total).map(Number).sort((a, b) => total[b] - total[a] || a - b);
  const shown = order.slice(0, MOST_ROWS);
  const names = shown.map((label) => brief(className(classes, label), 30));
  if (order.length > shown.length) names.push(`${order.length - shown.length} other classes`);
  const paint = (label) => (shown.includes(label) ? values.colours.series[shown.indexOf(label) % values.colours.series.length] : colour("--quiet"));
  const row = (label) => (shown.includes(label) ? shown.indexOf(label) : shown.length);
  const [line, band, chart] = [17, 15, 54]; // heights in pixels
  let now = 0; // frame of the recording

  const layout = (width) => {
    const left = Math.min(190, width * 0.32);
    return { left, place: (frame) => left + (frame / frames) * (width - left - 2), bandTop: names.length * line + 4, chartTop: names.length * line + band + 10 };
  };
  const { canvas, redraw } = surface("Classes over time. Arrow keys move, or click to choose a frame.", (context, width, height) => {
    const { left, place, bandTop, chartTop } = layout(width);
    context.textBaseline = "middle";
    context.textAlign = "right";
    context.fillStyle = colour("--text");
    [...names, "best class"].forEach((name, at) => context.fillText(name, left - 8, at < names.length ? at * line + line / 2 : bandTop + band / 2, left - 10));
    context.fillText("score", left - 8, chartTop + chart / 2, left - 10);
    context.strokeStyle = colour("--grid");
    context.strokeRect(left, chartTop, width - left - 2, chart);
    for (const [start, stop, label] of stretches) {
      const [from, wide] = [place(start), Math.max(place(stop) - place(start), 1)];
      if (label < 0) {
        context.fillStyle = colour("--grid");
        context.fillRect(from, 0, wide, chartTop + chart);
        continue;
      }
      context.fillStyle = paint(label);
      context.fillRect(from, row(label) * line + 2, wide, line - 4);
      context.fillRect(from, bandTop, wide, band);
    }
    context.strokeStyle = colour("--text");
    context.lineWidth = 1.3;
    context.beginPath();
    let drawing = false;
    for (const [start, stop, best] of windows) {
      const [x, y] = [place((start + stop) / 2), best.length ? chartTop + chart * (1 - best[0][1]) : null];
      if (y === null) drawing = false;
      else if (drawing) context.lineTo(x, y);
      else context.moveTo(x, y);
      if (y !== null) drawing = true;
    }
    if (windows.length === 1 && windows[0][2].length) {
      const y = chartTop + chart * (1 - windows[0][2][0][1]);
      context.moveTo(place(0), y);
      context.lineTo(place(frames), y);
    }
    context.stroke();
    context.strokeStyle = colour("--strong");
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(place(now + 0.5), 0);
    context.lineTo(place(now + 0.5), chartTop + chart);
    context.stroke();
  });
  canvas.className = "timeline";
  canvas.style.height = `${names.length * line + band + 12 + chart}px`;

  const frameAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const { left } = layout(box.width);
    return Math.max(0, Math.min(frames - 1, Math.floor(((event.clientX - box.left - left) / (box.width - left - 2)) * frames)));
  };
  /** The window whose middle is nearest to a frame. */
  const windowAt = (frame) => windows.reduce((best, one) => (Math.abs((one[0] + one[1]) / 2 - frame) < Math.abs((best[0] + best[1]) / 2 - frame) ? one : best));
  const choose = (frame) => go(Math.floor(Math.max(0, Math.min(frames - 1, frame)) / step));
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    choose(frameAt(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) choose(frameAt(event));
    const frame = frameAt(event);
    const stretch = stretches.find(([start, stop]) => frame >= start && frame < stop);
    tip([`frame ${frame}`, stretch[2] < 0 ? "no class" : `${brief(className(classes, stretch[2]), 50)} ${percent(stretch[3])}`], event.clientX, event.clientY);
  });
  canvas.addEventListener("pointerleave", () => tip(null));
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -step, ArrowRight: step, Home: -frames, End: frames }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(now + by);
  });
  return {
    element: canvas,
    /** Show where the player is, at its frame, and return the window there: [start, stop, best, gap]. */
    mark(frame) {
      now = Math.min(frame * step, frames - 1);
      canvas.dataset.frame = now;
      redraw();
      return windowAt(now);
    },
  };
}
