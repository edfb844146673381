// The player: clips as 3-D skeletons that turn, play and can be stepped through.

const RATE = 20; // frames per second at speed 1
const VIEWS = { front: [0, 0], side: [90, 0], back: [180, 0], top: [0, 89] };

function bytes(text) {
  const raw = atob(text);
  const found = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at++) found[at] = raw.charCodeAt(at);
  return found;
}

/** Coordinates (frames, bodies, joints, 3) in metres, little-endian int16 steps of clip.unit metres in the page. */
function coordinates(clip) {
  if (!clip.points) {
    const view = new DataView(bytes(clip.data).buffer);
    clip.points = new Float32Array(view.byteLength / 2);
    for (let at = 0; at < clip.points.length; at++) clip.points[at] = view.getInt16(2 * at, true) * clip.unit;
  }
  return clip.points;
}

const skeletonOf = (clip) => values.skeletons[clip.skeleton];

/** Dashes of a body's bones: none for the first, short for the second, then a long one with short ones between. */
const dashes = (body) => (body === 0 ? [] : body === 1 ? [1.6, 1.7] : [4, 1.8, ...Array(body - 1).fill([1.2, 1.8]).flat()]);

/** How one sees the bodies of a clip apart. */
function bodiesText({ bodies, apart }) {
  const lines = ["second body dashed"];
  for (let body = 2; body < bodies; body++) lines.push(`${{ 2: "third", 3: "fourth" }[body] ?? `body ${body + 1}`} with ${body - 1} short ${body > 2 ? "dashes" : "dash"} between long ones`);
  return lines.join(", ") + (apart ? `, set ${apart} m apart` : "");
}

/** Middle of what a clip fills, and how far it reaches from there. */
function room(clip) {
  if (clip.room) return clip.room;
  const points = coordinates(clip);
  const [low, high] = [[Infinity, Infinity, Infinity], [-Infinity, -Infinity, -Infinity]];
  const size = 3 * skeletonOf(clip).joints.length;
  for (let start = 0; start < points.length; start += size) {
    const body = points.subarray(start, start + size);
    if (!body.some((value) => value !== 0)) continue;
    for (let at = 0; at < size; at++) {
      low[at % 3] = Math.min(low[at % 3], body[at]);
      high[at % 3] = Math.max(high[at % 3], body[at]);
    }
  }
  if (low[0] === Infinity) return (clip.room = { middle: [0, 0, 0], reach: 1, floor: 0 });
  const middle = low.map((value, axis) => (value + high[axis]) / 2);
  const reach = Math.max(...low.map((value, axis) => (high[axis] - value) / 2), 0.2);
  return (clip.room = { middle, reach, floor: low[1] });
}

/**
 * @param run {classes, player: {clips: [{clip, guess, salience}], salience: [low, high], result, timeline}}
 */
