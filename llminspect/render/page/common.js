"use strict";
// What the pages share. Everything of the text enters as textContent: nothing in it can become markup.

const data = JSON.parse(document.getElementById("data").textContent);
const main = document.querySelector("main");

/** An element with attributes and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** What cannot be seen spelt out, as the terminal has it: line ends, controls, marks that turn the text around. Spaces stay. */
const named = (text) => text
  .replaceAll("\n", "⏎").replaceAll("\t", "⇥")
  .replace(/[\u0000-\u001f\u007f-\u009f\u00a0\u00ad\u061c\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu,
    (character) => {
      const code = character.codePointAt(0);
      return code < 32 ? String.fromCodePoint(0x2400 + code) : code === 127 ? "␡" : `‹U+${code.toString(16).toUpperCase().padStart(4, "0")}›`;
    });

/** A token's text, with its spaces as well. */
const visible = (text) => named(text).replaceAll(" ", "·") || "∅";

const quoted = (text) => make("bdi", {}, visible(text));

/** A token for a reader; parts of a character as their bytes. */
const readable = (token) => (token.text.includes("\ufffd") && token.bytes
  ? make("bdi", { class: "quiet" }, `‹${token.bytes.toUpperCase().replace(/../g, (byte) => (byte === "20" ? "·" : byte))}›`) : quoted(token.text));
/** What stands in a sentence, in quotes: it can be told from the sentence's own words. */
const inQuotes = (shown) => make("bdi", {}, "“", shown, "”");
/** In a column of many all with as many decimals. */
const percent = (share, decimals = share < 0.1 ? 2 : 1) => (share === null ? "?" : (100 * share).toFixed(decimals) + "%");

/** From these shares on the other of black and white is read better on the colour: when dark, and when light. */
const TURNS = { middle: 0.635, high: 0.803 };

/** Colours an element by a share from 0 to 1. */
function shade(element, share) {
  element.style.setProperty("--share", Math.max(0, Math.min(1, share ?? 0)).toFixed(4));
  for (const [name, turn] of Object.entries(TURNS)) element.classList.toggle(name, (share ?? 0) > turn);
}

/** One element of a grid takes part in Tab; the arrows go from one to the next, Home and End to the ends of a row. */
function arrows(rows) {
  const at = (r, c) => rows[r] && rows[r][c];
  rows.flat().forEach((element) => element && element.setAttribute("tabindex", "-1"));
  const first = rows.flat().find(Boolean);
  if (first) first.setAttribute("tabindex", "0");
  rows.forEach((row, r) => row.forEach((element, c) => {
    if (!element) return;
    element.addEventListener("focus", () => {
      rows.flat().forEach((other) => other && other.setAttribute("tabindex", "-1"));
      element.setAttribute("tabindex", "0");
    });
    element.addEventListener("keydown", (event) => {
      const to = {
        ArrowLeft: at(r, c - 1), ArrowRight: at(r, c + 1), ArrowUp: at(r - 1, c), ArrowDown: at(r + 1, c),
        Home: row.find(Boolean), End: row.findLast(Boolean),
      }[event.key];
      if (to) { event.preventDefault(); to.focus(); }
    });
  }));
}

function heading(title, words) {
  main.append(make("h1", {}, title), make("p", { class: "quiet" }, words));
}

/** The scale of the colours. */
function key(from, to, words) {
  return make("div", { class: "key" }, make("span", {}, from), make("span", { class: "ramp", "aria-hidden": "true" }), make("span", {}, to), make("span", {}, words));
}

const said = make("div", { class: "said", id: "said", role: "status", "aria-live": "polite" });
const say = (...words) => said.replaceChildren(...words);
