// What the page asks of its server. A refusal has one sentence, which becomes the error's message.
import { say } from "./words.js";

const answered = async (asked) => {
  let answer;
  try {
    answer = await asked;
  } catch {
    throw new Error(say("The studio does not answer; is thalweg studio still running?"));
  }
  if (answer.ok) return answer.json();
  const words = answer.headers.get("content-type")?.startsWith("application/json") ? (await answer.json()).error : await answer.text();
  throw new Error(words);
};

export const get = (path, query = {}) => answered(fetch(`${path}?${new URLSearchParams(query)}`));

export const post = (path, body = {}, query = {}) =>
  answered(fetch(`${path}?${new URLSearchParams(query)}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }));

// What was typed, as the module that the server prints: its key and the object itself.
export const made = async (kind, text) => {
  await post("/make", { kind, text });
  return import(`/page/made.js?${new URLSearchParams({ kind, text })}`);
};
