// Rates tuned for each rule alike: the same rates, the same steps, on the same surface, from the same start.
import { walk } from "./descent.js";

export const TRIED = 49;
export const LOWEST = 1e-3;
export const HIGHEST = 1e3;
const HOLDS = 1.1; // a rate that leaves the minimum again, perhaps only behind the end, is not the best

const rates = Array.from({ length: TRIED }, (_, k) => LOWEST * (HIGHEST / LOWEST) ** (k / (TRIED - 1)));

// The rate with the lowest mean loss over the steps, of those whose loss stays as low for three times as many more.
export const tuned = (surface, lane, start, steps) => {
  let best = null, lowest = Infinity;
  for (const lr of rates) {
    const path = walk(surface, { ...lane, values: { ...lane.values, lr }, changes: [] }, start, 4 * steps);
    if (path.diverged >= 0) continue;
    const last = path.losses[steps], mean = path.losses.subarray(0, steps + 1).reduce((a, b) => a + b) / (steps + 1);
    const slack = (HOLDS - 1) * Math.abs(last);
    if (path.losses.subarray(steps).every((x) => x <= last + slack) && mean < lowest) [best, lowest] = [lr, mean];
  }
  return best === null ? null : Number(best.toPrecision(3));
};
