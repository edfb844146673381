// What the other files share: the values of the page, making elements, names as text, colours, the tip.

const values = JSON.parse(document.getElementById("values").textContent);

/** Make an element. `set` holds properties and, in `data`, data attributes; texts never become markup. */
function make(tag, set = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(set)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("aria-") || name === "for" || name === "role") element.setAttribute(name, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A name as an element of its own direction. */
const named = (text) => make("bdi", { textContent: text });

/** A name within a plain text: cut, and kept from turning the direction of what follows. */
function brief(text, most = 70) {
  const letters = Array.from(text);
  const cut = letters.length > most ? letters.slice(0, most - 1).join("") + "…" : text;
  return "\u2068" + cut + "\u2069";
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Colour between the steps of a ramp of hexadecimal colours, share in 0..1. */
function ramp(steps, share) {
  const place = Math.min(Math.max(share, 0), 1) * (steps.length - 1);
  const low = Math.min(Math.floor(place), steps.length - 2);
  const mix = [1, 3, 5].map((at) => {
    const [a, b] = [steps[low], steps[low + 1]].map((step) => parseInt(step.slice(at, at + 2), 16));
    return Math.round(a + (b - a) * (place - low));
  });
  return `rgb(${mix.join(",")})`;
}

/** The steps of the ramp of salience that stand out from the page: its dark end not on dark, its light one not on light. */
function salienceSteps(steps) {
  const fifth = Math.round(steps.length / 5);
  return colour("--page") === "#ffffff" ? steps.slice(0, -fifth) : steps.slice(2 * fifth);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Show lines of text beside a point of the window, or nothing. */
const tip = (() => {
  const box = document.getElementById("tip");
  return (lines, x = 0, y = 0) => {
    box.hidden = !lines;
    if (!lines) return;
    box.textContent = lines.join("\n");
    const { offsetWidth: width, offsetHeight: height } = box;
    box.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 6))}px`;
    box.style.top = `${y + 18 + height > innerHeight ? Math.max(4, y - height - 12) : y + 18}px`;
  };
})();

/** A canvas that is drawn anew when its size or the theme changes; `draw(context, width, height)`. */
function surface(label, draw) {
  const canvas = make("canvas", { tabIndex: 0, role: "img", "aria-label": label });
  const redraw = () => {
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    const scale = Math.min(devicePixelRatio || 1, 3);
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = canvas.getContext("2d");
    context.save();
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context, width, height);
    context.restore();
  };
  new ResizeObserver(redraw).observe(canvas);
  addEventListener("themechange", redraw);
  return { canvas, redraw };
}

/** A labelled list of choices; `options` holds [value, text] pairs. */
function chooser(label, options, change) {
  const select = make("select", { onchange: () => change(select.value) });
  select.append(...options.map(([value, text]) => make("option", { value, textContent: text })));
  return { element: make("label", {}, label, select), select };
}

/** A button that is pressed or not. */
function toggle(text, pressed, change) {
  const button = make("button", { type: "button", textContent: text, "aria-pressed": String(pressed) });
  button.set = (now) => button.setAttribute("aria-pressed", String(now));
  button.addEventListener("click", () => {
    const now = button.getAttribute("aria-pressed") !== "true";
    button.set(now);
    change(now);
  });
  return button;
}

const className = (classes, label) =>
  label !== null && label >= 0 && label < classes.length ? classes[label] : "no label";
