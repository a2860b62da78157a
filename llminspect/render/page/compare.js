// One text in several tokenizers: the bytes of a token lit in all of them.

heading("One text in several tokenizers", "Point at a token, or go to one with the arrow keys: the tokens on the same bytes of the text light up in the others.");
const cut = data.models.filter((model) => model.tokens);
const figures = make("table", { class: "figures" });
figures.append(make("thead", {}, make("tr", {}, ...["tokenizer", "tokens", "characters per token", "bytes per token"].map((name) => make("th", {}, name)))));
const body = make("tbody");
data.models.forEach((model) => body.append(make("tr", {}, make("th", { scope: "row" }, quoted(model.model)),
  ...(model.error ? [make("td", { colspan: "3" }, named(model.error))] :
    [model.count, model.characters_per_token?.toFixed(2) ?? "", model.bytes_per_token?.toFixed(2) ?? ""].map((value) => make("td", {}, String(value)))))));
figures.append(body);
main.append(make("div", { class: "scroll" }, figures), said);

const overlap = (token, from, to) => token.start !== null && token.start < to && token.end > from;
const buttons = [];

function light(model, index) {
  const token = cut[model].tokens[index];
  buttons.forEach((row, other) => row.forEach((button, place) =>
    button.classList.toggle("lit", other === model ? place === index : token.start !== null && overlap(cut[other].tokens[place], token.start, token.end))));
  const beside = cut.map((one, other) => [one.model, one.tokens.filter((seen) => overlap(seen, token.start ?? 0, token.end ?? 0)), other])
    .filter(([, , other]) => other !== model);
  const where = token.start === null ? "not of the text" : `bytes ${token.start} to ${token.end}`;
  say(inQuotes(readable(token)), ` is token ${token.index} of `, quoted(cut[model].model), `: id ${token.id}, ${token.bytes}, ${where}. `,
    ...(token.start === null ? [] : beside.flatMap(([name, seen]) => [quoted(name), `: ${seen.length} ${seen.length === 1 ? "token" : "tokens"}. `])));
}

cut.forEach((model, number) => {
  const row = model.tokens.map((token, index) => {
    const look = () => light(number, index);
    const button = make("button", { class: "token", "data-token": `${number}.${index}`, onpointerenter: look, onfocus: look, onclick: look }, readable(token));
    shade(button, index % 2 ? 0.3 : 0.1);
    return button;
  });
  buttons.push(row);
  arrows([row]);
  main.append(make("h2", {}, quoted(model.model), ` ${model.count} tokens`), make("div", { class: "strip", role: "group", "aria-label": named(model.model) }, ...row));
});
say("Neighbouring tokens differ in shade to show where a text is cut.");
