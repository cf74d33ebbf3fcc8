// The room where rules race: state in, paths out, everything painted from the same paths at the same cursor.
import { chartOf } from "./chart.js";
import { parts, walk } from "./descent.js";
import { choice, complaint, copier, h, tableOf } from "./dom.js";
import { laneRows } from "./lanes.js";
import { prefersDark, stylesOf, tint } from "./look.js";
import { ARROWS, mapOf, pointAt, scalesOf } from "./map.js";
import { point, short } from "./numbers.js";
import { changed, laneOf, MOST_LANES, MOST_STEPS, ofAddress, ofLesson, toAddress, toPython } from "./raceState.js";
import { rangeOf, reliefOf } from "./relief.js";
import { HIGHEST, LOWEST, TRIED, tuned } from "./tuning.js";
import { say } from "./words.js";

const LONGEST_PLAY = 8000, PACE = 90; // milliseconds of a run, and of a step at most
const DIGITS = 12;

// `world` has rules, surfaces, facts of the language, and perhaps `make` (asks the server to print what was typed) and
// `compare` (the same optimizers on a real problem). `address` is read once; `moved` is told of each new one.
export const raceRoom = (world, address, moved) => {
  const { rules, surfaces, facts } = world, fallback = ofLesson(facts.lessons[0]);
  let state = fallback, paths = [], playing = null, turn = { turn: 0.7, tilt: 0.6 }, zoom = 1, midway = false, due = 0;
  let written = 0;

  const surface = () => surfaces[state.surface];
  const compute = () => {
    paths = state.lanes.map((lane) => walk(surface(), { ...lane, rule: rules[lane.label] }, state.start, state.steps));
  };
  // Once per frame, however much happens in between.
  const refresh = (again = true) => {
    if (again) due = 2;
    else if (!due) due = 1;
    if (due && !refresh.frame) refresh.frame = requestAnimationFrame(() => { refresh.frame = 0; render(due === 2); due = 0; });
  };
  const render = (again) => {
    const begun = performance.now();
    if (again) compute();
    paint();
    view.element.dataset.painted = (performance.now() - begun).toFixed(1);
    view.element.dataset.paints = Number(view.element.dataset.paints ?? 0) + 1;
    clearTimeout(written);
    written = setTimeout(() => moved(toAddress(state, world.written)), 250);
  };

  const names = () => state.lanes.map((lane, k) => (state.lanes.filter((one) => one.label === lane.label).length > 1 ? `${lane.label} ${short(lane.values.lr ?? rules[lane.label].hyperparameters.lr)}` : lane.label));
  const styles = () => stylesOf(state.lanes.map((lane) => lane.label), facts.styles, facts.spare);

  const paint = () => {
    const scene = { surface: surface(), start: state.start, paths, styles: styles(), at: state.at, names: names(), arrows: state.arrows, zoom, ...turn };
    map.show(scene);
    relief.show(scene);
    relief.element.parentElement.hidden = surface().variables.length !== 2;
    chart.show(lossScene(scene));
    lanes.show({ state, paths, styles: scene.styles, rules, meanings: facts.meanings, surfaceSize: surface().variables.length, language: facts.language });
    view.show(scene);
  };

  // A surface without a bottom is followed as far as it is drawn.
  const lossScene = (scene) => {
    const finite = paths.flatMap((path) => Array.from(path.losses.subarray(0, path.end + 1))), [floor, top] = rangeOf(surface());
    const lowest = Math.max(Math.min(...finite), floor - 0.1 * (top - floor)), first = Math.max(...paths.map((path) => path.losses[0]));
    const highest = Math.min(Math.max(...finite), Math.max(top, 10 * Math.abs(first))), log = lowest > 0;
    const low = log ? Math.max(lowest, 1e-8 * highest) / 1.3 : lowest - 0.05 * (highest - lowest || 1);
    const high = log ? highest * 1.3 : highest + 0.05 * (highest - lowest || 1);
    const steps = Array.from({ length: state.steps + 1 }, (_, k) => k);
    return {
      x: { low: 0, high: state.steps, title: say("step") },
      y: { low: Number.isFinite(low) ? low : 0, high: Number.isFinite(high) ? high : 1, log, title: log ? say("loss, logarithmic") : say("loss") },
      lines: paths.map((path, k) => ({ x: steps, y: path.losses, style: scene.styles[k] })),
      cursor: state.at,
    };
  };

  const set = (changes, again = true) => {
    Object.assign(state, changes);
    refresh(again);
  };
  const restart = (next) => {
    stop();
    state = next;
    zoom = 1;
    midway = false;
    refresh();
  };

  // Playing: a step at a time; a rate that is changed meanwhile holds from there on.
  const stop = () => {
    if (playing !== null) cancelAnimationFrame(playing.frame);
    playing = null;
    refresh(false);
  };
  const play = () => {
    if (playing !== null) return stop();
    if (state.at >= state.steps) state.at = 0;
    const pace = Math.min(PACE, LONGEST_PLAY / state.steps), begun = performance.now(), from = state.at;
    const frame = (now) => {
      if (playing === null) return;
      state.at = Math.min(state.steps, from + Math.floor((now - begun) / pace));
      refresh(false);
      if (state.at >= state.steps) stop();
      else playing.frame = requestAnimationFrame(frame);
    };
    playing = { frame: requestAnimationFrame(frame) };
  };
  const seek = (step) => {
    if (playing !== null) stop();
    set({ at: Math.min(state.steps, Math.max(0, Math.round(step))) }, false);
  };

  const act = {
    change: (k, name, value) => {
      const lane = state.lanes[k], on = (midway || playing !== null) && state.at > 0 && state.at < state.steps;
      if (on) changed(lane, state.at, name, value);
      else lane.values[name] = value;
      if (name === "lr") lane.chosen = "hand";
      refresh();
    },
    form: (k, label) => {
      const kept = Object.entries(state.lanes[k].values).filter(([name]) => name in rules[label].hyperparameters);
      state.lanes[k] = laneOf(label, Object.fromEntries(kept), state.lanes[k].chosen);
      refresh();
    },
    remove: (k) => {
      if (state.lanes.length > 1) state.lanes.splice(k, 1);
      if (state.arrows !== null) state.arrows = null;
      refresh();
    },
    drop: (k, at) => set({ lanes: state.lanes.map((lane, n) => (n === k ? { ...lane, changes: lane.changes.filter((one) => one.at !== at) } : lane)) }),
    arrows: (k) => set({ arrows: k }, false),
    add: (label) => state.lanes.length < MOST_LANES && set({ lanes: [...state.lanes, laneOf(label)] }),
  };
  const fairly = {
    default: () => set({ lanes: state.lanes.map((lane) => { const { lr: _, ...others } = lane.values; return laneOf(lane.label, others); }), tunedFor: null }),
    tuned: () => {
      const lanes = state.lanes.map((lane) => {
        const rule = rules[lane.label], lr = "lr" in rule.hyperparameters ? tuned(surface(), { ...lane, rule }, state.start, state.steps) : null;
        return lr === null ? lane : laneOf(lane.label, { ...lane.values, lr }, "tuned");
      });
      set({ lanes, tunedFor: JSON.stringify([state.surface, state.start, state.steps]) });
    },
  };

  const map = mapOf((start) => set({ start: start.map((x) => Number(x.toPrecision(DIGITS))) }));
  const relief = reliefOf((turned, tilt) => { turn = { turn: turned, tilt }; refresh(false); });
  const chart = chartOf({ tabindex: 0, role: "slider" }, { seek });
  chart.canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    seek(state.at + by);
  });
  const lanes = laneRows(act);

  const useSurface = async (text) => {
    if (!(text in surfaces)) text = await world.make("surface", text);
    const { start, bounds } = surfaces[text];
    const inside = start.length ? start : bounds.map(([low, high]) => Number((low + 0.7 * (high - low)).toPrecision(3)));
    zoom = 1;
    set({ surface: text, start: [...inside], lesson: null, arrows: null });
    view.surfaces();
  };
  const useRule = async (text) => {
    const label = await world.make("rule", text);
    view.rules();
    act.add(label);
  };

  const view = raceView({
    world, map, relief, chart, lanes, act, fairly, play, seek, set, useSurface, useRule,
    state: () => state, paths: () => paths, surface, names, styles,
    lesson: (name) => { restart(ofLesson(facts.lessons.find((one) => one.name === name))); if (state.lanes.some((lane) => lane.chosen === "tuned")) fairly.tuned(); },
    playing: () => playing !== null, midway: (on) => { midway = on; }, zoom: (by) => { zoom = Math.min(64, Math.max(0.1, by === 0 ? 1 : zoom * by)); refresh(false); },
  });

  // An address may name surfaces and rules that were typed: they are printed first.
  const open = async (query) => {
    const given = ofAddress(query, fallback);
    if (!given) return view.lesson(fallback.lesson);
    try {
      if (!(given.surface in surfaces)) given.surface = await world.make("surface", given.surface);
      for (const text of given.own) await world.make("rule", text);
      if (given.own.length) view.rules();
      for (const lane of given.lanes) if (!(lane.label in rules)) lane.label = await world.make("rule", lane.label);
      for (const lane of given.lanes) lane.values = Object.fromEntries(Object.entries(lane.values).filter(([name]) => name in rules[lane.label].hyperparameters));
    } catch (error) {
      view.complain(error.message);
      return view.lesson(fallback.lesson);
    }
    const size = surfaces[given.surface].variables.length;
    if (given.start?.length !== size) given.start = [...(surfaces[given.surface].start.length === size ? surfaces[given.surface].start : fallback.start)];
    if (!given.lanes.length) given.lanes = [laneOf("sgd")];
    if (given.arrows !== null && given.arrows >= given.lanes.length) given.arrows = null;
    restart(given);
  };
  const repaint = () => refresh(false);
  prefersDark.addEventListener("change", repaint);
  open(address);
  return { element: view.element, open, repaint, address: () => toAddress(state, world.written), leave: () => { stop(); clearTimeout(written); prefersDark.removeEventListener("change", repaint); } };
};

