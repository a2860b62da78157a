// A circuit: its nodes from the embedding down to the logits, the edges between them, and how much of the effect they keep.

const { edges, sizes, found, heads } = data.page;
const TABLE = 12, ROW = 46;
const strongest = Math.max(...edges.map((edge) => Math.abs(edge.score)), 1e-9);
const state = { size: found, node: null, room: 0 };
const signed = (value) => (value < 0 ? "-" : "+") + Math.abs(value).toFixed(2);
const share = (value) => (100 * value).toFixed(1) + "%";
const PARTS = ["query", "key", "value"];

/** `3.2` of `3.2.key`, and `key`. */
function reader(name) {
  const at = name.lastIndexOf("."), part = name.slice(at + 1);
  return PARTS.includes(part) ? [name.slice(0, at), part] : [name, ""];
}

/** How far down a node stands: of a layer the heads, then its feed-forward step. */
function rank(name) {
  if (name === "embedding") return -1;
  if (name === "logits") return Infinity;
  const [layer, part] = name.split(".");
  return 2 * Number(layer) + (part === "feedforward" ? 1 : 0);
}

const short = (name) => name.replace("feedforward", "ff");
const NAMES = edges.map((edge) => edge.from);
const HEAD_NAME = NAMES.find((name) => /^\d+\.\d+$/.test(name)) ?? "0.0", STEP_NAME = NAMES.find((name) => name.endsWith(".feedforward"));

function spoken(name) {
  const [layer, part] = name.split(".");
  return part === undefined ? name : `layer ${layer}, ` + (part === "feedforward" ? "feed-forward step" : `head ${part}`);
}

/** The strongest edges, less those on no way from the embedding to the logits. */
function kept(count) {
  const some = edges.slice(0, count).map((edge) => ({ ...edge, node: reader(edge.to)[0], part: reader(edge.to)[1] }));
  const fed = new Set(["embedding"]), used = new Set(["logits"]);
  [...some].sort((one, other) => rank(one.from) - rank(other.from)).forEach((edge) => fed.has(edge.from) && fed.add(edge.node));
  [...some].sort((one, other) => (rank(one.node) === rank(other.node) ? 0 : rank(other.node) - rank(one.node)))
    .forEach((edge) => used.has(edge.node) && used.add(edge.from));
  return some.filter((edge) => fed.has(edge.from) && used.has(edge.node));
}

const titled = data.target ? [inQuotes(quoted(data.target.text)), " and not ", inQuotes(quoted(data.versus.text))] : [`${count(data.pairs.length)} pairs of texts`];
main.append(make("h1", {}, data.target ? "Why " : "What tells apart ", ...titled),
  make("p", { class: "quiet" }, `${named(data.model)}: the logit of the one less that of the other is ${signed(data.difference)} after the clean ` +
    `${data.target ? "text" : "texts, in the mean,"} and ${signed(data.corrupt_difference)} after the corrupt. These edges carry the difference: ` +
    "each has a score, about how far it falls if that edge alone carries what the corrupt text gives."));
if (data.tokens) {
  const line = (name, tokens, others) => make("p", {}, make("span", { class: "quiet" }, `${name} `),
    ...tokens.flatMap((token, at) => [make("bdi", { class: token.id === others[at].id ? "" : "lit" }, visible(token.text)), " "]));
  main.append(line("clean", data.tokens, data.corrupt_tokens), line("corrupt", data.corrupt_tokens, data.tokens));
}

