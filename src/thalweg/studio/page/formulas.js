// The room of the rules: where each steps and how far, which it grew from, its equations; and a rule of one's own.
import { choice, copier, h, tableOf } from "./dom.js";
import { get, post } from "./server.js";
import { say } from "./words.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const EXAMPLE = `def my_rule(g, m, *, lr=0.05, beta=0.9):
    m = beta * m + (1 - beta) * g
    return Update(-lr * m / (abs(m) + 0.1), m=m)
`;

// A tree of the server, [tag, attributes, children], as an element.
const math = ([tag, attributes, children]) => {
  const element = document.createElementNS(MATHML, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.map((child) => (typeof child === "string" ? child : math(child))));
  return element;
};
const equations = (rows) => h("div", { class: "equations", tabindex: 0, role: "region", "aria-label": say("Equations") }, math(["math", { display: "block" }, [["mtable", { displaystyle: "true" }, rows]]]));

// `world` has make, compare, written; `address` is "rule=adam(amsgrad=True)", "view=family", or "own=…".
export const formulasRoom = (world, address, moved) => {
  const element = h("div", { class: "formulas" });
  let state = {}, catalogue = null;
  const language = world.facts.language;

  const open = async (query) => {
    const asked = new URLSearchParams(query);
    state = { rule: asked.get("rule") ?? "adam", view: asked.get("view") ?? "table", own: asked.get("own") };
    note();
    catalogue ??= await get("/formulas", { language });
    map();
    await Promise.all([show(state.rule), state.own && typed()]);
  };
  const note = () => moved(new URLSearchParams(Object.entries(state).filter(([key, value]) => value && !(key === "view" && value === "table"))).toString());

  const place = h("section", { class: "panel catalogue", "aria-label": say("The catalogue") }), sheet = h("article", { class: "panel rule", "aria-live": "polite" });
  const name = (label) => h("button", { type: "button", class: "quiet name", "aria-pressed": String(state.rule.split("(")[0] === label), onclick: () => { state.rule = label; note(); map(); show(label); } }, label);
  const map = () => {
    const tab = (view, words) => h("button", { type: "button", "aria-pressed": String(state.view === view), onclick: () => { state.view = view; note(); map(); } }, words);
    const at = place.querySelector(".scroll")?.scrollLeft ?? 0;
    place.replaceChildren(h("div", { class: "heading" }, h("h2", {}, say("Rules")), h("div", { class: "buttons" }, tab("table", say("Where they step, and how far")), tab("family", say("Family tree")))), state.view === "family" ? family() : table());
    const scrolls = place.querySelector(".scroll");
    if (scrolls) scrolls.scrollLeft = at;
  };
  const table = () => {
    const [directions, rates] = ["direction", "rate"].map((key) => [...new Set(catalogue.map((rule) => rule[key]))]);
    const cell = (direction, rate) => h("td", {}, catalogue.filter((rule) => rule.direction === direction && rule.rate === rate).map((rule) => h("div", {}, name(rule.name), h("small", {}, rule.year))));
    const rows = rates.map((rate) => h("tr", {}, h("th", { scope: "row" }, rate), directions.map((one) => cell(one, rate))));
    return tableOf(say("Where they step, and how far"), [say("rate ↓  direction →"), ...directions], rows, { class: "cells" });
  };
  const family = () => {
    const known = new Set(catalogue.map((rule) => rule.name)), first = (rule) => rule.parents.find((parent) => known.has(parent)) ?? null;
    const branch = (parent) => {
      const children = catalogue.filter((rule) => first(rule) === parent).sort((a, b) => a.year - b.year);
      return children.length > 0 && h("ul", {}, children.map((rule) => h("li", {}, name(rule.name), h("small", {}, [rule.year, rule.idea, rule.parents.length > 1 && say("also from {parents}", { parents: rule.parents.slice(1).join(", ") })].filter(Boolean).join(" · ")), branch(rule.name))));
    };
    return h("div", { class: "family" }, branch(null));
  };

  const show = async (label) => {
    let rule;
    try { rule = await get("/formulas/one", { label, language }); } catch (error) { sheet.replaceChildren(h("p", { class: "trouble", role: "alert" }, error.message)); return; }
    if (state.rule !== label) return; // another was chosen meanwhile
    const forms = catalogue.find((one) => one.name === rule.name).forms;
    const [title, words, rows, ...more] = sheetOf(rule);
    sheet.replaceChildren(title, words, rows, h("div", { class: "buttons" },
      forms.length > 1 && h("label", { class: "tick" }, say("form"), choice(forms.includes(label) ? forms.map((one) => [one, one]) : [...forms, label].map((one) => [one, one]), label, (next) => { state.rule = next; note(); show(next); })),
      rule.races && h("button", { type: "button", onclick: () => race([rule.label]) }, say("Race it")),
      h("button", { type: "button", onclick: () => world.compare([rule.label, rule.name === "sgd" ? "adam" : "sgd"]) }, say("Compare it on a real problem")),
      copier(say("Copy the LaTeX"), say("Copied"), () => rule.latex), copier(say("Copy as Python"), say("Copied"), () => `import thalweg as tw\n\nrule = tw.formulas.get(${JSON.stringify(rule.label)})\nprint(rule.latex())\nOptimizer = tw.optim.from_formula(rule)\n`)), ...more);
  };

  // One's own: shown by the server's parser, raced under its own name.
  const text = h("textarea", { rows: 8, spellcheck: "false", maxlength: 2000, "aria-label": say("Your rule") }), result = h("div", { "aria-live": "polite" });
  text.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); typed(); } });
  const typed = async () => {
    state.own = text.value;
    note();
    try {
      const rule = await post("/formulas/own", { text: text.value }, { language });
      result.replaceChildren(equations(rule.math), h("div", { class: "buttons" },
        rule.races && h("button", { type: "button", class: "main", onclick: async () => { const label = await world.make("rule", text.value); race([label], text.value); } }, say("Race it")),
        h("button", { type: "button", onclick: () => world.compare([rule.label, "sgd", "adam"], [text.value]) }, say("Compare it on a real problem")),
        copier(say("Copy the LaTeX"), say("Copied"), () => rule.latex)));
    } catch (error) {
      result.replaceChildren(h("p", { class: "trouble", role: "alert" }, error.message));
    }
  };
  const race = (labels, own) => {
    const query = new URLSearchParams([["surface", "quadratic"], ["start", "1.8,0.9"], ["steps", "60"], ["lane", "sgd;lr=0.1"], ...labels.filter((label) => label !== "sgd").map((label) => ["lane", label]), ...(own ? [["own", own]] : [])]);
    location.hash = `#/race?${query}`;
  };
  const writing = h("section", { class: "panel own", "aria-label": say("Write your own") }, h("h2", {}, say("Write your own")),
    h("p", { class: "quiet" }, say("g is the gradient, w the weight, t the step from 1; other names before the * are states, those behind it hyperparameters. The last line returns the step and every state. The text is read by a parser and never run.")),
    text, h("div", { class: "buttons" }, h("button", { type: "button", onclick: typed }, say("Show its equations"))), result);
  text.value = new URLSearchParams(address).get("own") ?? EXAMPLE;
  element.append(place, h("div", { class: "stage even" }, sheet, writing));
  open(address);
  return { element, open: (query) => { text.value = new URLSearchParams(query).get("own") ?? text.value; return open(query); }, address: () => new URLSearchParams(Object.entries(state).filter(([, value]) => value)).toString(), repaint: () => {}, leave: () => {} };
};

const sheetOf = (rule) => [
  h("h2", {}, `${rule.label}${rule.year ? ` · ${rule.year}` : ""}`), h("p", {}, rule.words), equations(rule.math),
  h("dl", { class: "about" }, [
    [say("direction"), rule.direction], [say("rate"), rule.rate], [say("idea"), rule.idea], [say("grew from"), rule.parents.join(", ")], [say("states"), rule.states.join(", ") || say("none")], [say("source"), rule.source], [say("departs from it"), rule.departs],
  ].filter(([, words]) => words).map(([head, words]) => h("div", {}, h("dt", {}, head), h("dd", {}, words)))),
  tableOf(say("Hyperparameters and options"), [say("name"), say("default"), say("range"), say("meaning")],
    rule.values.map((one) => h("tr", {}, h("th", { scope: "row" }, one.name), h("td", {}, one.default), h("td", {}, one.range), h("td", { class: "word" }, one.words)))),
];
