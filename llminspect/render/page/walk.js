// The whole way on one page: a token is chosen, and every step shows what happens to it.

const state = { at: real.tokens.length - 1, layer: null, head: null, toys: { toy: 1, "toy-attention": 1, "toy-relu": 0 } };
const heads = real.heads.result.heads;
const layersShown = [...new Set(heads.map((head) => head.layer))];

heading("From text to text, step by step", `${named(data.model)} beside toys that can be checked on paper. Choose a token: every step shows what happens to it.`);
const strip = make("div", { class: "strip", role: "group", "aria-label": "The text: choose a token" });
const way = make("nav", { "aria-label": "Steps" }, ...data.chapters.map((chapter) =>
  make("a", { href: `#step${chapter.number}`, title: chapter.title, "data-step": chapter.number }, String(chapter.number))));
main.append(make("header", { class: "bar-top" }, strip, way),
  make("p", { class: "key hint" }, "orange frame: the chosen token · ← → go from token to token, Tab to the next thing to choose, 1 to 9 to a step"));

const texts = Object.fromEntries(data.followed.map((text) => [text.model, text]));

function stripOf(text, chosen, choose, name) {
  const buttons = text.tokens.map((token, at) => make("button", { class: "token", "data-key": `${name}.${at}`, "aria-pressed": String(at === chosen), onclick: () => choose(at) }, readable(token)));
  arrows([buttons]);
  buttons.forEach((button, at) => {
    button.setAttribute("tabindex", at === chosen ? "0" : "-1");
    button.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (buttons[to]) choose(to, `${name}.${to}`);
    });
  });
  return buttons;
}

const chooseReal = (at, focus) => { Object.assign(state, { at, layer: null, head: null }); draw(focus); };
const chooseToy = (name) => (at, focus) => { state.toys[name] = at; draw(focus); };
const open = (layer, head = null) => {
  Object.assign(state, { layer, head });
  draw();
};

/** The strip of a toy, and what it does with its chosen token. */
function byHand(name, step, ...drawn) {
  const at = state.toys[name];
  return [make("div", { class: "strip", role: "group", "aria-label": `The words of ${name}: choose one` }, ...stripOf(texts[name], at, chooseToy(name), `${step}.${name}`)),
    ...drawn.flatMap((one) => one(at))];
}

/** The head that is looked into: what was chosen, or where the token does what is least usual. */
function opened() {
  const { query: found } = real.each[state.at].query.result;
  const layer = state.layer ?? (layersShown.includes(found.layer) ? found.layer : layersShown.at(-1));
  const head = state.head ?? (layer === found.layer ? found.head : 0);
  return { found, head: heads.find((one) => one.layer === layer && one.head === head) };
}

function attention() {
  const { found, head } = opened(), part = real.each[state.at].query;
  const range = make("input", { type: "range", id: "layer", "data-key": "range", min: 0, max: layersShown.length - 1, value: layersShown.indexOf(head.layer),
    "aria-valuetext": `layer ${head.layer}`, oninput: (event) => open(layersShown[event.target.value]) });
  const small = heads.filter((one) => one.layer === head.layer).map((one) => make("button", {
    class: "thumb", "data-key": `head.${one.head}`, "data-head": `${one.layer}.${one.head}`, "aria-pressed": String(one === head), title: one.habit,
    "aria-label": `head ${one.head}: ${one.habit}`, onclick: () => open(one.layer, one.head) },
  lines(one.weights, real.tokens.length, Math.max(3, 44 / real.tokens.length), state.at, 3), make("span", {}, String(one.head))));
  arrows([small]);
  const same = head.layer === found.layer && head.head === found.head;
  return [command(real.heads), make("p", { class: "line" }, make("label", { for: "layer" }, `layer ${head.layer} (of 0 to ${layersShown.at(-1)}) `), range),
    make("div", { class: "thumbs", role: "group", "aria-label": "The heads of this layer" }, ...small),
    make("p", { id: "head" }, make("strong", {}, `Layer ${head.layer}, head ${head.head}`), ` (its habit on this text: ${head.habit})`,
      same ? `: the head where what this token looks at is least usual.` : "."),
    ofHead(part, head), looks(real.tokens, head, state.at, chooseReal, "look"), remark(LINES),
    ...(real.left_out ? [remark(`${real.left_out} layers are left out: the text has too many tokens for all of them.`)] : []),
    make("h4", {}, `The sum by hand, in layer ${found.layer}, head ${found.head}`), ...query(part, real.tokens)];
}

