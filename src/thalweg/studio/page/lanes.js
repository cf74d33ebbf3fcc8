// The rules of a race, a row each: rate, other hyperparameters, the loss at the cursor.
import { choice, h } from "./dom.js";
import { valuesAt } from "./descent.js";
import { sample } from "./look.js";
import { plain, short } from "./numbers.js";
import { say } from "./words.js";

const LOW = -6, HIGH = 3; // powers of ten of the slider

// `act` has: change(k, name, value), form(k, label), remove(k), drop(k, at), arrows(k).
export const laneRows = (act) => {
  const element = h("ul", { class: "lanes" });
  let rows = [], shape = "";

  const show = (scene) => {
    const now = JSON.stringify([scene.state.lanes.map((lane) => lane.label), scene.language]);
    if (shape !== now) {
      rows = scene.state.lanes.map((lane, k) => laneRow(act, scene, lane, k));
      element.replaceChildren(...rows.map((row) => row.element));
      shape = now;
    }
    rows.forEach((row, k) => row.show(scene, k));
  };
  return { element, show };
};

const laneRow = (act, scene, lane, k) => {
  const rule = scene.rules[lane.label], line = h("canvas", { class: "sample", "aria-hidden": "true" });
  const loss = h("output", { class: "loss" }), notes = h("ul", { class: "changes" });
  const fields = Object.keys(rule.hyperparameters).map((name) => field(act, scene, rule, name, k));
  const rate = fields.find((one) => one.name === "lr"), others = fields.filter((one) => one.name !== "lr");
  const arrows = h("input", { type: "checkbox", onchange: () => act.arrows(arrows.checked ? k : null) });
  const forms = Object.keys(scene.rules).filter((label) => scene.rules[label].name === rule.name && !scene.rules[label].typed);
  const name = h("span", { class: "name" }, ...lane.label.split(/(?<=[(,])/).flatMap((part) => [part, h("wbr")]));
  const more = h("details", {},
    h("summary", { "aria-label": say("More of {name}", { name: lane.label }) }, say("more")),
    h("div", { class: "more" },
      forms.length > 1 && h("label", {}, say("form"), choice(forms.map((label) => [label, label]), lane.label, (label) => act.form(k, label))),
      others.map((one) => one.element),
      scene.surfaceSize === 2 && h("label", { class: "tick" }, arrows, say("arrows at the cursor"))));
  const remove = h("button", { type: "button", class: "quiet", "aria-label": say("Remove {name}", { name: lane.label }), onclick: () => act.remove(k) }, "×");
  const element = h("li", {},
    h("div", { class: "row" }, line, name, rate?.element ?? h("span", { class: "rate" }, say("without a rate")), loss, remove), notes, more);

  const show = ({ state, paths, styles, surfaceSize }) => {
    const now = state.lanes[k], path = paths[k], at = Math.min(state.at, path.end);
    sample(line, styles[k]);
    for (const one of fields) one.show(valuesAt({ rule, ...now }, state.at === state.steps ? 0 : state.at)[one.name]);
    arrows.checked = state.arrows === k;
    arrows.parentElement?.toggleAttribute("hidden", surfaceSize !== 2);
    const lost = path.diverged >= 0 && state.at >= path.diverged;
    loss.textContent = lost ? say("diverged at step {step}", { step: path.diverged }) : say("loss {loss}", { loss: short(path.losses[at]) });
    loss.classList.toggle("lost", lost);
    const words = now.changes.flatMap((change) => Object.entries(change.values).map(([key, value]) => [change.at, `${key} ${short(value)}`]));
    notes.replaceChildren(...words.map(([step, text]) => h("li", {}, say("{change} from step {step} on", { change: text, step }),
      h("button", { type: "button", class: "quiet", "aria-label": say("Undo {change}", { change: text }), onclick: () => act.drop(k, step) }, "×"))));
  };
  return { element, show };
};

// A number with, for the rate, a slider on a logarithmic axis.
const field = (act, scene, rule, name, k) => {
  const words = scene.meanings[rule.name]?.[name] ?? name;
  const number = h("input", {
    type: "number", step: "any", "aria-label": `${name}, ${rule.label}`, title: words,
    onchange: () => number.value !== "" && Number.isFinite(Number(number.value)) && act.change(k, name, Number(number.value)),
  });
  if (name !== "lr") return { name, element: h("label", { title: words }, name, number), show: (value) => fill(number, value) };
  const slider = h("input", {
    type: "range", min: LOW, max: HIGH, step: 0.02, "aria-label": say("rate of {name}, logarithmic", { name: rule.label }),
    oninput: () => act.change(k, name, Number((10 ** Number(slider.value)).toPrecision(3))),
  });
  const show = (value) => {
    fill(number, value);
    slider.setAttribute("aria-valuetext", short(value));
    if (document.activeElement !== slider) slider.value = value > 0 ? Math.log10(value) : LOW;
  };
  return { name, element: h("span", { class: "rate" }, slider, number), show };
};

const fill = (input, value) => {
  if (document.activeElement !== input) input.value = plain(value);
};