const raceView = (room) => {
  const { world, act } = room, { facts } = world;
  const lessons = choice([["", say("a race of your own")], ...facts.lessons.map((one) => [one.name, one.title])], "", (name) => name && room.lesson(name), { id: "lesson" });
  const lessonWords = h("p", { class: "words" }), { element: trouble, complain, attempt } = complaint();

  const surfaceChoice = h("span", {});
  const surfaces = () => {
    const known = Object.values(world.surfaces).map((one) => [one.key, one.label]);
    surfaceChoice.replaceChildren(choice(known, room.state().surface, attempt(room.useSurface), { id: "surface" }));
  };
  const typed = world.make && h("form", { class: "typed", onsubmit: (event) => { event.preventDefault(); attempt(room.useSurface)(expression.value); } });
  const expression = h("input", { type: "text", "aria-label": say("an expression in one or two variables"), placeholder: "x^2 + 10*sin(y)^2", maxlength: 500, spellcheck: "false" });
  typed?.append(expression, h("button", {}, say("Draw")));

  const ruleChoice = h("span", {});
  const rules = () => {
    const labels = Object.keys(world.rules).filter((label) => label === world.rules[label].name).map((label) => [label, label]);
    const add = choice([["", say("add a rule …")], ...labels], "", (label) => { if (label) act.add(label); add.value = ""; }, { "aria-label": say("Add a rule") });
    ruleChoice.replaceChildren(add);
  };

  const playButton = h("button", { type: "button", class: "play", onclick: room.play }, say("Play"));
  const scrub = h("input", { type: "range", min: 0, step: 1, "aria-label": say("step"), oninput: () => room.seek(Number(scrub.value)) });
  const where = h("output", { class: "where" });
  const steps = h("input", { type: "number", min: 1, max: MOST_STEPS, step: 1, "aria-label": say("steps of the whole run"), onchange: () => {
    const count = Math.min(MOST_STEPS, Math.max(1, Math.round(Number(steps.value) || 1)));
    room.set({ steps: count, at: count });
  } });
  const from = h("input", { type: "checkbox", onchange: () => room.midway(from.checked) }), fromWords = h("span", {});
  const fromHere = h("label", { class: "tick" }, from, fromWords);
  const small = (words, label, click) => h("button", { type: "button", class: "quiet", "aria-label": label, title: label, onclick: click }, words);
  const transport = h("div", { class: "transport", role: "group", "aria-label": say("Time") },
    playButton, small("|◀", say("To the start"), () => room.seek(0)), small("◀", say("One step back"), () => room.seek(room.state().at - 1)),
    small("▶", say("One step on"), () => room.seek(room.state().at + 1)), small("▶|", say("To the end"), () => room.seek(Infinity)), scrub, where);

  const legend = h("ul", { class: "arrows", hidden: true }), fair = h("p", { class: "fair" });
  const numbers = h("details", { class: "numbers", ontoggle: () => numbers.open && fillNumbers(numbers, room) }, h("summary", {}, say("The numbers of these paths")));
  const element = h("div", { class: "race" },
    h("div", { class: "choices" },
      h("label", {}, say("Lesson"), lessons), h("label", {}, say("Surface"), surfaceChoice), typed),
    lessonWords, trouble,
    h("div", { class: "stage" },
      h("section", { class: "panel", "aria-label": say("The surface from above") }, room.map.element,
        h("div", { class: "zoom" }, small("−", say("Zoom out"), () => room.zoom(1 / 1.5)), small("+", say("Zoom in"), () => room.zoom(1.5)), small("⤢", say("Whole surface"), () => room.zoom(0))),
        transport, legend),
      h("div", { class: "beside" },
        h("section", { class: "panel fall", "aria-label": say("Loss over steps") }, room.chart.canvas),
        h("section", { class: "panel", "aria-label": say("In space") }, room.relief.element))),
    h("div", { class: "under" },
      h("section", { class: "panel", "aria-label": say("Rules") },
        h("div", { class: "heading" }, h("h2", {}, say("Rules")), ruleChoice, h("label", {}, say("steps"), steps), fromHere), room.lanes.element),
      h("section", { class: "panel", "aria-label": say("Fairness") },
        h("h2", {}, say("How were these rates chosen?")), fair,
        h("div", { class: "buttons" },
          h("button", { type: "button", onclick: room.fairly.default }, say("Default of each")),
          h("button", { type: "button", onclick: room.fairly.tuned, title: say("{count} rates from {low} to {high} for each rule, on this surface, from this start", { count: TRIED, low: short(LOWEST), high: short(HIGHEST) }) }, say("Tune all equally"))),
        h("h2", {}, say("Take it with you")),
        h("div", { class: "buttons" },
          copier(say("Copy as Python"), say("Copied"), () => toPython(room.state(), world.rules, world.written)),
          copier(say("Copy the link"), say("Copied"), () => `${location.href.split("#")[0]}#/race?${toAddress(room.state(), world.written)}`),
          world.compare && h("button", { type: "button", class: "main", onclick: () => world.compare(room.state().lanes.map((lane) => lane.label)) }, say("Compare them on a real problem"))))),
    numbers);

  const show = (scene) => {
    const state = room.state(), lesson = facts.lessons.find((one) => one.name === state.lesson);
    lessons.value = state.lesson ?? "";
    lessonWords.textContent = lesson ? lesson.words : say("Drag the start, change a rate, choose another surface: the race runs again at once.");
    if (surfaceChoice.firstChild?.value !== state.surface) surfaces();
    Object.assign(scrub, { max: state.steps, value: state.at });
    scrub.setAttribute("aria-valuetext", say("step {step} of {steps}", { step: state.at, steps: state.steps }));
    where.textContent = say("step {step} of {steps}", { step: state.at, steps: state.steps });
    if (document.activeElement !== steps) steps.value = state.steps;
    playButton.textContent = room.playing() ? say("Pause") : say("Play");
    const inside = state.at > 0 && state.at < state.steps;
    fromHere.hidden = !inside;
    fromWords.textContent = say("change from step {step} on", { step: state.at });
    const chart = room.chart.canvas, ends = scene.paths.map((path, k) => `${scene.names[k]} ${short(path.losses[Math.min(state.at, path.end)])}`).join(", ");
    for (const [name, value] of [["label", say("Loss at the cursor; arrow keys move it")], ["valuemin", 0], ["valuemax", state.steps], ["valuenow", state.at], ["valuetext", say("step {step}: {ends}", { step: state.at, ends })]]) chart.setAttribute(`aria-${name}`, value);
    fair.textContent = fairness(state, scene.names, world.rules);
    showArrows(legend, scene, state);
    if (numbers.open) fillNumbers(numbers, room);
  };
  surfaces();
  rules();
  return { element, show, complain, surfaces, rules, lesson: room.lesson };
};

