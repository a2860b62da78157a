// One drawing a step of the walk: by hand on a toy, and in the real model, both for the token that is chosen.

/** A command line; a short word of it is not broken. */
const command = (part) => make("pre", { class: "command" }, "$ llminspect", ...part.arguments.flatMap((word) => {
  const shown = /^[\w.,=/-]+$/.test(word) ? word : `"${named(word)}"`;
  return [" ", make("span", { class: shown.length < 24 ? "unbroken" : "" }, shown)];
}));
/** The same with other words in place of an option and its values; what its command prints is what is shown below it. */
function changing(part, option, values, ...words) {
  const at = part.arguments.indexOf(option), all = part.arguments;
  return at < 0 ? part : { ...part, arguments: [...all.slice(0, at), ...words, ...all.slice(at + 1 + values)] };
}
const passed = (part) => command(changing(part, "--lens", 0));
const ofHead = (part, head) => command(changing(part, "--query", 1, "--layer", String(head.layer), "--head", String(head.head)));
const next = (token) => [quoted(token.text), percent(token.prob, 2), bar(token.prob)];
const others = (tokens) => words(tokens.flatMap((one) => [make("span", { class: "unbroken other" }, quoted(one.text), ` ${percent(one.prob, 2)}`), " "]));
const FOLDED = 12;
const PROBABLE = "bar: how probable, from 0 to 100%";
const remark = (text) => make("p", { class: "key" }, text);

/** The last steps of a toy make its answer: logits, probabilities, the next token; the first its vector. */
const ANSWER = 3, VECTOR = 2;
const toy = (name) => data.followed.find((text) => text.model === name);
const real = data.followed.at(-1);
const sums = (name, from, to) => (at) => {
  const { forward } = toy(name).each[at];
  return [command(forward), calculation(forward.result.steps.slice(from, to))];
};

function parts(chapter) {
  const [part] = chapter.model;
  return [command(part), rowsOf(["part", "parameters", "share", ""], part.result.parts.map((one) =>
    [words(named(one.name)), count(one.parameters), percent(one.share), bar(one.share)])), remark("bar: its share of all parameters")];
}

function tokens(part, chosen, choose) {
  const rows = part.result.tokens.map((token, place) => [
    make("button", { class: "token", "data-key": `row.${part.model}.${place}`, "aria-pressed": String(place === chosen), onclick: () => choose(place) }, readable(token)),
    String(token.id), words((token.bytes ?? "").match(/../g)?.join(" ") ?? ""), token.start === undefined || token.start === null ? "" : `${token.start}–${token.end}`]);
  return [command(part), rowsOf(["token", "id", "its bytes", "letters"], rows, chosen)];
}

function place(part, chosen) {
  const { ids, vocabulary_size: size, one_hot: oneHot } = part.result;
  if (oneHot) return [command(part), rowsOf(["token", "id", "one-hot"], ids.map((id, row) => [readable(part.result.tokens[row]), String(id), words(vector(oneHot[row]))]), chosen)];
  const mark = make("span", { class: "mark" });
  mark.style.left = `${(100 * ids[chosen]) / (size - 1)}%`;
  return [command(part), make("p", {}, readable(part.result.tokens[chosen]), " is number ", make("strong", {}, count(ids[chosen])), ` of a list of ${count(size)}.`),
    make("div", { class: "list", role: "img", "aria-label": `place ${ids[chosen]} of ${size}` }, mark),
    make("div", { class: "ends" }, make("span", {}, "0"), make("span", {}, count(size - 1))),
    remark(`One-hot: ${count(size)} numbers, a 1 at the mark and 0 everywhere else.`)];
}

function vectors(part, chosen) {
  const { vectors: rows, norms, dim, nearest, tokens: all } = part.result;
  const near = (nearest?.[chosen] ?? []).filter((one) => one.id !== all[chosen].id);
  return [command(changing(part, "--nearest", 1)), make("p", {}, readable(all[chosen]), " → ", make("code", {}, vector(rows[chosen].slice(0, 4)).slice(0, -1) + ", …]"), ` length ${number(norms[chosen])}`),
    ...cells(rows[chosen], dim), command(part), make("p", { class: "quiet" }, "Tokens whose vectors point in the most similar direction:"),
    rowsOf(["token", "cosine", ""], near.map((one) => [quoted(one.text), number(one.cosine), bar(one.cosine)])), remark("bar: cosine, from 0 to 1")];
}