const slider = make("input", { type: "range", id: "size", min: "0", max: String(sizes.length - 1), value: String(found), oninput: () => resize() });
const told = make("output", { for: "size", id: "told" });
const plotted = make("div", { id: "curve" });
const picture = make("div", { class: "graph", role: "group", "aria-label": "The graph: choose a node, with the arrow keys too" });
const about = make("h2", { id: "about" });
const details = make("div", { id: "details" });
main.append(
  make("div", { class: "line" }, make("label", { for: "size" }, "edges kept "), slider, told), plotted,
  make("div", { class: "key" },
    make("span", { class: "line" }, make("span", { class: "stroke thin" }), "share of the effect that is kept, by the number of edges"),
    make("span", { class: "line" }, make("span", { class: "stroke level" }), "0% and 100%"),
    make("span", { class: "line" }, make("span", { class: "stroke upright" }), "the graph below")),
  make("div", { class: "two circuit" },
    make("section", { "aria-label": "The graph" },
      make("div", { class: "key" },
        make("span", { class: "line" }, make("span", { class: "stroke for" }), "speaks for it"),
        make("span", { class: "line" }, make("span", { class: "stroke against" }), `against it; the thicker, the more: up to ${strongest.toFixed(2)} logits`)),
      make("p", { class: "quiet" }, `${HEAD_NAME}: head ${HEAD_NAME.split(".")[1]} of layer ${HEAD_NAME.split(".")[0]}` +
        (STEP_NAME ? `; ${short(STEP_NAME)}: ${STEP_NAME}, the feed-forward step of layer ${STEP_NAME.split(".")[0]}` : "")),
      make("div", { class: "scroll boxed" }, picture)),
    make("section", { class: "beside", "aria-labelledby": "about" }, about, said, details)));

/** The faithfulness of every size that was measured, the edges on a scale of powers. */
function drawCurve() {
  const most = Math.log(sizes.at(-1).edges + 1), high = Math.max(1, ...sizes.map((size) => size.faithfulness)), low = Math.min(0, ...sizes.map((size) => size.faithfulness));
  const x = (size) => (4 + (192 * Math.log(size.edges + 1)) / most).toFixed(1), y = (value) => (46 - (42 * (value - low)) / (high - low)).toFixed(1);
  const drawn = shape("svg", { viewBox: "0 0 200 50", preserveAspectRatio: "none", role: "img" }, shape("title", {},
    `The share of the effect that is kept, from ${count(sizes[0].edges)} edges to ${count(sizes.at(-1).edges)}, on a scale of powers`));
  drawn.append(shape("path", { d: `M4 ${y(0)}H196M4 ${y(1)}H196`, class: "axis" }),
    shape("path", { d: "M" + sizes.map((size) => `${x(size)} ${y(size.faithfulness)}`).join("L"), class: "looks", "stroke-width": 2 }),
    shape("path", { d: `M${x(sizes[state.size])} 2V48`, class: "now" }));
  plotted.replaceChildren(drawn);
}

function draw() {
  const size = sizes[state.size], shown = kept(size.edges);
  const names = [...new Set(["embedding", ...shown.flatMap((edge) => [edge.from, edge.node]), "logits"])];
  const ranks = [...new Set(names.map(rank))].sort((one, other) => (one === other ? 0 : one - other));
  const rows = ranks.map((at) => names.filter((name) => rank(name) === at).sort((one, other) => one.split(".")[1] - other.split(".")[1]));
  state.room = picture.parentElement.clientWidth;
  const wide = Math.max(state.room - 2, 46 * Math.max(...rows.map((row) => row.length)) / 0.8);
  const place = {};
  rows.forEach((row, r) => row.forEach((name, at) => {
    const x = name.endsWith("feedforward") ? 0.88 : name.includes(".") ? 0.8 * (at + 0.5) / row.length : 0.4;
    place[name] = { x: x * wide, y: ROW * r + 14 };
  }));
  const svg = shape("svg", { width: wide, height: ROW * rows.length, "aria-hidden": "true" });
  [...shown].reverse().forEach((edge) => {
    const from = place[edge.from], to = place[edge.node], bend = (to.y - from.y) / 2;
    const bow = from.x === to.x && bend > ROW ? Math.min(0.11 * wide, 8 * Math.sqrt(bend)) : 0;
    const line = shape("path", {
      d: `M${from.x.toFixed(1)} ${from.y + 11}C${(from.x + bow).toFixed(1)} ${from.y + bend} ${(to.x + bow).toFixed(1)} ${to.y - bend} ${to.x.toFixed(1)} ${to.y - 12}`,
      class: edge.score < 0 ? "against" : "for", "data-from": edge.from, "data-to": edge.node,
      "stroke-width": Math.max(0.7, (9 * Math.abs(edge.score)) / strongest).toFixed(2),
    }, shape("title", {}, `${edge.from} → ${edge.to} ${signed(edge.score)}`));
    svg.append(line);
  });
  const buttons = rows.map((row) => row.map((name) => {
    const into = shown.filter((edge) => edge.node === name), out = shown.filter((edge) => edge.from === name);
    const choose = () => select(name, shown);
    const button = make("button", { class: "node", "data-node": name, onpointerenter: choose, onfocus: choose, onclick: choose, "aria-pressed": "false",
      "aria-label": `${spoken(name)}: ${into.length} edges in, ${out.length} out` }, short(name));
    button.style.left = `${place[name].x}px`;
    button.style.top = `${place[name].y - 12}px`;
    return button;
  }));
  picture.style.width = `${wide}px`;
  picture.style.height = `${ROW * rows.length}px`;
  picture.replaceChildren(svg, ...buttons.flat());
  arrows(buttons);
  const drawn = size.edges > edges.length ? `, of which the strongest ${count(edges.length)} are drawn` : "";
  const left = shown.length < Math.min(size.edges, edges.length) ? `; ${count(shown.length)} of them on a way to the logits` : "";
  told.textContent = `${count(size.edges)} of ${count(data.of_edges)}${drawn}${left}: ${share(size.faithfulness)} of the effect`;
  slider.setAttribute("aria-valuetext", told.textContent);
  select(names.includes(state.node) ? state.node : "logits", shown);
}

