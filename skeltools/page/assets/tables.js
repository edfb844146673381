// Tables that sort by a click or a key on a heading.

/** The number that a cell begins with (thousands may be set off by commas), or null. */
function numberOf(text) {
  const found = /^\s*([+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)/i.exec(text);
  return found ? parseFloat(found[1].replaceAll(",", "")) : null;
}

function compareCells(a, b) {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== null && y !== null && x !== y) return x - y;
  if ((x === null) !== (y === null)) return x === null ? 1 : -1;
  return a.localeCompare(b);
}

/**
 * A box around a table. A table that fits is part of the page, and its headings stay in sight while the page scrolls.
 * One that is wider than the page scrolls in its box, which keys reach then.
 */
function tableBox(table, label) {
  const box = make("div", { class: "table" }, table);
  const fit = () => {
    const wide = table.offsetWidth > box.clientWidth;
    box.classList.toggle("wide", wide);
    for (const [name, value] of [["tabindex", "0"], ["role", "region"], ["aria-label", label || "Table"]]) {
      if (wide) box.setAttribute(name, value);
      else box.removeAttribute(name);
    }
  };
  const watch = new ResizeObserver(fit);
  watch.observe(box);
  watch.observe(table);
  return box;
}

/** A table of texts: {title, columns: [[heading, is number]], rows, notes}. */
function sortableTable(grid) {
  const body = make("tbody");
  const heads = grid.columns.map(([heading, number], place) => {
    const button = make("button", { type: "button", textContent: heading });
    const head = make("th", { class: number ? "number" : "", scope: "col" }, button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === (number ? "descending" : "ascending");
      const sign = number ? (down ? 1 : -1) : down ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      fill([...grid.rows].sort((a, b) => sign * compareCells(a[place], b[place])));
    });
    return head;
  });
  const fill = (rows) =>
    body.replaceChildren(
      ...rows.map((row) =>
        make(
          "tr",
          {},
          ...row.map((cell, place) =>
            make("td", { class: grid.columns[place][1] ? "number" : "" }, named(cell)),
          ),
        ),
      ),
    );
  fill(grid.rows);
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
  // Not a caption, which is folded to the width of its table and scrolls with it.
  const title = make("p", { class: "caption", textContent: grid.title.join("\n") });
  if (grid.title.length) table.setAttribute("aria-label", grid.title.join(", "));
  return make("div", { class: "grid" }, ...(grid.title.length ? [title] : []), tableBox(table, grid.title.join(", ")), ...grid.notes.map((note) => make("p", { class: "quiet" }, named(note))));
}

/** A table of [name, value] pairs. */
function factTable(facts, label = "Facts") {
  const rows = facts.map(([key, value]) =>
    make("tr", {}, make("th", { scope: "row", textContent: key }), make("td", {}, named(value))),
  );
  return tableBox(make("table", { class: "facts" }, make("tbody", {}, ...rows)), label);
}
