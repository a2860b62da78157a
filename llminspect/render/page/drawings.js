// What is drawn on the page of the walk: lines between tokens, bars, a vector's cells, a calculation.

const space = "http://www.w3.org/2000/svg";
const count = (number) => number.toLocaleString("en-US");

/** At most four digits that count, as the command line writes a number. */
function number(value, digits = 4) {
  if (value === null || value === undefined) return "?";
  if (value === 0 || Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e6) return value.toExponential(digits - 1).replace(/\.?0+e\+?/, "e");
  const short = value.toPrecision(Math.max(digits, Math.floor(Math.log10(size)) + 1));
  return short.includes(".") ? short.replace(/\.?0+$/, "") : short;
}

/** Numbers under or beside each other: the same decimals in all, no more than the largest has room for in four digits. */
function column(values, digits = 4) {
  const most = Math.max(...values.map((value) => Math.abs(value ?? 0)));
  if (most >= 1e6 || (most < 1e-3 && most > 0)) return values.map((value) => number(value, digits));
  const room = Math.max(0, digits - 1 - Math.floor(Math.log10(most || 1)));
  const exact = values.map((value) => (String(Number((value ?? 0).toFixed(room))).split(".")[1] ?? "").length);
  return values.map((value) => (value === null || value === undefined ? "" : value.toFixed(Math.min(room, Math.max(...exact)))));
}

const vector = (values, most = 8) => "[" + column(values.slice(0, most)).join(", ") +
  (values.length > most ? `, …]  ${count(values.length)} numbers` : "]");

function shape(tag, attributes, ...children) {
  const element = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Lines from the rows on the left to the columns on the right, as thick as the weights; those of one row stand out. */
function lines(weights, columns, step, chosen, thick) {
  const height = step * Math.max(columns, weights.length);
  const picture = shape("svg", { viewBox: `0 0 100 ${height}`, preserveAspectRatio: "none", "aria-hidden": "true", height });
  const line = (row, column, weight) => {
    const [from, to] = [row, column].map((place) => (place + 0.5) * step);
    picture.append(shape("path", {
      d: `M0 ${from} C50 ${from} 50 ${to} 100 ${to}`, class: row === chosen ? "looks" : "others", "data-line": `${row}.${column}`,
      "stroke-width": Math.max(0.4, weight * thick).toFixed(2),
    }));
  };
  const order = weights.map((_, row) => row).sort((one, other) => (one === chosen) - (other === chosen));
  for (const row of order) weights[row].forEach((weight, column) => weight >= 0.005 && line(row, column, weight));
  return picture;
}

/** A bar of a share from 0 to 1. */
function bar(share, kind = "") {
  const inner = make("span", { class: `bar ${kind}` });
  inner.style.width = `${(100 * Math.max(0, Math.min(1, share ?? 0))).toFixed(2)}%`;
  return make("span", { class: "room", "aria-hidden": "true" }, inner);
}

/** A table: names of columns, rows of cells, the row that is chosen. What is a string is a number, and stands right. */
function rowsOf(names, rows, chosen = null, label = "") {
  const kind = (entry) => (entry instanceof Node ? (entry.classList.contains("room") ? "wide" : "") : "digits");
  return make("div", { class: "scroll" }, make("table", { class: "rows", "aria-label": label },
    make("thead", {}, make("tr", {}, ...names.map((name, place) => make("th", { scope: "col", class: rows[0] ? kind(rows[0][place]) : "" }, name)))),
    make("tbody", {}, ...rows.map((row, place) => make("tr", { class: place === chosen ? "chosen" : "" },
      ...row.map((entry) => make("td", { class: kind(entry) }, entry ?? "")))))));
}

const words = (text) => make("span", {}, ...[text].flat());

/** Each line of a calculation: a name, its formula, the formula with the numbers in it, the result. */
function calculation(steps) {
  return make("dl", { class: "sums" }, ...steps.flatMap((step) => {
    const value = Array.isArray(step.value) ? vector(step.value) : typeof step.value === "number" ? number(step.value) : visible(step.value);
    const parts = [step.formula, step.with_numbers].filter((part) => part !== null && part !== undefined);
    return [make("dt", {}, named(step.name)), make("dd", {}, ...parts.map((part) => make("div", {}, `= ${named(part)}`)), make("strong", {}, `= ${value}`))];
  }));
}

/** A vector as cells, blue above 0 and orange below it, with their key. */
function cells(values, whole) {
  const most = Math.max(...values.map(Math.abs)) || 1;
  const area = make("div", { class: "vector", role: "img", "aria-label": `${count(values.length)} numbers from ${number(Math.min(...values))} to ${number(Math.max(...values))}` });
  area.append(...values.map((value, place) => {
    const cell = make("i", { title: `number ${place}: ${number(value)}`, class: value < 0 ? "below" : "" });
    cell.style.setProperty("--share", (Math.abs(value) / most).toFixed(3));
    return cell;
  }));
  const shown = values.length < whole ? `the first ${count(values.length)} of ${count(whole)} numbers` : `${count(whole)} numbers`;
  return [area, make("div", { class: "key" }, make("span", {}, number(-most, 2)), make("span", { class: "ramp both", "aria-hidden": "true" }),
    make("span", {}, number(most, 2)), make("span", {}, `${shown}: orange below 0, blue above`))];
}

/** The curve of an activation with the units of this token on it. */
function curve(step) {
  const { hidden, bent } = step.curve;
  const [left, right] = [hidden[0], hidden.at(-1)];
  const low = Math.min(...bent, ...step.units.map((unit) => unit.bent ?? 0)), high = Math.max(...bent);
  const x = (value) => (8 + (184 * (value - left)) / (right - left || 1)).toFixed(1);
  const y = (value) => (92 - (84 * (value - low)) / (high - low || 1)).toFixed(1);
  const picture = shape("svg", { viewBox: "0 0 200 100", class: "curve", role: "img" }, shape("title", {}, `a = ${step.function}(h), with a point a unit`));
  picture.append(shape("path", { d: `M${x(left)} ${y(0)}H${x(right)}M${x(0)} ${y(low)}V${y(high)}`, class: "axis" }),
    shape("path", { d: "M" + hidden.map((value, place) => `${x(value)} ${y(bent[place])}`).join("L"), class: "looks", "stroke-width": 2 }));
  step.units.forEach((unit) => picture.append(shape("circle", { cx: x(unit.hidden), cy: y(unit.bent ?? 0), r: 4, class: "point" })));
  return picture;
}