function attentionByHand(at) {
  const text = texts["toy-attention"], [head] = text.heads.result.heads;
  return [ofHead(text.each[at].query, head), looks(text.tokens, head, at, chooseToy("toy-attention"), "toylook"), remark(LINES), ...query(text.each[at].query, text.tokens),
    ...sums("toy-attention", VECTOR, -1 - ANSWER)(at)];
}

/** What each step shows: on a toy, then in the model. */
const drawings = [
  (chapter) => [byHand("toy", 1, sums("toy")), parts(chapter)],
  (chapter) => [tokens(chapter.by_hand[0], state.toys.toy, chooseToy("toy")), tokens(chapter.model[0], state.at, chooseReal)],
  (chapter) => [place(chapter.by_hand[0], state.toys.toy), place(chapter.model[0], state.at)],
  (chapter) => [byHand("toy", 4, sums("toy", 0, VECTOR)), vectors(chapter.model[0], state.at)],
  () => [byHand("toy-attention", 5, sums("toy-attention", -1 - ANSWER, -ANSWER)), layers(state.at, opened().head.layer, open)],
  () => [byHand("toy-attention", 6, attentionByHand), attention()],
  () => [byHand("toy-relu", 7, sums("toy-relu", VECTOR, -1 - ANSWER), (at) => {
    const part = texts["toy-relu"].each[at].forward;
    return part.result.feedforward.flatMap((step) => fed(part, step));
  }), [passed(real.each[state.at].forward), ...(real.each[state.at].forward.result.feedforward ?? []).flatMap((step) => fed(real.each[state.at].forward, step))]],
  (chapter) => [byHand("toy", 8, sums("toy", -ANSWER)), [...answer(state.at), ...written(chapter.model[1])]],
  (chapter) => [changed(chapter.by_hand[0]), [...lensOf(state.at), ...changed(chapter.model.at(-1))]],
];

const bodies = data.chapters.map((chapter) => {
  const hand = make("div", { class: "hand" }), model = make("div", { class: "model" });
  main.append(make("section", { id: `step${chapter.number}`, "aria-labelledby": `title${chapter.number}` },
    make("h2", { id: `title${chapter.number}`, tabindex: "-1" }, `${chapter.number}. ${chapter.title}`), make("p", {}, chapter.says),
    make("div", { class: "two" }, hand, model)));
  return [hand, model];
});

function draw(focus = document.activeElement?.dataset?.key) {
  strip.replaceChildren(...stripOf(real, state.at, chooseReal, "text"));
  data.chapters.forEach((chapter, index) => {
    const [hand, model] = drawings[index](chapter);
    bodies[index][0].replaceChildren(make("h3", {}, "By hand"), ...hand);
    bodies[index][1].replaceChildren(make("h3", {}, "In ", named(data.model)), ...model);
  });
  if (focus) document.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const to = state.at + { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (real.tokens[to] && !event.target.closest("button, input, a")) chooseReal(to);
  if (!/^[1-9]$/.test(event.key)) return;
  const title = document.getElementById(`title${event.key}`);
  title?.scrollIntoView();
  title?.focus({ preventScroll: true });
});
const seen = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) =>
  way.querySelector(`[href="#${target.id}"]`).toggleAttribute("aria-current", isIntersecting)), { rootMargin: "-30% 0px -69% 0px" });
document.querySelectorAll("section").forEach((section) => seen.observe(section));
draw();
