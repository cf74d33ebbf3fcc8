// What a race is made of, as data: read from an address, from a lesson, and written into an address or as Python.
import { plain } from "./numbers.js";

export const MOST_LANES = 12;
export const MOST_STEPS = 2000;
const MOST_CHANGES = 20, MOST_OWN = 4, LONGEST_RULE = 2000;

// A lane says which rule runs: {label, values, changes: [{at, values}], chosen: "default" | "hand" | "tuned"}.
export const laneOf = (label, values = {}, chosen = "default", changes = []) => ({ label, values, changes, chosen });

export const ofLesson = (lesson) => ({
  lesson: lesson.name,
  surface: lesson.surface,
  start: [...lesson.start],
  steps: lesson.steps,
  lanes: lesson.lanes.map((lane) => laneOf(lane.label, { ...lane.values }, lane.chosen, structuredClone(lane.changes))),
  at: lesson.at,
  arrows: lesson.arrows,
  tunedFor: null,
});

// Of an address: "surface=ravine&start=1,2&steps=60&lane=adam;lr=0.3;40:lr=0.1&at=12". What cannot be read is left out.
export const ofAddress = (query, fallback) => {
  const given = new URLSearchParams(query);
  if (!given.has("surface")) return null;
  const steps = Math.min(MOST_STEPS, Math.max(1, Math.round(numberOf(given.get("steps"), fallback.steps))));
  const start = (given.get("start") ?? "").split(",").map((part) => numberOf(part, NaN));
  const lanes = given.getAll("lane").slice(0, MOST_LANES).map(laneOfText);
  return {
    lesson: given.get("lesson"),
    surface: given.get("surface").slice(0, 2000),
    start: start.every(Number.isFinite) ? start : null,
    steps,
    lanes,
    at: Math.min(steps, Math.max(0, Math.round(numberOf(given.get("at"), steps)))),
    own: given.getAll("own").slice(0, MOST_OWN).map((text) => text.slice(0, LONGEST_RULE)), // texts of rules that were typed
    arrows: given.has("arrows") ? Math.max(0, Math.round(numberOf(given.get("arrows"), 0))) : null,
    tunedFor: null,
  };
};

const numberOf = (text, otherwise) => (text !== null && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : otherwise);

const laneOfText = (text) => {
  const [label, ...parts] = text.split(";"), lane = laneOf(label.slice(0, 300));
  for (const part of parts.slice(0, 60)) {
    const [, at, name, value] = /^(?:(\d{1,5}):)?(\w+)=(.*)$/.exec(part) ?? [];
    if (name === "chosen" && at === undefined && value === "tuned") lane.chosen = value;
    else if (name && Number.isFinite(Number(value)) && value !== "") {
      if (at === undefined) lane.values[name] = Number(value);
      else if (lane.changes.length < MOST_CHANGES) changed(lane, Number(at), name, Number(value));
    }
  }
  if ("lr" in lane.values && lane.chosen === "default") lane.chosen = "hand";
  return lane;
};

// From a step on a hyperparameter has another value.
export const changed = (lane, at, name, value) => {
  let change = lane.changes.find((one) => one.at === at);
  if (!change) lane.changes.push((change = { at, values: {} }));
  change.values[name] = value;
  lane.changes.sort((a, b) => a.at - b.at);
};

export const toAddress = (state, written = {}) => {
  const query = new URLSearchParams();
  if (state.lesson) query.set("lesson", state.lesson);
  query.set("surface", state.surface);
  query.set("start", state.start.map((x) => plain(x)).join());
  query.set("steps", state.steps);
  for (const lane of state.lanes) query.append("lane", textOf(lane));
  for (const label of new Set(state.lanes.map((lane) => lane.label))) if (written[label]) query.append("own", written[label]);
  if (state.at !== state.steps) query.set("at", state.at);
  if (state.arrows !== null) query.set("arrows", state.arrows);
  return query.toString().replace(/%2C/g, ",").replace(/%3B/g, ";").replace(/%3A/g, ":");
};

const textOf = (lane) => {
  const pairs = (values, before = "") => Object.entries(values).map(([name, value]) => `${before}${name}=${plain(value, 12)}`);
  const parts = [...pairs(lane.values), ...lane.changes.flatMap((change) => pairs(change.values, `${change.at}:`))];
  return [lane.label, ...parts, ...(lane.chosen === "tuned" ? ["chosen=tuned"] : [])].join(";");
};

// The same descents in Python, one call for each lane; `rules` has their defaults, `written` the text of typed rules.
export const toPython = (state, rules, written = {}) => {
  const own = [...new Set(state.lanes.map((lane) => written[lane.label]).filter(Boolean))];
  const calls = state.lanes.map((lane) => `    tw.descend(${argumentsOf(state, lane, rules[lane.label], written)}),`);
  return ["import thalweg as tw", "", ...own.flatMap((text) => [text, ""]), "paths = [", ...calls, "]", "for path in paths:", "    print(path.table())"].join("\n");
};

const quoted = (text) => JSON.stringify(text);

const argumentsOf = (state, lane, rule, written) => {
  const { lr, ...others } = { ...lane.values }, start = state.start.map((x) => plain(x));
  const more = Object.entries(others).filter(([name, value]) => value !== rule.hyperparameters[name]).map(([name, value]) => `${name}=${plain(value, 12)}`);
  const optimizer = written[lane.label] ? `${lane.label}${more.length ? `.with_(${more.join(", ")})` : ""}` : quoted(withArguments(lane.label, more));
  const parts = [quoted(state.surface), `start=[${start.length === 1 ? `[${start}]` : start.join(", ")}]`, `optimizer=${optimizer}`];
  const rate = lr ?? rule.hyperparameters.lr;
  if (rate !== undefined) parts.push(`lr=${plain(rate, 12)}`);
  const schedule = scheduleOf(lane, { ...rule.hyperparameters, ...lane.values });
  if (schedule) parts.push(`schedule={${schedule}}`);
  return [...parts, `steps=${state.steps}`].join(", ");
};

const withArguments = (label, more) => {
  if (!more.length) return label;
  return label.endsWith(")") ? `${label.slice(0, -1)}, ${more.join(", ")})` : `${label}(${more.join(", ")})`;
};

// Changes on the way as schedules: factors of the first value, each from its step on.
const scheduleOf = (lane, values) => {
  const names = [...new Set(lane.changes.flatMap((change) => Object.keys(change.values)))].filter((name) => values[name]);
  return names.map((name) => {
    const steps = lane.changes.filter((change) => name in change.values && change.at > 0);
    const factors = [1, ...steps.map((change) => change.values[name] / values[name])].map((x) => `constant(scale=${plain(x, 12)})`);
    return `${quoted(name)}: "sequential(${factors.join(", ")}, milestones=(${steps.map((change) => `${change.at},`).join(" ")}))"`;
  }).join(", ");
};
