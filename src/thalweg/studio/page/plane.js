// The loss of a network in the plane of its training path: level lines between values on a grid, the path on them.
import { h, sheet } from "./dom.js";
import { drawPath } from "./map.js";
import { groundOf, placeOf, written } from "./ground.js";
import { isDark } from "./look.js";
import { say } from "./words.js";

// Between four values of a grid, the first axis across; outside the grid there is none.
export const between = ([xs, ys], losses) => {
  const cell = (axis, at) => {
    const place = ((at - axis[0]) / (axis.at(-1) - axis[0])) * (axis.length - 1), low = Math.min(axis.length - 2, Math.max(0, Math.floor(place)));
    return [low, place - low];
  };
  return ([x, y]) => {
    const [i, a] = cell(xs, x), [j, b] = cell(ys, y), value = (row, column) => losses[row][column] ?? NaN;
    return (value(j, i) * (1 - a) + value(j, i + 1) * a) * (1 - b) + (value(j + 1, i) * (1 - a) + value(j + 1, i + 1) * a) * b;
  };
};

// `landscape`: as `Landscape.to_json` writes it, with labels.
export const planeOf = (landscape, style) => {
  const canvas = h("canvas", { class: "sheet", role: "img", tabindex: 0, "aria-label": say("The loss around the path of its training, seen from above") });
  const view = landscape.axes.map((axis) => [axis[0], axis.at(-1)]), surface = { value: between(landscape.axes, landscape.losses) };
  const path = { size: 2, points: Float64Array.from(landscape.path.flat()), steps: landscape.path.length - 1, end: landscape.path.length - 1, diverged: -1 };
  let ground = null, key = "";
  sheet(canvas, (context, width, height, scale) => {
    const now = [width, height, scale, isDark()].join();
    if (key !== now) [ground, key] = [groundOf(surface, view, width, height, scale), now];
    context.drawImage(ground, 0, 0, width, height);
    const place = placeOf(view, width, height);
    drawPath(context, path, style, path.end, place, [width, height]);
    written(context, `${landscape.labels[0]} →`, width - 8, height - 6, "right", "bottom");
    written(context, `${landscape.labels[1]} ↑`, 6, 6, "left", "top");
    const [x, y] = place(landscape.path[0]);
    written(context, say("start"), Math.min(width - 30, Math.max(30, x)), y > 30 ? y - 8 : y + 20, "center", y > 30 ? "bottom" : "top");
  });
  return h("figure", { class: "plane" }, canvas, h("figcaption", { class: "quiet" }, landscape.note));
};
