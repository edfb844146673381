// A confusion matrix on a canvas; pointer or arrow keys tell what a cell holds, click or Enter shows its clips.

/**
 * @param found {title, top1, classes, cells: [[true, predicted, count]]}
 * @param pick called with (true, predicted); null where the player shows the predictions of another result
 */
function confusionMatrix(found, pick) {
  const there = [...new Set(found.cells.flatMap(([truth, guess]) => [truth, guess]))].sort((a, b) => a - b);
  const place = new Map(there.map((label, at) => [label, at]));
  const totals = new Map();
  const counts = new Map();
  for (const [truth, guess, count] of found.cells) {
    totals.set(truth, (totals.get(truth) ?? 0) + count);
    counts.set(`${truth} ${guess}`, count);
  }
  const size = there.length;
  const blues = ["#f7fbff", "#c6dbef", "#6baed6", "#2171b5", "#08306b"];
  const nights = ["#1f2329", "#12415f", "#1f76a8", "#5fb4e5", "#e4f4ff"];
  let chosen = null;
  let layout = null;

  const { canvas, redraw } = surface(`Confusion matrix of ${size} classes`, (context, width, height) => {
    const dark = colour("--page") !== "#ffffff";
    const names = width > 640 && (height - 40) / size >= 10;
    const left = names ? Math.min(230, width * 0.34) : 36;
    const cell = Math.min((width - left - 6) / size, (height - 30) / size);
    layout = { left, top: 4, cell };
    for (const [truth, guess, count] of found.cells) {
      context.fillStyle = ramp(dark ? nights : blues, count / totals.get(truth));
      context.fillRect(left + place.get(guess) * cell, 4 + place.get(truth) * cell, Math.max(cell - 0.5, 0.6), Math.max(cell - 0.5, 0.6));
    }
    context.strokeStyle = colour("--line");
    context.strokeRect(left, 4, cell * size, cell * size);
    context.fillStyle = colour("--quiet");
    context.font = `${Math.min(12, Math.max(8, cell * 0.9))}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    const every = Math.ceil(13 / cell);
    there.forEach((label, at) => {
      if (at % every) return;
      context.textAlign = "right";
      const text = names ? `${brief(found.classes[label] ?? "", 34)} ${label}` : String(label);
      context.fillText(text, left - 5, 4 + (at + 0.5) * cell, left - 8);
    });
    const wide = Math.ceil(22 / cell);
    there.forEach((label, at) => {
      if (at % wide) return;
      context.textAlign = "center";
      context.fillText(String(label), left + (at + 0.5) * cell, 4 + cell * size + 10);
    });
    if (chosen) {
      context.strokeStyle = colour("--wrong");
      context.lineWidth = 2;
      context.strokeRect(left + chosen[1] * cell - 1, 4 + chosen[0] * cell - 1, cell + 2, cell + 2);
      context.lineWidth = 1;
    }
  });
  canvas.style.height = `${Math.min(620, Math.max(260, size * 22 + 40))}px`;
  canvas.style.maxHeight = "100vw"; // it is a square, so a phone has no room for more

  function tell(x, y) {
    const [truth, guess] = chosen.map((at) => there[at]);
    const count = counts.get(`${truth} ${guess}`) ?? 0;
    const total = totals.get(truth) ?? 0;
    tip(
      [
        `true: ${brief(className(found.classes, truth))}`,
        `predicted: ${brief(className(found.classes, guess))}`,
        `${count} of ${total} clips${total ? ` (${percent(count / total)})` : ""}`,
      ],
      x,
      y,
    );
    redraw();
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    const [column, row] = [event.clientX - box.left - layout.left, event.clientY - box.top - layout.top].map((side) => Math.floor(side / layout.cell));
    return row >= 0 && column >= 0 && row < size && column < size ? [row, column] : null;
  }

  canvas.addEventListener("pointermove", (event) => {
    chosen = layout && at(event);
    if (chosen) tell(event.clientX, event.clientY);
    else leave();
  });
  const leave = () => {
    chosen = null;
    tip(null);
    redraw();
  };
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("click", () => pick && chosen && pick(there[chosen[0]], there[chosen[1]]));
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && pick && chosen) return pick(there[chosen[0]], there[chosen[1]]);
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move || !layout) return;
    event.preventDefault();
    chosen = chosen ? chosen.map((side, axis) => Math.min(Math.max(side + move[axis], 0), size - 1)) : [0, 0];
    const box = canvas.getBoundingClientRect();
    tell(box.left + layout.left + chosen[1] * layout.cell, box.top + chosen[0] * layout.cell);
  });
  return make(
    "div",
    {},
    make("p", { class: "quiet", textContent: `top-1 ${found.top1} %. Rows are true classes, columns predicted ones, colours the share of the true class.${pick ? " A click or Enter shows the clips of a cell in the player." : ""}` }),
    canvas,
  );
}
