// Language and theme: what a reader has chosen is kept by the browser, where it may be.
import { choice, h } from "./dom.js";
import { isDark, prefersDark } from "./look.js";
import { say } from "./words.js";

const stored = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const store = (key, value) => { try { localStorage.setItem(key, value); } catch { /* it then lasts as long as the page */ } };

export const languageOf = (given, languages) => [stored("thalweg-language"), given].find((one) => one in languages) ?? "en";

const dressed = () => {
  const asked = stored("thalweg-theme");
  if (asked) document.documentElement.dataset.theme = asked;
};
dressed();

// The two controls of the page's head; `spoken` is told of another language, `repaint` of another theme.
export const settings = (language, names, spoken, repaint) => {
  const theme = h("button", { type: "button", onclick: () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    store("thalweg-theme", next);
    show();
    repaint();
  } });
  const show = () => {
    theme.textContent = isDark() ? say("Light") : say("Dark");
    theme.setAttribute("aria-label", isDark() ? say("Use light colours") : say("Use dark colours"));
  };
  prefersDark.addEventListener("change", show);
  show();
  const chosen = choice(Object.entries(names), language, (next) => { store("thalweg-language", next); spoken(next); }, { "aria-label": "language / 언어" });
  return h("div", { class: "settings" }, chosen, theme);
};