function layers(chosen, layer, open) {
  const { forward } = real.each[chosen], { layers: rows } = forward.result;
  const most = Math.max(...rows.map((row) => row.norm));
  const [attention, fed, stream] = ["attention_norm", "feedforward_norm", "norm"].map((name) => column(rows.map((row) => row[name])));
  return [passed(forward), rowsOf(["layer", "attention adds", "feed forward adds", "stream", ""], rows.map((row, at) => [
    make("button", { class: "number", "data-key": `layer.${row.layer}`, "aria-pressed": String(row.layer === layer), "aria-label": `see layer ${row.layer} in step 6`, onclick: () => open(row.layer) }, String(row.layer)),
    attention[at], fed[at], stream[at], bar(row.norm / most)])),
  ...(rows.length > FOLDED ? [remark("Of so many layers the command prints some, and with --json all.")] : []),
  remark("Lengths of vectors; bar: the length of the stream, the longest fills it. A layer's number opens its heads in step 6.")];
}

/** Who looks at whom in one head: lines as thick as the weights. */
function looks(tokensOf, head, chosen, choose, name) {
  const step = 32, row = head.weights[chosen];
  return make("div", { class: "looking", role: "group", "aria-label": "Tokens on the left look at those on the right" },
    make("div", {}, ...tokensOf.map((token, at) => make("button", { class: "token end", "data-key": `${name}.${at}`, "aria-pressed": String(at === chosen), onclick: () => choose(at) }, readable(token)))),
    lines(head.weights, tokensOf.length, step, chosen, 9),
    make("div", {}, ...tokensOf.map((token, at) => make("div", { class: "seen", "data-weight": `${name}.${at}` }, readable(token), " ",
      make("span", { class: "quiet" }, at < row.length ? percent(row[at]) : "hidden")))));
}
const LINES = "blue: what the chosen token (orange frame) looks at, as thick as the weight; grey: the other tokens";

function query(part, tokensOf) {
  const { query: found } = part.result, fixed = (value) => value?.toFixed(4) ?? "";
  const [scores, scaled] = [column(found.scores), column(found.scaled)];
  const rows = found.scores.map((_, at) => [readable(tokensOf[at]), scores[at], scaled[at], found.masked[at] === null ? "hidden" : fixed(found.weights[at]),
    ...(found.usual ? [fixed(found.usual[at])] : [])]);
  return [command(part), rowsOf(["key", "q · k", `× ${number(found.scale)}`, "softmax = weight", ...(found.usual ? ["usual"] : [])], rows, null, "One query by hand"),
    ...(found.usual ? [remark("usual: the weight to expect anyway, because other tokens give as much to this key, or to the key at the same distance from them")] : [])];
}

function fed(part, step) {
  const gated = step.gated ? ["up"] : [];
  const [hidden, up, activation] = ["hidden", "up", "activation"].map((name) => column(step.units.map((unit) => unit[name])));
  const units = step.units.map((unit, at) => [String(unit.unit), hidden[at], ...(step.gated ? [up[at]] : []), activation[at]]);
  return [make("p", {}, `Layer ${step.layer}, ${count(step.width)} hidden units, f = ${step.function}; the ${units.length} with the largest |a|:`),
    rowsOf(["unit", "h", ...gated, step.gated ? "a = f(h) · up" : "a = f(h)"], units),
    remark(`${percent(step.positive)} of all hidden units have h > 0.`), ...(step.curve ? [curve(step), remark("blue: the curve of f over h; orange: this token's units")] : [])];
}

function answer(chosen) {
  const { forward } = real.each[chosen], logits = column(forward.result.next.map((one) => one.logit));
  const given = real.tokens[chosen + 1];
  return [passed(forward), make("p", {}, "After ", readable(real.tokens[chosen]), " most probable:"),
    rowsOf(["token", "logit", "probability", ""], forward.result.next.map((one, at) => [quoted(one.text), logits[at], percent(one.prob, 2), bar(one.prob)]),
      given ? forward.result.next.findIndex((one) => one.id === given.id) : null),
    remark(PROBABLE + (given ? "; orange frame: the token that the text has there, where it is among them" : ""))];
}

function written(part) {
  return [command(part), make("p", {}, "The text goes on: ", make("strong", {}, quoted(part.result.completion))),
    rowsOf(["token", "probability", "", "it could have been"], part.result.steps.map((step) => [...next(step),
      others(step.alternatives)])), remark(PROBABLE)];
}

function lensOf(chosen) {
  const { forward } = real.each[chosen], { lens } = forward.result;
  return lens ? [command(forward), rowsOf(["after layer", "would say", "", "", "then"], lens.map((row) => [String(row.layer), ...next(row.top[0]),
    others(row.top.slice(1, 3))])), remark(PROBABLE)] : [];
}

function changed(part) {
  const done = part.result.change.experiments.map((one) => `${one.kind} ${one.where} (${one.what ?? ""})`).join(", ");
  return [command(part), make("p", {}, named(done)), rowsOf(["next token", "before", "", "after", ""], part.result.change.tokens.slice(0, 8).map((one) =>
    [quoted(one.text), percent(one.prob_before, 2), bar(one.prob_before), percent(one.prob_after, 2), bar(one.prob_after)])), remark(PROBABLE)];
}
