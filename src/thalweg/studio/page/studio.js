// The rooms of the studio, one at a time; the address says which, and in which state.
import { rules, surfaces } from "./data.js";
import { h } from "./dom.js";
import { formulasRoom } from "./formulas.js";
import { useColours } from "./look.js";
import { raceRoom } from "./race.js";
import { get, made } from "./server.js";
import { languageOf, settings } from "./settings.js";
import { studyRoom } from "./study.js";
import { say, speak } from "./words.js";

const head = document.querySelector("header"), main = document.querySelector("main");
const written = {}; // label → the text of a rule that was typed
const make = async (kind, text) => {
  const { key, made: printed } = await made(kind, text);
  (kind === "surface" ? surfaces : rules)[key] = printed;
  if (printed.typed) written[key] = `@tw.formula\n${text.trim().replace(/^(@[\w.]+\s*)+/, "").replace(/\breturn Update\(/g, "return tw.Update(")}`;
  return key;
};

// The form of a new study with these rules; those that were typed go along as texts.
const compare = (labels, texts = labels.map((label) => written[label]).filter(Boolean)) => {
  const own = [...new Set(texts)].map((text) => ["own", text]);
  location.hash = `#/study?${new URLSearchParams([["optimizers", [...new Set(labels)].join()], ...own])}`;
};

const ROOMS = {
  race: { title: () => say("Race"), open: (facts, query, moved) => raceRoom({ rules, surfaces, facts, make, compare, written }, query, moved) },
  study: { title: () => say("Study"), open: (facts, query, moved) => studyRoom({ facts }, query, moved) },
  formulas: { title: () => say("Formulas"), open: (facts, query, moved) => formulasRoom({ facts, make, compare, written }, query, moved) },
};

let facts = null, room = null, name = "", own = "";

const address = () => /^#\/(\w+)\??(.*)$/.exec(location.hash)?.slice(1) ?? ["race", ""];

const enter = () => {
  const [asked, query] = address(), next = asked in ROOMS ? asked : "race";
  if (room && next === name) {
    if (query !== own) room.open(query);
    return;
  }
  room?.leave();
  name = next;
  room = ROOMS[name].open(facts, query, (moved) => { own = moved; history.replaceState(null, "", `#/${next}?${moved}`); });
  document.title = `${ROOMS[name].title()} · thalweg`;
  main.replaceChildren(room.element);
  for (const link of head.querySelectorAll("nav a")) link.toggleAttribute("aria-current", link.hash === `#/${name}`);
};

const begin = async (language) => {
  facts = await get("/facts", { language });
  speak(facts.words);
  useColours(facts.dark);
  document.documentElement.lang = language;
  if (room) history.replaceState(null, "", `#/${name}?${room.address()}`);
  room?.leave();
  room = null;
  head.querySelectorAll(".settings, nav").forEach((old) => old.remove());
  const links = Object.entries(ROOMS).map(([key, one]) => h("a", { href: `#/${key}` }, one.title()));
  if (links.length > 1) head.append(h("nav", { "aria-label": say("Rooms") }, links));
  head.append(settings(language, facts.languages, begin, () => room.repaint()));
  enter();
};

addEventListener("hashchange", enter);
begin(languageOf(document.documentElement.lang, { en: 1, ko: 1 }));