function select(name, shown) {
  state.node = name;
  const into = shown.filter((edge) => edge.node === name), out = shown.filter((edge) => edge.from === name);
  picture.classList.toggle("chosen", true);
  picture.querySelectorAll(".node").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.node === name)));
  picture.querySelectorAll("path").forEach((line) => line.classList.toggle("near", line.dataset.from === name || line.dataset.to === name));
  about.textContent = spoken(name)[0].toUpperCase() + spoken(name).slice(1);
  const sum = (some) => signed(some.reduce((total, edge) => total + edge.score, 0));
  say(`${spoken(name)}: `, into.length ? `reads ${into.length} of these edges, ${sum(into)} in all` : "reads none of them",
    out.length ? `; writes ${out.length}, ${sum(out)} in all.` : ".");
  const table = (title, some, of) => (some.length ? [make("h3", {}, title), make("table", { class: "figures", "aria-label": title },
    make("tbody", {}, ...some.slice(0, TABLE).map((edge) => make("tr", {}, make("th", { scope: "row" }, of(edge)), make("td", {}, signed(edge.score)))))),
  ...(some.length > TABLE ? [make("p", { class: "quiet" }, `and ${count(some.length - TABLE)} more`)] : [])] : []);
  details.replaceChildren(...table("Reads", into, (edge) => edge.from + (edge.part ? `, as its ${edge.part}` : "")),
    ...table("Is read by", out, (edge) => edge.to), ...attention(name));
}

/** Whom a head looks at in the clean text. */
function attention(name) {
  const head = heads.find((one) => one.name === name);
  if (!head) return [];
  const table = make("table", { class: "cells map", role: "img", "aria-label": "Attention in the clean text: a row a token that looks. " + said_of(head) });
  table.append(make("thead", {}, make("tr", {}, make("th"), ...data.tokens.map((token) => make("th", { class: "turned" }, readable(token))))));
  table.append(make("tbody", {}, ...head.weights.map((row, at) => make("tr", {}, make("th", {}, readable(data.tokens[at])), ...row.map((weight, to) => {
    const cell = make("div", { class: "cell", title: `${visible(data.tokens[at].text)} to ${visible(data.tokens[to].text)}: ${percent(weight)}` });
    shade(cell, weight);
    return make("td", {}, cell);
  })))));
  return [make("h3", {}, "Whom it looks at in the clean text"), make("div", { class: "scroll tall" }, table), key("0", "1", "the weight that the row's token gives to the column's")];
}

function said_of(head) {
  const row = head.weights.at(-1), best = row.indexOf(Math.max(...row));
  return `The last token looks at token ${best} with ${percent(row[best])}.`;
}

function resize() {
  state.size = Number(slider.value);
  drawCurve();
  draw();
}

resize();
new ResizeObserver(() => picture.parentElement.clientWidth !== state.room && draw()).observe(picture.parentElement);  // A scroll bar may have come.
