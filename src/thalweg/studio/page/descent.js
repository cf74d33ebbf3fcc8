// A rule goes down a surface: the same walk as `tw.descend`, with functions printed from the same formulas.
//
// A surface has `variables`, `bounds`, `value(p)` and `gradient(p, d)`; a rule has `states`, `single`, `initial`,
// `hyperparameters`, `step` and perhaps `lookahead`, all from kernels/javascript.py. A lane is a rule with the values of
// its hyperparameters and, where they are changed on the way, from which step on: {rule, values, changes: [{at, values}]}.

const FAR = 1e6; // times the drawn width: a path that far away has diverged

// The hyperparameters of a lane at a step, in the order of its rule.
export const valuesAt = (lane, step) => {
  const values = { ...lane.rule.hyperparameters, ...lane.values };
  for (const change of lane.changes ?? []) if (change.at <= step) Object.assign(values, change.values);
  return values;
};

const begun = (lane, size) => {
  const { states, single, initial, hyperparameters } = lane.rule;
  const values = { ...hyperparameters, ...lane.values };
  const first = (name) => (typeof initial[name] === "string" ? values[initial[name]] : initial[name]);
  return { states: states.map((name) => new Float64Array(size).fill(first(name))), single: single.map(first) };
};

// Everything a path consists of; arrays of points are (steps + 1, dimensions), flat. `end` is the last step that is
// still a number and not too far away; beyond it everything is NaN.
export const walk = (surface, lane, start, steps) => {
  const size = surface.variables.length, { rule } = lane;
  const record = () => new Float64Array((steps + 1) * size).fill(NaN);
  const path = { lane, steps, size, points: record(), gradients: record(), losses: new Float64Array(steps + 1).fill(NaN) };
  path.looks = rule.lookahead ? record() : path.points;
  const { states, single } = begun(lane, size);
  path.states = Object.fromEntries(rule.states.map((name) => [name, record()]));
  const low = Math.min(...surface.bounds.flat()), high = Math.max(...surface.bounds.flat());
  const far = FAR * Math.max(high - low, 2 * Math.max(...start.map(Math.abs)));
  const w = Float64Array.from(start), look = new Float64Array(size), g = new Float64Array(size);
  let h = null;
  for (let k = 0; k <= steps; k++) {
    if (k < steps || !h) {
      const values = valuesAt(lane, k);
      h = Object.keys(rule.hyperparameters).map((name) => values[name]);
    }
    const loss = surface.gradient(w, g);
    if (rule.lookahead) {
      look.set(w);
      rule.lookahead(look, look, states, single, h, Math.min(k, steps - 1) + 1, NaN);
      surface.gradient(look, g);
      path.looks.set(look, k * size);
    }
    if (!Number.isFinite(loss) || !w.every((x) => Math.abs(x) < far)) return { ...path, end: k - 1, diverged: k };
    path.points.set(w, k * size);
    path.gradients.set(g, k * size);
    path.losses[k] = loss;
    rule.states.forEach((name, n) => path.states[name].set(states[n], k * size));
    if (k < steps) rule.step(w, g, states, single, h, k + 1, loss);
  }
  return { ...path, end: steps, diverged: -1 };
};

// What is in a step: vectors of one path at a step, each (dimensions,), or null where there are none.
export const parts = (path, step) => {
  if (step >= path.end) return null;
  const at = (array, k) => Array.from(array.subarray(k * path.size, (k + 1) * path.size));
  const here = at(path.points, step), next = at(path.points, step + 1), gradient = at(path.gradients, step);
  const vectors = { downhill: gradient.map((x) => -x), update: next.map((x, d) => x - here[d]) };
  for (const values of Object.values(path.states)) {
    const after = at(values, step + 1), all = values.subarray(0, (path.end + 1) * path.size);
    if (all.every((x) => x >= 0)) {
      if (all.some((x) => x > 0)) vectors.scale ??= after.map(Math.sqrt);
    } else {
      const first = at(values, 1), along = first.reduce((sum, x, d) => sum + x * path.gradients[d], 0);
      vectors.momentum ??= along > 0 ? after.map((x) => -x) : after; // a rule may also sum up its steps
    }
  }
  return { here, look: at(path.looks, step), vectors };
};
