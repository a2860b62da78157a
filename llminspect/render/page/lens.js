// What the model would say after each layer.

heading("What the model would say after each layer", `${named(data.model)}: the stream after each layer, read out as if it were the last.`);
const last = data.position ?? data.tokens.length - 1;
const area = make("div", { class: "scroll" });

/** What would be said: its text and how probable it is. */
function words(layer, position, top) {
  const list = top.flatMap((token, place) => [place ? ", " : "", inQuotes(quoted(token.text)), ` ${percent(token.prob, 2)}`]);
  say(`After layer ${layer}, at `, inQuotes(readable(data.tokens[position])), ` (token ${position}): `, ...list, ".");
}

function cellOf(token, layer, position, top) {
  const look = () => {
    area.querySelectorAll(".lit").forEach((lit) => lit.classList.remove("lit"));
    area.querySelector(`[data-row="${layer}"]`)?.classList.add("lit");
    area.querySelector(`[data-column="${position}"]`)?.classList.add("lit");
    words(layer, position, top);
  };
  const button = make("button", { class: "cell", "data-cell": `${layer}.${position}`, onpointerenter: look, onfocus: look, onclick: look,
    "aria-label": `layer ${layer}, token ${position}: ${visible(token.text)} ${percent(token.prob, 2)}` }, quoted(token.text));
  shade(button, token.prob);
  return button;
}

function table(columns, rows) {
  const grid = make("table", { class: "cells", role: "grid", "aria-label": "Layers and tokens" });
  grid.append(make("thead", {}, make("tr", {}, make("th", {}, "after layer"), ...columns)));
  const body = make("tbody");
  rows.forEach(({ layer, cells, more }) => body.append(make("tr", {}, make("th", { scope: "row", "data-row": layer }, String(layer)),
    ...cells.map((cell) => make("td", {}, cell)), ...(more ?? []))));
  grid.append(body);
  arrows(rows.map(({ cells }) => cells));
  return grid;
}

const ranks = Object.fromEntries((data.lens ?? []).map((row) => [row.layer, row]));
if (data.grid) {
  const columns = data.tokens.map((token, position) => make("th", { "data-column": position }, readable(token)));
  area.append(table(columns, data.grid.map((row, layer) => ({
    layer,
    cells: row.map((token, position) => cellOf(token, layer, position, position === last && ranks[layer] ? ranks[layer].top : [token])),
  }))));
  main.append(make("p", { class: "quiet" }, "Each row is a layer, each column a token of the text; a cell shows the next token that the model would say there. " +
    "Point at a cell, or go there with the arrow keys."));
} else {
  const most = Math.max(...data.lens.map((row) => row.top.length));
  const columns = Array.from({ length: most }, (_, place) => make("th", {}, place ? String(place) : "rank 0"));
  if (data.lens.some((row) => row.target)) columns.push(make("th", {}, quoted(data.lens.find((row) => row.target).target.text), " rank"));
  area.append(table(columns, data.lens.map((row) => ({
    layer: row.layer,
    cells: row.top.map((token) => cellOf(token, row.layer, last, row.top)),
    more: row.target ? [make("td", { class: "quiet" }, ` ${row.target.rank} (${percent(row.target.prob, 2)})`)] : [],
  }))));
  main.append(make("p", { class: "quiet" }, "What would come after ", readable(data.tokens[last]),
    ". Rank 0 is the most probable. Point at a cell, or go there with the arrow keys."));
}
main.append(said, area, key("0%", "100%", "how probable the token would be"));
const finalRow = data.lens?.at(-1);
if (finalRow) words(finalRow.layer, last, finalRow.top);
