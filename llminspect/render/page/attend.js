// Who looks at whom: all heads at a glance, one head's weights, one token's looks along the text.

const parts = [{ name: "", rows: data.tokens, columns: data.tokens, heads: data.heads, causal: data.causal }];
if (data.cross) {
  parts[0].name = "decoder";
  parts.push({ name: "to the source", rows: data.tokens, columns: data.source, heads: data.cross.heads, causal: false });
}
if (data.encoder) parts.push({ name: "encoder", rows: data.source, columns: data.source, heads: data.encoder.heads, causal: false });

const state = { part: parts[0], measure: null, head: null, row: null };
const measureOf = (head) => (head.measures ? head.measures[state.measure] : null);

heading("Who looks at whom", `${named(data.model)}: each row shows how a token shares out its weight over the tokens it looks at. A row sums to 1.`);
const choices = make("div", { class: "key" });
const map = make("div");
const about = make("h2", { id: "about" });
const strip = make("div", { class: "strip", role: "group", "aria-label": "The tokens: choose the one that looks" });
const picture = make("div", { class: "scroll tall" });
const legend = make("div");
main.append(
  choices,
  make("div", { class: "two" },
    make("section", { "aria-label": "All heads" }, make("h2", {}, "All heads"), make("p", { class: "quiet" },
      "Each row is a layer, each column a head. Click one, or go there with the arrow keys."), legend, map),
    make("section", { "aria-labelledby": "about" }, about, make("p", { class: "quiet" },
      "Point at a token, or go to one with the arrow keys: the others are coloured by the weight that it gives them."),
      strip, said, picture, key("0", "1", "the weight that the row's token gives to the column's"))));

function choose(name, values, chosen, change) {
  const select = make("select", { id: name, onchange: (event) => change(event.target.value) });
  values.forEach(([value, words]) => select.append(make("option", { value, selected: value === chosen }, words)));
  return make("label", {}, name + " ", select);
}

function drawChoices() {
  choices.replaceChildren();
  if (parts.length > 1) {
    choices.append(choose("attention", parts.map((part, i) => [String(i), part.name]), String(parts.indexOf(state.part)),
      (value) => open(parts[Number(value)])));
  }
  const measured = state.part.heads.filter((head) => head.measures);
  const names = measured.length ? Object.keys(measured[0].measures) : [];
  if (!names.includes(state.measure)) state.measure = names[0] ?? null;
  if (names.length) choices.append(choose("coloured by", names.map((name) => [name, name]), state.measure, (value) => { state.measure = value; drawMap(); }));
}

function drawMap() {
  const layers = [...new Set(state.part.heads.map((head) => head.layer))];
  const heads = [...new Set(state.part.heads.map((head) => head.head))];
  const values = state.part.heads.map(measureOf).filter((value) => value !== null);
  const most = state.measure === "distance" ? Math.max(1, ...values) : 1;
  const table = make("table", { class: "cells map", role: "grid", "aria-label": "Layers and heads" });
  table.append(make("thead", {}, make("tr", {}, make("th", {}, "layer"), ...heads.map((head) => make("th", {}, String(head))))));
  const body = make("tbody");
  const buttons = layers.map((layer) => {
    const row = heads.map((index) => {
      const head = state.part.heads.find((one) => one.layer === layer && one.head === index);
      if (!head) return null;
      const value = measureOf(head);
      const words = `layer ${layer}, head ${index}` + (head.habit ? `: ${head.habit}` : "") +
        (value !== null && state.measure ? `, ${state.measure} ${value.toFixed(3)}` : "");
      const button = make("button", {
        class: "cell", title: words, "aria-label": words, "aria-selected": String(head === state.head), "data-head": `${layer}.${index}`,
        onclick: () => select(head), onfocus: () => select(head),
      });
      shade(button, (value ?? 0) / most);
      return button;
    });
    body.append(make("tr", {}, make("th", { scope: "row" }, String(layer)), ...row.map((button) => make("td", {}, ...(button ? [button] : [])))));
    return row;
  });
  table.append(body);
  arrows(buttons);
  map.replaceChildren(make("div", { class: "scroll" }, table));
  legend.replaceChildren(state.measure ? key("0", String(most === 1 ? 1 : most.toFixed(1)), state.measure) : "");
}

