"use strict";
const make = (name, attributes, ...children) => {
  const element = Object.assign(document.createElement(name), attributes);
  element.append(...children);
  return element;
};

// What filters and sorts a table, above it.
const controls = table => {
  const scroll = table.closest(".scroll"), before = scroll.previousElementSibling;
  if (before?.matches(".controls")) return before;
  const bar = make("div", {className: "controls"});
  scroll.before(bar);
  return bar;
};

// A field above a table shows only the rows that contain its text.
for (const table of document.querySelectorAll("table.filterable")) {
  const field = make("input", {type: "search", className: "filter", placeholder: "Filter", ariaLabel: "Filter the rows"});
  controls(table).append(field);
  field.addEventListener("input", () => {
    const text = field.value.toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(text);
  });
}

// Headers of sortable tables sort: numbers by value, empty cells last. Cards, which have no headers, have a list of them.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const list = make("select", {className: "sort", ariaLabel: "Sort the rows"}, make("option", {value: ""}, "Sort by"));
  if (table.matches(".cards") && body.rows.length > 1) controls(table).append(list);
  list.addEventListener("change", () => {
    const [column, direction] = list.value.split(" ");
    if (!direction) return;
    if (heads[column].ariaSort !== direction) heads[column].querySelector("button").click();
    if (heads[column].ariaSort !== direction) heads[column].querySelector("button").click();
  });
  heads.forEach((head, column) => {
    for (const [direction, arrow] of [["ascending", "↑"], ["descending", "↓"]])
      list.append(make("option", {value: `${column} ${direction}`}, `${head.textContent} ${arrow}`));
    const button = make("button", {type: "button"}, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      const order = (first, second) => {
        const [a, b] = [first, second].map(row => row.cells[column]);
        const [x, y] = [a, b].map(cell => cell.textContent.trim());
        if (!x || !y) return !x - !y;
        const numbers = "value" in a.dataset && "value" in b.dataset;
        return direction * (numbers ? a.dataset.value - b.dataset.value : x.localeCompare(y));
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}

// Commands are copied by a button.
for (const command of document.querySelectorAll(".command > div")) {
  const button = make("button", {type: "button", className: "copy"}, "Copy");
  command.append(button);
  button.addEventListener("click", async () => {
    const code = command.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
  });
}

// A slider above a table with thresholds shows one of its rows.
for (const table of document.querySelectorAll("table.thresholds")) {
  const rows = [...table.tBodies[0].rows], heads = [...table.tHead.rows[0].cells];
  const chosen = Math.max(0, rows.findIndex(row => row.classList.contains("best")));
  const input = make("input", {type: "range", min: 0, max: rows.length - 1, value: chosen});
  const outputs = heads.slice(1).map(() => make("output", {}));
  const threshold = make("b", {});
  const parts = heads.slice(1).map((head, place) => make("div", {}, make("span", {}, head.textContent), outputs[place]));
  const slider = make("div", {className: "slider"}, make("label", {}, "Threshold ", threshold, input), ...parts);
  const show = () => {
    const cells = rows[input.value].cells;
    threshold.textContent = cells[0].textContent;
    input.setAttribute("aria-valuetext", cells[0].textContent);
    outputs.forEach((output, place) => output.replaceChildren(...cells[place + 1].cloneNode(true).childNodes));
  };
  input.addEventListener("input", show);
  (table.closest("details") ?? table).before(slider);
  show();
}

// A slider sets the opacity of the maps above an image.
for (const panes of document.querySelectorAll(".panes")) {
  const layers = panes.querySelectorAll(".layer");
  const input = make("input", {type: "range", min: 0, max: 100, value: 100});
  if (layers.length) panes.before(make("label", {className: "opacity"}, "Opacity of the maps ", input));
  input.addEventListener("input", () => { for (const layer of layers) layer.setAttribute("opacity", input.value / 100); });
}

// Marks of charts show their text at once, and their titles no second time.
const tip = make("div", {id: "tip", hidden: true, role: "status"});
document.body.append(tip);
for (const mark of document.querySelectorAll(".tip")) {
  const title = mark.querySelector("title"), text = title.textContent;
  const show = event => {
    const box = mark.getBoundingClientRect();
    tip.textContent = text;
    tip.hidden = false;
    const left = (event.clientX || box.right) + 14, top = (event.clientY || box.bottom) + 14;
    tip.style.left = `${Math.max(4, Math.min(left, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(4, Math.min(top, innerHeight - tip.offsetHeight - 8))}px`;
  };
  title.remove();
  for (const name of ["pointermove", "focus"]) mark.addEventListener(name, show);
  for (const name of ["pointerleave", "blur"]) mark.addEventListener(name, () => { tip.hidden = true; });
}

// Paper shows all details, and images at their usual size.
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open]):not(.zoom)")];
  for (const details of closed) details.open = true;
});
addEventListener("afterprint", () => { for (const details of closed) details.open = false; });