// Default, by hand, or tuned: in words, for every rule.
const fairness = (state, names, rules) => {
  const of = (kind) => state.lanes.flatMap((lane, k) => (lane.chosen === kind ? [`${names[k].split(" ")[0]} ${short(lane.values.lr ?? rules[lane.label].hyperparameters.lr ?? NaN)}`] : [])).join(", ");
  const [usual, hand, best] = ["default", "hand", "tuned"].map(of), words = [];
  if (usual) words.push(say("Each rule's own default: {rates}.", { rates: usual }));
  if (hand) words.push(say("Chosen by hand: {rates}.", { rates: hand }));
  if (best) words.push(say("Tuned, each the best of the same {count} rates that do not leave the minimum again, by its mean loss over {steps} steps: {rates}.", { count: TRIED, steps: state.steps, rates: best }));
  if (best && state.tunedFor && state.tunedFor !== JSON.stringify([state.surface, state.start, state.steps])) words.push(say("Surface, start or steps have changed since; tune again for a fair race."));
  if (state.lanes.some((lane) => lane.changes.length)) words.push(say("Some are changed on the way."));
  return words.join(" ");
};

const showArrows = (legend, scene, state) => {
  const path = state.arrows !== null && scene.paths[state.arrows], one = path && path.size === 2 && parts(path, state.at);
  legend.hidden = !path;
  if (!path) return;
  const words = { downhill: say("downhill, −gradient"), momentum: say("momentum, downhill"), update: say("the step"), scale: say("root of the second moment, along each coordinate") };
  const scales = one ? scalesOf(path, scene.surface.bounds[0][1] - scene.surface.bounds[0][0]) : {};
  const items = one ? Object.keys(ARROWS).filter((kind) => one.vectors[kind]).map((kind) => {
    const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = tint(ARROWS[kind].colour);
    return h("li", {}, swatch, say("{name}: {vector}, drawn × {scale}", { name: words[kind], vector: point(one.vectors[kind]), scale: short(scales[kind], 2) }));
  }) : [h("li", {}, say("Move the cursor before the end: arrows show the step that comes next."))];
  legend.replaceChildren(h("li", { class: "whose" }, say("Arrows of {name}", { name: scene.names[state.arrows] })), ...items);
};

const fillNumbers = (details, room) => {
  const [paths, names, variables] = [room.paths(), room.names(), room.surface().variables], longest = Math.max(...paths.map((path) => path.end));
  const heads = [say("step"), ...names.flatMap((name) => [...variables, say("loss")].map((column) => `${name} ${column}`))];
  const rows = Array.from({ length: longest + 1 }, (_, k) => h("tr", {}, h("th", { scope: "row" }, k),
    paths.flatMap((path) => (k > path.end ? [...variables, 0].map(() => h("td", {}, "")) : [...pointAt(path, k), path.losses[k]].map((x) => h("td", {}, short(x, 6)))))));
  details.querySelector(".scroll")?.remove();
  details.append(tableOf(say("Table"), heads, rows));
};