function select(head) {
  state.head = head;
  document.querySelectorAll("[data-head]").forEach((button) =>
    button.setAttribute("aria-selected", String(button.dataset.head === `${head.layer}.${head.head}`)));
  drawHead();
}

function drawHead() {
  const { head, part } = state;
  about.textContent = `Layer ${head.layer}, head ${head.head}` +
    (head.kv_head !== undefined ? ` (reads key/value head ${head.kv_head})` : "") + (head.habit ? `: ${head.habit}` : "");
  drawStrip();
  const table = make("table", { class: "cells", role: "grid", "aria-label": "Weights: a row a token that looks, a column one that is looked at" });
  table.append(make("thead", {}, make("tr", {}, make("th"), ...part.columns.map((token, column) =>
    make("th", { class: "turned", "data-column": column }, readable(token))))));
  const body = make("tbody");
  const cells = part.rows.map((token, row) => {
    const buttons = part.columns.map((_, column) => {
      if (part.causal && column > row) return null;
      const look = () => point(row, column);
      const button = make("button", { class: "cell", "data-cell": `${row}.${column}`, onpointerenter: look, onfocus: look, onclick: look,
        "aria-label": `${visible(token.text)} to ${visible(part.columns[column].text)}: ${percent(head.weights[row][column])}` });
      shade(button, head.weights[row][column]);
      return button;
    });
    body.append(make("tr", {}, make("th", { scope: "row", "data-row": row }, readable(token)),
      ...buttons.map((button) => make("td", {}, ...(button ? [button] : [])))));
    return buttons;
  });
  table.append(body);
  arrows(cells);
  picture.replaceChildren(table);
  point(state.row ?? part.rows.length - 1, null);
}

function drawStrip() {
  const buttons = state.part.rows.map((token, row) => {
    const look = () => point(row, null);
    return make("button", { class: "token", "data-token": row, onpointerenter: look, onfocus: look, onclick: look }, readable(token));
  });
  arrows([buttons]);
  strip.replaceChildren(...buttons);
  if (state.part.rows !== state.part.columns) {
    strip.append(make("span", { class: "quiet" }, " looks at "), ...state.part.columns.map((token, column) =>
      make("span", { class: "token", "data-seen": column }, readable(token))));
  }
}

function point(row, column) {
  const { head, part } = state;
  state.row = row;
  const weights = head.weights[row];
  const own = part.rows === part.columns;
  strip.querySelectorAll("[data-token]").forEach((token, index) => {
    token.setAttribute("aria-pressed", String(index === row));
    if (own) shade(token, weights[index]);
  });
  strip.querySelectorAll("[data-seen]").forEach((token, index) => shade(token, weights[index]));
  picture.querySelectorAll(".lit").forEach((lit) => lit.classList.remove("lit"));
  picture.querySelector(`[data-row="${row}"]`)?.classList.add("lit");
  if (column !== null) {
    picture.querySelector(`[data-column="${column}"]`)?.classList.add("lit");
    say(inQuotes(readable(part.rows[row])), ` (token ${row}) gives `, make("strong", {}, percent(weights[column], 2)), " of its weight to ",
      inQuotes(readable(part.columns[column])), ` (token ${column}).`);
    return;
  }
  const best = weights.map((weight, index) => [weight, index]).sort((one, other) => other[0] - one[0]).slice(0, 3);
  const words = best.flatMap(([weight, index], place) => [place ? ", " : "", inQuotes(readable(part.columns[index])), ` ${percent(weight, 2)}`]);
  say(inQuotes(readable(part.rows[row])), ` (token ${row}) looks at `, ...words,
    best[0][1] === 0 && own && row > 0 && weights[0] > 0.5 ? ". Token 0 is where heads rest that find nothing to look for." : ".");
}

function open(part) {
  // The link between two words that is least usual, where there is one: the first head mostly tells little.
  const first = part === parts[0] ? data.first : null;
  Object.assign(state, { part, row: first ? first.query : null, head: null });
  drawChoices();
  drawMap();
  select(part.heads.find((head) => first && head.layer === first.layer && head.head === first.head) ?? part.heads[0]);
}
open(parts[0]);