function clipPlayer(run) {
  const { clips: entries } = run.player;
  const classes = run.classes;
  const hasGuess = entries.some((entry) => entry.guess);
  const hasSalience = entries.some((entry) => entry.salience);
  let shown = entries.map((_, at) => at);
  let now = shown[0];
  let [frame, playing, speed] = [0, false, 1];
  let [azimuth, elevation, zoom] = [20, 8, 1];
  let bySalience = hasSalience;
  let cell = null; // [true, predicted] of the confusion matrix

  const clip = () => values.clips[entries[now].clip];
  const skeleton = () => skeletonOf(clip());
  const labelOf = (entry) => values.clips[entry.clip].label;
  const isWrong = (entry) => entry.guess && entry.guess[0][0] !== labelOf(entry);

  function colours(frameAt) {
    const salience = bySalience && entries[now].salience;
    if (salience) {
      salience.values ??= bytes(salience.data);
      const source = Math.min(Math.floor((frameAt * salience.frames) / clip().frames), salience.frames - 1);
      const steps = salienceSteps(values.colours.salience);
      return (body, joint) => ramp(steps, salience.values[(source * clip().bodies + body) * skeleton().joints.length + joint] / 255);
    }
    const trunk = colour("--trunk");
    const fixed = [];
    for (const part of skeleton().parts) for (const joint of part.joints) fixed[joint] = part.name === "trunk" ? trunk : part.colour;
    return (_, joint) => fixed[joint];
  }

  const { canvas, redraw } = surface("Skeleton in 3-D. Arrow keys turn it, space plays, comma and full stop step, plus and minus zoom.", (context, width, height) => {
    if (now === undefined) return;
    const { middle, reach, floor } = room(clip());
    const points = coordinates(clip());
    const [turn, tilt] = [azimuth, elevation].map((angle) => (angle * Math.PI) / 180);
    const scale = ((Math.min(width, height) * 0.5 - 14) / reach) * zoom * 0.94;
    const far = reach * 6; // distance of the eye, for a little perspective
    const project = (x, y, z) => {
      const [a, b, c] = [x - middle[0], y - middle[1], z - middle[2]];
      const near = -Math.sin(turn) * a - Math.cos(turn) * c;
      const depth = Math.cos(tilt) * near + Math.sin(tilt) * b;
      const size = (scale * far) / (far - depth);
      return [width / 2 + (Math.sin(turn) * c - Math.cos(turn) * a) * size, height / 2 - (Math.cos(tilt) * b - Math.sin(tilt) * near) * size, depth, size];
    };
    context.strokeStyle = colour("--grid");
    context.lineWidth = 1;
    for (let line = -4; line <= 4 && !clip().flat; line++) {
      const [at, end] = [(line * reach) / 3, (4 * reach) / 3];
      for (const [from, to] of [
        [project(middle[0] + at, floor, middle[2] - end), project(middle[0] + at, floor, middle[2] + end)],
        [project(middle[0] - end, floor, middle[2] + at), project(middle[0] + end, floor, middle[2] + at)],
      ]) {
        context.beginPath();
        context.moveTo(from[0], from[1]);
        context.lineTo(to[0], to[1]);
        context.stroke();
      }
    }
    const paint = colours(frame);
    const parts = [];
    for (let body = 0; body < clip().bodies; body++) {
      const count = skeleton().joints.length;
      const start = (frame * clip().bodies + body) * 3 * count;
      const own = points.subarray(start, start + 3 * count);
      if (!own.some((value) => value !== 0)) continue;
      const spots = Array.from({ length: count }, (_, joint) => project(own[3 * joint], own[3 * joint + 1], own[3 * joint + 2]));
      for (const [joint, parent] of skeleton().bones) parts.push({ depth: (spots[joint][2] + spots[parent][2]) / 2, from: spots[joint], to: spots[parent], fill: paint(body, joint), body });
      spots.forEach((spot, joint) => parts.push({ depth: spot[2] + 0.01, spot, fill: paint(body, joint) }));
    }
    parts.sort((a, b) => a.depth - b.depth);
    const thick = Math.max(2.2, Math.min(width, height) / 95);
    context.lineCap = "round";
    for (const part of parts) {
      context.fillStyle = context.strokeStyle = part.fill;
      if (part.spot) {
        context.beginPath();
        context.arc(part.spot[0], part.spot[1], (thick * 0.85 * part.spot[3]) / scale, 0, 7);
        context.fill();
      } else {
        context.lineWidth = (thick * part.from[3]) / scale;
        context.setLineDash(dashes(part.body).map((length) => thick * length));
        context.beginPath();
        context.moveTo(part.from[0], part.from[1]);
        context.lineTo(part.to[0], part.to[1]);
        context.stroke();
      }
    }
    context.setLineDash([]);
    if (!parts.length) {
      context.fillStyle = colour("--quiet");
      context.textAlign = "center";
      context.fillText("no body in this frame", width / 2, height / 2);
    }
  });

  // Controls below the picture.
  const play = make("button", { type: "button", class: "play", textContent: "play", onclick: () => setPlaying(!playing) });
  const scrub = make("input", { type: "range", class: "scrub", min: 0, step: 1, value: 0, "aria-label": "frame", oninput: () => setFrame(Number(scrub.value)) });
  const clock = make("span", { class: "clock" });
  const pace = chooser("speed", [0.25, 0.5, 1, 2, 4].map((factor) => [factor, `${factor}x`]), (value) => (speed = Number(value)));
  pace.select.value = "1";
  const views = Object.keys(VIEWS).map((name) => make("button", { type: "button", textContent: name, onclick: () => look(...VIEWS[name]) }));
  const paintBar = make("div", { class: "legend" });
  const hint = make("p", { class: "quiet" });

  function look(toAzimuth, toElevation) {
    [azimuth, elevation] = clip().flat ? VIEWS.front : [toAzimuth, Math.max(-89, Math.min(89, toElevation))];
    canvas.dataset.view = `${azimuth.toFixed(1)} ${elevation.toFixed(1)}`;
    redraw();
  }

  function setFrame(to) {
    const count = clip().frames;
    frame = ((to % count) + count) % count;
    scrub.value = frame;
    clock.textContent = track ? `frame ${frame * run.player.timeline.step}` : `${frame + 1} / ${count}`;
    canvas.dataset.frame = frame;
    redraw();
    if (track) describeWindow(track.mark(frame));
  }

  function setPlaying(on) {
    playing = on && now !== undefined;
    play.textContent = playing ? "pause" : "play";
    if (!playing) return;
    let last = performance.now();
    let part = 0;
    const tick = (time) => {
      if (!playing) return;
      part += Math.min((time - last) / 1000, 0.25) * RATE * speed;
      last = time;
      const whole = Math.floor(part);
      part -= whole;
      if (whole) setFrame(frame + whole);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  addEventListener("themechange", () => legend());

  function legend() {
    paintBar.replaceChildren();
    if (bySalience && run.player.salience) {
      const strip = make("span", { class: "ramp" });
      strip.style.background = `linear-gradient(to right, ${salienceSteps(values.colours.salience).join(",")})`;
      const [low, high] = run.player.salience.map((value) => value.toFixed(run.player.salience[1] - run.player.salience[0] < 0.01 ? 5 : 3));
      paintBar.append(make("span", {}, `salience ${low}`, strip, high));
    } else {
      for (const part of skeleton().parts) {
        const patch = make("span", { class: "key" });
        patch.style.background = part.name === "trunk" ? "var(--trunk)" : part.colour;
        paintBar.append(make("span", {}, patch, named(part.name)));
      }
    }
    if (clip().bodies > 1) paintBar.append(make("span", { textContent: bodiesText(clip()) }));
    if (clip().flat) paintBar.append(make("span", { textContent: "2-D, seen from the front" }));
  }

  // The list and its filters.
  const list = make("select", { class: "list", size: 10, "aria-label": "clips", onchange: () => select(Number(list.value)) });
  const count = make("p", { class: "quiet" });
  const labels = [...new Set(entries.map(labelOf))].sort((a, b) => a - b);
  const byClass = chooser("class", [["", "all"], ...labels.map((label) => [label, `${label} ${brief(className(classes, label), 40)}`])], () => refilter());
  const search = make("input", { type: "search", placeholder: "name contains", "aria-label": "name contains", oninput: () => refilter() });
  const mistakes = toggle("mistakes only", false, () => refilter());
  const cellNote = make("button", { type: "button", hidden: true, onclick: () => { cell = null; refilter(); } });

  function refilter(keep = false) {
    const onlyWrong = mistakes.getAttribute("aria-pressed") === "true";
    const wanted = byClass.select.value === "" ? null : Number(byClass.select.value);
    const word = search.value.toLowerCase();
    shown = entries.map((_, at) => at).filter((at) => {
      const entry = entries[at];
      if (onlyWrong && !isWrong(entry)) return false;
      if (wanted !== null && labelOf(entry) !== wanted) return false;
      if (cell && !(labelOf(entry) === cell[0] && entry.guess && entry.guess[0][0] === cell[1])) return false;
      return values.clips[entry.clip].name.toLowerCase().includes(word);
    });
    cellNote.hidden = !cell;
    if (cell) cellNote.textContent = `true ${cell[0]}, predicted ${cell[1]}: show all`;
    list.replaceChildren(...shown.map((at) => {
      const entry = entries[at];
      const mark = entry.guess ? (isWrong(entry) ? "✗ " : "✓ ") : "";
      return make("option", { value: at, textContent: `${mark}${brief(values.clips[entry.clip].name, 60)} ${brief(className(classes, labelOf(entry)), 40)}` });
    }));
    count.textContent = `${shown.length} of ${entries.length} clips`;
    list.dataset.count = shown.length;
    if (shown.length && !(keep && shown.includes(now))) select(shown.includes(now) ? now : shown[0]);
  }

  const about = make("div", { class: "about" });
  const track = run.player.timeline ? timelineStrip(run.player.timeline, classes, (to) => setFrame(to)) : null;
  const scoreBar = ([guess, share]) => {
    const bar = make("i");
    bar.style.width = `${Math.round(100 * share)}%`;
    return make("div", { class: "score" }, named(className(classes, guess)), make("b", {}, bar), make("u", { textContent: percent(share) }));
  };

  function describeWindow([start, stop, best, gap]) {
    const which = `window of frames ${start} to ${stop - 1}`;
    about.replaceChildren(make("p", {}, named(clip().name)), make("p", { class: "quiet", textContent: gap ? `${which}: ${gap}` : which }), ...best.map(scoreBar));
  }

  function describe() {
    if (track) return; // it describes the window at each frame
    const entry = entries[now];
    const label = labelOf(entry);
    const parts = [make("p", {}, named(clip().name)), make("p", {}, "class: ", named(className(classes, label)))];
    if (entry.guess) {
      const wrong = isWrong(entry);
      const verdict = make("span", { class: wrong ? "wrong" : "right", textContent: wrong ? "wrong: " : "right: " });
      parts.push(make("p", {}, verdict, named(className(classes, entry.guess[0][0]))));
      parts.push(...entry.guess.map(scoreBar));
      if (run.player.result) parts.push(make("p", { class: "quiet", textContent: run.player.result }));
    }
    about.replaceChildren(...parts);
  }

  function select(at) {
    now = at;
    list.value = at;
    scrub.max = clip().frames - 1;
    canvas.dataset.clip = clip().name;
    for (const button of views) button.hidden = clip().flat;
    if (clip().flat) look(...VIEWS.front);
    const keysText = `${clip().flat ? "Space" : "Drag or arrow keys turn, space"} plays, comma and full stop step by one frame, n and p change the clip, + and - zoom.`;
    hint.textContent = (hasSalience ? "Salience is the share of a joint's activation that the attention mask keeps. " : "") + keysText;
    describe();
    legend();
    setFrame(0);
  }

  const step = (by) => {
    if (!shown.length) return;
    const at = shown.indexOf(now);
    select(shown[(at + by + shown.length) % shown.length]);
  };

  // Pointer: drag turns, the wheel with Ctrl zooms (without it the page scrolls).
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    let [x, y] = [event.clientX, event.clientY];
    const move = (next) => {
      look(azimuth + (next.clientX - x) * 0.5, elevation + (next.clientY - y) * 0.5);
      [x, y] = [next.clientX, next.clientY];
    };
    const end = () => {
      canvas.removeEventListener("pointermove", move);
      canvas.removeEventListener("pointerup", end);
      canvas.removeEventListener("pointercancel", end);
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
  });
  const zoomBy = (factor) => {
    zoom = Math.min(6, Math.max(0.3, zoom * factor));
    redraw();
  };
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 300));
  }, { passive: false });
  const keys = {
    ArrowLeft: () => look(azimuth - 8, elevation),
    ArrowRight: () => look(azimuth + 8, elevation),
    ArrowUp: () => look(azimuth, elevation + 8),
    ArrowDown: () => look(azimuth, elevation - 8),
    " ": () => setPlaying(!playing),
    ",": () => setFrame(frame - 1),
    ".": () => setFrame(frame + 1),
    Home: () => setFrame(0),
    End: () => setFrame(clip().frames - 1),
    n: () => step(1),
    p: () => step(-1),
    "+": () => zoomBy(1.15),
    "=": () => zoomBy(1.15),
    "-": () => zoomBy(1 / 1.15),
  };
  canvas.addEventListener("keydown", (event) => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });

  const paintChoice = hasSalience ? toggle("colour by salience", true, (on) => { bySalience = on; legend(); redraw(); }) : null;
  const bigger = make("button", { type: "button", textContent: "+", "aria-label": "zoom in", onclick: () => zoomBy(1.25) });
  const smaller = make("button", { type: "button", textContent: "−", "aria-label": "zoom out", onclick: () => zoomBy(0.8) });
  const element = make(
    "div",
    { class: "player" },
    make(
      "div",
      {},
      canvas,
      make("div", { class: "bar" }, play, scrub, clock, pace.element),
      track && track.element,
      make("div", { class: "bar" }, ...views, smaller, bigger, paintChoice),
      paintBar,
      hint,
    ),
    make("div", {}, ...(track ? [] : [make("div", { class: "bar" }, hasGuess ? mistakes : null, byClass.element, search, cellNote), count, list]), about),
  );
  refilter();
  look(azimuth, elevation);
  return {
    element,
    stop: () => setPlaying(false),
    open(at) {
      cell = null;
      mistakes.set(false);
      byClass.select.value = "";
      search.value = "";
      now = at;
      refilter(true);
      select(at);
    },
    filter(truth, guess) {
      cell = [truth, guess];
      mistakes.set(false);
      byClass.select.value = "";
      search.value = "";
      refilter();
    },
  };
}
