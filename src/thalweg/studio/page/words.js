// What the page says, in the reader's language; English is the key, as in language.py.

let chosen = {};

export const speak = (words) => {
  chosen = words;
};

// The message with its values in their places. The first argument is a literal, so that `make messages` finds it.
export const say = (message, values = {}) => filled(chosen[message] ?? message, values);

export const filled = (text, values) =>
  text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole)).replace(PARTICLES, particle);

const PARTICLES = /([가-힣0-9])(이\(가\)|은\(는\)|을\(를\)|과\(와\)|\(으\)로)/g;

// A Korean particle as it follows a letter or a number; after Latin letters both forms stay.
const particle = (_, last, both) => {
  const final = last >= "가" ? (last.charCodeAt(0) - 0xac00) % 28 : "178".includes(last) ? 8 : "036".includes(last) ? 1 : 0;
  if (both === "(으)로") return last + (final !== 0 && final !== 8 ? "으로" : "로");
  return last + (final ? both[0] : both[2]);
};
