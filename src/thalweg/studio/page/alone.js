// The race as a file: everything is in the page, nothing is asked of anybody.
import { rules, surfaces } from "./data.js";
import { useColours } from "./look.js";
import { raceRoom } from "./race.js";
import { languageOf, settings } from "./settings.js";
import { say, speak } from "./words.js";

const every = JSON.parse(document.getElementById("facts").textContent);
let room = null, own = "";

const address = () => location.hash.replace(/^#(?:\/race)?\??/, "");

const begin = (language) => {
  const facts = every[language], head = document.querySelector("header");
  speak(facts.words);
  useColours(facts.dark);
  document.documentElement.lang = language;
  document.title = `${say("Race")} · thalweg`;
  head.querySelector(".settings")?.remove();
  const query = room ? room.address() : address();
  room?.leave();
  room = raceRoom({ rules, surfaces, facts }, query, (next) => { own = next; history.replaceState(null, "", `#/race?${next}`); });
  head.append(settings(language, facts.languages, begin, room.repaint));
  document.querySelector("main").replaceChildren(room.element);
};
addEventListener("hashchange", () => { if (address() !== own) room.open(address()); });
begin(languageOf(document.documentElement.lang, every));
