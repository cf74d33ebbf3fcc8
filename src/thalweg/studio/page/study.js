// The room where a study is started and watched. What is shown is a table of values by key, of which the server sends
// what has changed; nothing that is on the screen is taken away.
import { chartOf } from "./chart.js";
import { choice, complaint, copier, h, tableOf } from "./dom.js";
import { prefersDark, sample, stylesOf, tint } from "./look.js";
import { least, most, short } from "./numbers.js";
import { planeOf } from "./plane.js";
import { get, post } from "./server.js";
import { say } from "./words.js";

const clock = (seconds) => {
  const whole = Math.round(seconds), two = (x) => String(x).padStart(2, "0");
  return whole < 3600 ? `${Math.floor(whole / 60)}:${two(whole % 60)}` : `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
};

// `world` has the facts of the language. `address`: "name=digits&setting=…", or "optimizers=sgd,adam" for a new study,
// with "own=…", the text of a rule, for each that was typed.
export const studyRoom = (world, address, moved) => {
  const element = h("div", { class: "study" });
  let inside = null, given = "";
  const note = (query) => { given = query; moved(query); };
  const open = (query) => {
    inside?.leave();
    const asked = new URLSearchParams(query), name = asked.get("name");
    inside = name ? watching(world, name, asked, note) : beginning(world, asked);
    element.replaceChildren(inside.element);
    note(query);
  };
  const repaint = () => inside.repaint();
  prefersDark.addEventListener("change", repaint);
  open(address);
  return { element, open, repaint, address: () => given, leave: () => { inside.leave(); prefersDark.removeEventListener("change", repaint); } };
};

const to = (name) => `#/study?${new URLSearchParams({ name })}`;
const STATES = () => ({ running: say("at work"), paused: say("paused"), stopping: say("stopping"), stopped: say("not finished"), finished: say("finished"), missing: say("starting"), damaged: say("cannot be read") });

// Without a study: those that are there, and a form for a new one.
const beginning = (world, asked) => {
  const trouble = complaint(), list = h("ul", { class: "stores" }), form = h("form", { class: "new" });
  const element = h("div", { class: "begin" },
    h("section", {}, h("h2", {}, say("Start a study")), h("p", {}, say("Every optimizer at every rate, with every seed, on the same data; then fresh seeds for the best of each.")), trouble.element, form),
    h("section", {}, h("h2", {}, say("Open one")), list));
  const field = (words, input) => h("label", {}, h("span", {}, words), input);
  const fill = trouble.attempt(async () => {
    const offers = await get("/studies", { language: world.facts.language }), chosen = (asked.get("optimizers") ?? "sgd,momentum,adam").split(/,(?![^(]*\))/);
    const problem = choice(Object.entries(offers.problems).map(([name, words]) => [name, words ? `${name}: ${words}` : name]), asked.get("problem") ?? Object.keys(offers.problems)[0], () => {}, { name: "problem" });
    const text = (name, value, more = {}) => h("input", { name, value, type: "text", required: true, maxlength: 600, spellcheck: "false", ...more });
    const number = (name, value, max) => h("input", { name, value, type: "number", min: 1, max, step: 1, required: true });
    const labels = text("optimizers", chosen.join(", "), { list: "known" });
    const own = await Promise.all(asked.getAll("own").map(async (rule) => [(await post("/formulas/own", { text: rule }, { language: world.facts.language })).label, rule]));
    const texts = Object.fromEntries(own);
    form.replaceChildren(
      field(say("Problem"), problem), field(say("Optimizers"), labels), h("datalist", { id: "known" }, offers.optimizers.map((value) => h("option", { value }))),
      ...own.map(([label, rule]) => h("details", { class: "numbers" }, h("summary", {}, say("{rule}: a rule that was typed", { rule: label })), h("pre", { class: "code", tabindex: 0 }, rule))),
      field(say("Rates: lowest, highest, how many"), text("rates", "1e-4:1:9")), field(say("Schedules"), text("schedules", "constant, cosine")),
      h("div", { class: "pair" }, field(say("Seeds"), number("seeds", 3, 1000)), field(say("Epochs"), number("epochs", 10, 100000))),
      h("button", { class: "main" }, say("Start")));
    form.addEventListener("submit", (event) => { event.preventDefault(); trouble.attempt(start)(); });
    const names = (input) => form.elements[input].value.split(/,(?![^(]*\))/).map((one) => one.trim()).filter(Boolean);
    const start = async () => {
      const { name } = await post("/studies/start", { problem: problem.value, optimizers: names("optimizers").map((label) => texts[label] ?? label), rates: form.elements.rates.value, schedules: names("schedules"), seeds: Number(form.elements.seeds.value), epochs: Number(form.elements.epochs.value) }, { language: world.facts.language });
      location.hash = to(name);
    };
    list.replaceChildren(...offers.stores.map((one) => h("li", {}, h("a", { href: to(one.name) }, one.name), " ", h("span", { class: "quiet" }, STATES()[one.state], one.optimizers?.length ? ` · ${one.problem} · ${one.optimizers.join(", ")}` : one.trouble ?? ""))));
    if (!offers.stores.length) list.replaceWith(h("p", { class: "quiet" }, say("There is none yet in this folder.")));
  });
  fill();
  return { element, leave: () => {}, repaint: () => {} };
};

// The stream of a study: closed while the tab is hidden, taken up where it was left.
const stream = (name, language, changed) => {
  let source = null, last = "";
  const open = () => {
    if (document.hidden || source) return;
    source = new EventSource(`/studies/events?${new URLSearchParams({ name, language, last })}`);
    source.onmessage = (event) => { last = event.lastEventId; changed(JSON.parse(event.data).values); };
  };
  const close = () => { source?.close(); source = null; };
  const seen = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", seen);
  open();
  return () => { close(); document.removeEventListener("visibilitychange", seen); };
};

const watching = (world, name, asked, moved) => {
  const view = {}, trouble = complaint();
  let picked = asked.get("setting"), stage = asked.get("stage") ?? "search", frame = 0, styles = {}, arrived = 0;

  const order = (what, more = {}) => trouble.attempt(() => post("/studies/carry", { name, do: what, seeds: 10, trust: false, ...more }, { language: world.facts.language }));
  const screen = screenOf(name, world, order);
  screen.trouble.replaceWith(trouble.element);

  const settings = () => Object.entries(view).filter(([key]) => key.startsWith("setting/"));
  const strong = () => { // the best setting of each optimizer so far, on the stage that is shown
    const best = {}, sign = view.facts?.higher ? -1 : 1;
    for (const [key, one] of settings()) {
      if (one.stage !== stage) continue;
      const value = one.mean.length && one.mean.at(-1) !== null ? sign * one.mean.at(-1) : Infinity;
      if (value < (best[one.optimizer]?.value ?? Infinity)) best[one.optimizer] = { key, value };
    }
    return new Set(Object.values(best).map((one) => one.key));
  };

  const pick = trouble.attempt(async (key) => {
    picked = key;
    moved(new URLSearchParams({ name, stage, ...(key ? { setting: key } : {}) }).toString());
    refresh();
    screen.member.replaceChildren();
    if (!key) return;
    const [one, { code }] = [view[key], await get("/studies/setting", { name, key })];
    screen.member.replaceChildren(...memberOf(one, code, view.facts, landscapeOf(name, key, view.facts, world, () => styles[one.optimizer])));
  });

  const curves = chartOf({ role: "img", tabindex: 0, "aria-label": say("Loss over steps, a line for each setting; the table below has the same") }, { pick: (hit, click) => {
    curves.canvas.style.cursor = hit ? "pointer" : "default";
    screen.hover.textContent = hit ? view[hit.line.key].words : " ";
    if (hit && click) pick(hit.line.key);
  } });
  const rates = chartOf({ role: "img", "aria-label": say("Loss against learning rate") });
  screen.curves.append(curves.canvas);
  screen.rates.append(rates.canvas);

  const refresh = () => { if (!frame) frame = requestAnimationFrame(() => { frame = 0; paint(); }); };
  const paint = () => {
    if (!view.status) return;
    const names = view.facts?.optimizers ?? [], each = stylesOf(names, world.facts.styles, world.facts.spare);
    styles = Object.fromEntries(names.map((label, k) => [label, each[k]]));
    showStatus(screen, view);
    if (!view.facts) return;
    showVerdict(screen, view.verdict);
    const bold = strong(), lines = linesOf(settings(), stage, bold, picked, styles);
    curves.show(sceneOf(lines, say("step"), view.facts.measure, false));
    rates.show(rateScene(view, styles));
    showLegend(screen, styles, [...bold].map((key) => view[key]));
    showTable(screen, settings().filter(([, one]) => one.stage === stage), picked, pick);
    showDiverged(screen, view.diverged);
    showStages(screen, [...new Set(settings().map(([, one]) => one.stage))], stage, (next) => { stage = next; moved(new URLSearchParams({ name, stage }).toString()); refresh(); });
    if (arrived) screen.element.dataset.lag = (performance.now() - arrived).toFixed(1); // from an event to its paint
    arrived = 0;
    screen.element.dataset.paints = Number(screen.element.dataset.paints ?? 0) + 1;
  };
  let restored = !picked;
  const leave = stream(name, world.facts.language, (values) => {
    arrived ||= performance.now();
    Object.assign(view, values);
    if (values.trouble) trouble.complain(values.trouble);
    if (!restored && view[picked]) { restored = true; pick(picked); }
    refresh();
  });
  screen.settings.addEventListener("toggle", refresh);
  return { element: screen.element, leave: () => { leave(); cancelAnimationFrame(frame); }, repaint: refresh };
};

const screenOf = (name, world, order) => {
  const part = (tag, cls, more = {}) => h(tag, { class: cls, ...more });
  const s = {
    title: h("h2", {}, name), status: part("p", "state", { role: "status" }), bar: h("progress", { max: 1, value: 0, "aria-label": say("Progress") }), trouble: h("p"),
    verdict: part("section", "verdict", { "aria-label": say("Verdict") }), curves: part("div", "curves"), rates: part("div", "curves"), hover: part("p", "quiet hover"), stages: part("div", "buttons"),
    member: part("section", "member", { "aria-live": "polite", "aria-label": say("The chosen curve") }), diverged: part("details", "numbers"), settings: part("details", "numbers settings"), legend: part("ul", "legend"),
  };
  const button = (words, what, more) => h("button", { type: "button", onclick: order(what, more) }, words);
  s.buttons = { pause: button(say("Pause"), "pause"), continue: button(say("Continue"), "continue"), stop: button(say("Stop"), "stop"), resume: button(say("Resume"), "resume"), trust: button(say("Trust it and resume"), "resume", { trust: true }), extend: button(say("10 more seeds"), "extend") };
  const report = h("a", { class: "button", href: `/studies/report?${new URLSearchParams({ name, language: world.facts.language })}`, download: "report.html" }, say("Save the report"));
  s.settings.append(h("summary", {}, say("The settings as a table")));
  s.diverged.append(h("summary", {}, say("Runs that diverged")));
  s.element = h("div", { class: "watch" },
    h("div", { class: "heading" }, h("a", { href: "#/study" }, say("All studies")), s.title, s.status), s.bar,
    h("div", { class: "buttons" }, Object.values(s.buttons), report), s.trouble, s.verdict,
    h("div", { class: "stage even" },
      h("section", { class: "panel", "aria-label": say("Loss over steps") }, h("div", { class: "heading" }, h("h2", {}, say("Loss over steps")), s.stages), s.curves, s.hover),
      h("section", { class: "panel", "aria-label": say("Loss against rate") }, h("div", { class: "heading" }, h("h2", {}, say("Loss against rate"))), s.rates, h("p", { class: "quiet" }, say("Line: mean over seeds, the strong one under the optimizer's best schedule. × at the top: a seed diverged there.")))),
    s.legend, h("p", { class: "quiet" }, say("Bands go from the smallest to the largest seed, at the setting of each optimizer that is best so far; thin lines are the other settings. Choose a line, or a row of the table, for its recipe.")),
    s.member, s.settings, s.diverged);
  return s;
};

const showStatus = (screen, { status, facts }) => {
  const words = [STATES()[status.state]];
  if (status.part) words.push(status.part);
  if (status.runs) words.push(say("{ended} of {runs} runs ended", { ended: status.ended, runs: status.runs }));
  if (status.state === "running" && status.left !== undefined && status.left !== null) words.push(say("{time} left", { time: clock(status.left) }));
  if (status.state === "running" && status.rate) words.push(say("{rate} steps/s", { rate: short(status.rate, 3) }));
  screen.status.textContent = words.join(" · ");
  screen.bar.value = status.state === "finished" ? 1 : status.share ?? (status.runs ? status.ended / status.runs : 0);
  const { pause, continue: on, stop, resume, trust, extend } = screen.buttons, at = status.state;
  const untrusted = facts?.untrusted?.length > 0;
  pause.hidden = at !== "running";
  on.hidden = at !== "paused";
  stop.hidden = at !== "running" && at !== "paused";
  resume.hidden = at !== "stopped" || untrusted;
  trust.hidden = at !== "stopped" || !untrusted;
  trust.title = untrusted ? facts.untrusted.join(", ") : "";
  extend.hidden = at !== "finished" || untrusted;
  const said = screen.element.querySelector(".trouble");
  if (status.error && said.hidden) { said.textContent = status.error; said.hidden = false; }
};

// Whether that is not what the place shows already.
const isNew = (place, shown) => {
  const text = JSON.stringify(shown), before = place.dataset.shown;
  place.dataset.shown = text;
  return text !== before;
};

const showVerdict = ({ verdict: place }, verdict) => {
  if (!verdict || !isNew(place, verdict)) return;
  const cell = ([value, small], k) => h(k ? "td" : "th", k ? {} : { scope: "row" }, value, small && h("small", {}, small));
  const table = verdict.rows.length > 0 && tableOf(say("Ranking"), verdict.heads, verdict.rows.map((row) => h("tr", {}, row.map(cell))));
  place.replaceChildren(...[verdict.guard && h("p", { class: "guard" }, verdict.guard), verdict.sentence && h("p", { class: "answer" }, verdict.sentence), ...verdict.notes.map((note) => h("p", { class: "guard" }, note)), table].filter(Boolean));
};

// A mean with its band where it is bold; missing values are left out.
const lineOf = (one, x, bold, style) => {
  const [y, low, high] = [one.mean, one.low, one.high].map((values) => values.map((v) => v ?? NaN));
  return { x, y, ...(bold ? { low, high } : {}), style, alpha: bold ? 1 : 0.28, width: bold ? 2.2 : 1 };
};

const linesOf = (settings, stage, strong, picked, styles) => settings.filter(([, one]) => one.stage === stage && one.step.length).map(([key, one]) => {
  const bold = strong.has(key) || key === picked;
  return { ...lineOf(one, one.step, bold, styles[one.optimizer]), key, ...(key === picked ? { width: 4 } : {}) };
}).sort((a, b) => a.width - b.width);

const sceneOf = (lines, across, up, logAcross, over) => {
  const xs = lines.flatMap((line) => line.x), ys = lines.flatMap((line) => [...line.y, ...(line.low ?? []), ...(line.high ?? [])]).filter(Number.isFinite);
  const lowest = least(ys), first = [...ys].sort((a, b) => a - b)[Math.floor(0.97 * (ys.length - 1))] ?? 1, log = lowest > 0 && first / lowest > 3;
  return {
    x: { low: logAcross ? (xs.length ? least(xs) / 1.2 : 1e-4) : 0, high: xs.length ? most(xs) * (logAcross ? 1.2 : 1) : 1, log: logAcross, title: across },
    y: { low: ys.length ? (log ? lowest / 1.1 : lowest - 0.05 * (first - lowest || 1)) : 0, high: ys.length ? first * (log ? 1.15 : 1.02) : 1, log, title: up },
    lines, over,
  };
};

const rateScene = (view, styles) => {
  const each = Object.entries(view).filter(([key]) => key.startsWith("rates/")).map(([, one]) => one), best = {};
  for (const one of each) {
    const low = Math.min(...one.mean.map((v) => v ?? Infinity));
    if (low < (best[one.optimizer]?.low ?? Infinity)) best[one.optimizer] = { low, schedule: one.schedule };
  }
  const lines = each.map((one) => {
    const bold = best[one.optimizer]?.schedule === one.schedule;
    const style = styles[one.optimizer] ?? styles[Object.keys(styles)[0]];
    return { ...lineOf(one, one.lr, bold, style), lost: one.lr.filter((_, k) => one.diverged[k] > 0) };
  });
  const cross = (context, [x, y]) => lines.forEach((line, row) => {
    context.fillStyle = tint(line.style.colour);
    if (line.width > 1) for (const lr of line.lost) context.fillText("×", x.at(lr) - 4, y.at(y.high) - 6 + (row % 3));
  });
  return sceneOf(lines, say("rate"), view.facts.measure, true, cross);
};

const showStages = (screen, stages, stage, choose) => {
  const words = { search: say("search"), confirmation: say("fresh seeds") };
  if (!isNew(screen.stages, [stages, stage])) return;
  screen.stages.replaceChildren(...(stages.length > 1 ? stages.map((one) => h("button", { type: "button", "aria-pressed": String(one === stage), onclick: () => choose(one) }, words[one] ?? one)) : []));
};

// One band for each optimizer: at which setting, and over how many seeds.
const showLegend = (screen, styles, bold) => {
  const words = Object.keys(styles).map((label) => {
    const one = bold.find((each) => each.optimizer === label);
    return [label, one?.step.length ? say("{setting}: n = {n}", { setting: one.words, n: one.n.at(-1) }) : label];
  });
  if (!isNew(screen.legend, [words, tint("#1d1f23")])) return;
  screen.legend.replaceChildren(...words.map(([label, shown]) => { const line = h("canvas", { class: "sample", "aria-hidden": "true" }); sample(line, styles[label]); return h("li", {}, line, shown); }));
};

const showTable = (screen, settings, picked, pick) => {
  if (!screen.settings.open) return;
  const heads = [say("setting"), say("runs"), say("ended"), say("diverged"), say("mean"), say("smallest"), say("largest")];
  const rows = settings.map(([key, one]) => h("tr", { class: key === picked && "picked" },
    h("th", { scope: "row" }, h("button", { type: "button", class: "quiet", onclick: () => pick(key) }, one.words)),
    [one.runs, one.ended, one.diverged].map((n) => h("td", {}, n)), [one.mean, one.low, one.high].map((values) => h("td", {}, one.step.length ? (one.lost.at(-1) && values !== one.low ? "∞" : short(values.at(-1))) : "–"))));
  const before = screen.settings.querySelector(".scroll"), at = before?.scrollTop ?? 0;
  if (before?.contains(document.activeElement)) return; // it is read by keyboard
  before?.remove();
  const table = tableOf(say("Table"), heads, rows);
  screen.settings.append(table);
  table.scrollTop = at;
};

const showDiverged = (screen, diverged) => {
  if (!diverged || !isNew(screen.diverged, diverged.count)) return;
  const list = h("ul", {}, diverged.runs.map((run) => h("li", {}, say("{setting}, seed {seed}, at step {step} ({stage})", { setting: run.words, seed: run.seed, step: run.step, stage: run.stage }))));
  screen.diverged.replaceChildren(h("summary", {}, say("Runs that diverged: {count}", { count: diverged.count })), list);
};

// A button that has the landscape computed, and then its picture. A study whose files are not trusted says which.
const landscapeOf = (name, key, facts, world, style) => {
  const trust = facts.untrusted.length > 0, words = trust ? say("Trust it and draw its landscape") : say("Draw its landscape");
  const trouble = complaint(), place = h("div", {});
  const button = h("button", { type: "button", title: trust && facts.untrusted.join(", ") }, words);
  button.addEventListener("click", trouble.attempt(async () => {
    button.disabled = true;
    button.textContent = say("Training it again …");
    try {
      for (let answer = {}; ; await new Promise((go) => setTimeout(go, 300))) {
        answer = await post("/studies/landscape", { name, key, trust }, { language: world.facts.language });
        if (answer.axes) return place.replaceChildren(planeOf(answer, style()));
        if (!button.isConnected) return;
      }
    } finally { button.disabled = false; button.textContent = words; }
  }));
  return h("div", {}, h("div", { class: "buttons" }, button), trouble.element, place);
};

const memberOf = (one, code, facts, landscape) => [
  h("h2", {}, one?.words ?? ""),
  one && h("p", {}, say("{ended} of {runs} runs ended, {diverged} diverged; {measure} over {n} seeds: {mean}, from {low} to {high}.", { ended: one.ended, runs: one.runs, diverged: one.diverged, measure: facts.measure, n: one.n.at(-1) ?? 0, mean: one.lost.at(-1) ? "∞" : short(one.mean.at(-1)), low: short(one.low.at(-1)), high: one.lost.at(-1) ? "∞" : short(one.high.at(-1)) })),
  one && h("dl", { class: "levels" }, Object.entries(one.levels).map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value)))),
  code && h("div", { class: "buttons" }, copier(say("Copy the recipe"), say("Copied"), () => code), copier(say("Copy as Python"), say("Copied"), () => `import thalweg as tw\n\nstudy = tw.Study.open(${JSON.stringify(facts.path)})\nprint(study.verdict)\nstudy.landscape(${JSON.stringify(one?.levels.optimizer ?? "")}).picture()\n`)),
  code && landscape,
  code && h("details", {}, h("summary", {}, say("The recipe: this setting in plain PyTorch")), h("pre", { class: "code", tabindex: 0 }, code)),
].filter(Boolean);
