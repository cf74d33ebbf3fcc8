// The surface from above (or the curve of one variable) with the paths on it, and the start that can be moved.
import { parts } from "./descent.js";
import { h, sheet } from "./dom.js";
import { curveView, groundOf, INK, MUTED, placeOf, viewOf, written } from "./ground.js";
import { dashes, isDark, marker, tint } from "./look.js";
import { point, short, ticks } from "./numbers.js";
import { say } from "./words.js";

const MARKED = 40; // steps, up to which each of them has a marker
const LONGEST = 0.22; // of the drawn width: the longest arrow of a kind
export const ARROWS = {
  scale: { colour: "#CC79A7", width: 5 },
  momentum: { colour: "#E69F00", width: 4 },
  downhill: { colour: "#000000", width: 2 },
  update: { colour: "#0072B2", width: 2.5 },
};

export const mapOf = (moved) => {
  const canvas = h("canvas", { class: "sheet", role: "img" });
  const handle = h("button", { type: "button", class: "start", role: "slider" });
  const element = h("div", { class: "map" }, canvas, handle);
  let scene = null, ground = null, key = "", view = null;
  const curve = () => scene.surface.variables.length === 1;
  const move = (start) => {
    scene = { ...scene, start }; // the next key may come before the next frame
    moved(start);
  };

  const paint = sheet(canvas, (context, width, height, scale) => {
    if (!scene) return;
    view = curve() ? curveView(scene.surface, scene.zoom) : viewOf(scene.surface.bounds, width, height, scene.zoom);
    const pixel = placeOf(view, width, height), place = (p) => pixel(p).map(clamped), now = [scene.surface.key, scene.zoom, width, height, scale, isDark()].join();
    if (!curve() && key !== now) [ground, key] = [groundOf(scene.surface, view, width, height, scale), now];
    if (curve()) drawCurve(context, scene.surface, view, place);
    else context.drawImage(ground, 0, 0, width, height);
    drawAxes(context, pixel, view, scene.surface.variables, width, height, curve());
    for (const minimum of scene.surface.minima) ring(context, place(at(scene.surface, minimum)));
    scene.paths.forEach((path, k) => drawPath(context, path, scene.styles[k], scene.at, place, [width, height]));
    if (scene.arrows !== null) drawArrows(context, scene, place, width);
    const [x, y] = place(at(scene.surface, scene.start));
    handle.style.transform = `translate(${x}px, ${y}px)`;
  });

  const from = (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((v) => Math.min(1, Math.max(0, v)));
    const there = [view[0][0] + x * (view[0][1] - view[0][0]), view[1][1] - y * (view[1][1] - view[1][0])];
    return there.slice(0, scene.surface.variables.length);
  };
  const drag = (event) => {
    handle.setPointerCapture(event.pointerId);
    move(from(event));
    event.preventDefault();
    handle.focus({ preventScroll: true });
  };
  handle.addEventListener("pointerdown", drag);
  canvas.addEventListener("pointerdown", (event) => event.pointerType === "mouse" && event.button === 0 && drag(event));
  canvas.addEventListener("click", (event) => event.pointerType !== "mouse" && move(from(event)));
  handle.addEventListener("pointermove", (event) => handle.hasPointerCapture(event.pointerId) && move(from(event)));
  handle.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.1 : 0.01;
    const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowDown: [0, -step], ArrowUp: [0, step] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    const along = [dx, dy], next = scene.start.map((x, d) => x + along[d] * (view[d][1] - view[d][0]));
    move(next.map((x, d) => Math.min(view[d][1], Math.max(view[d][0], x))));
  });

  const show = (next) => {
    scene = next;
    paint();
    if (!view) return;
    canvas.setAttribute("aria-label", told(scene));
    const where = scene.surface.variables.map((name, d) => `${name} ${short(scene.start[d], 3)}`).join(", ");
    handle.setAttribute("aria-label", say("Start; arrow keys move it"));
    handle.setAttribute("aria-valuetext", where);
    handle.setAttribute("aria-valuemin", view[0][0]);
    handle.setAttribute("aria-valuemax", view[0][1]);
    handle.setAttribute("aria-valuenow", scene.start[0]);
  };
  return { element, show, paint };
};

const told = (scene) =>
  say("Paths on {surface} from {start}: {ends}", {
    surface: scene.surface.label,
    start: point(scene.start),
    ends: scene.paths.map((path, k) => `${scene.names[k]} ${point(pointAt(path, Math.min(scene.at, path.end)))}`).join("; "),
  });

export const pointAt = (path, step) => Array.from(path.points.subarray(step * path.size, (step + 1) * path.size));

const at = (surface, p) => (surface.variables.length === 1 ? [p[0], surface.value(p)] : p);

const clamped = (x) => (Number.isNaN(x) ? 0 : Math.min(1e5, Math.max(-1e5, x)));

const drawCurve = (context, surface, view, place) => {
  context.strokeStyle = tint(MUTED);
  context.lineWidth = 1.6;
  context.beginPath();
  for (let k = 0, pen = false; k <= 600; k++) {
    const x = view[0][0] + ((view[0][1] - view[0][0]) * k) / 600, y = surface.value([x]);
    if (!Number.isFinite(y)) pen = false;
    else context[pen ? "lineTo" : "moveTo"](...place([x, y]));
    pen = Number.isFinite(y);
  }
  context.stroke();
};

const drawAxes = (context, pixel, view, names, width, height, curve) => {
  for (const x of ticks(...view[0], width < 420 ? 4 : 7)) {
    const [px] = pixel([x, 0]);
    if (px > 24 && px < width - 24) written(context, short(x), px, height - 6, "center", "bottom");
  }
  for (const y of ticks(...view[1], 6)) {
    const [, py] = pixel([0, y]);
    if (py > 22 && py < height - 30) written(context, short(y), 6, py, "left", "middle");
  }
  written(context, names[0], width - 8, height - 6, "right", "bottom");
  written(context, curve ? say("loss") : names[1], 6, 6, "left", "top");
};

const ring = (context, [x, y]) => {
  Object.assign(context, { strokeStyle: tint(MUTED), lineWidth: 1.5 });
  context.setLineDash([]);
  context.beginPath();
  context.arc(x, y, 7, 0, 2 * Math.PI);
  context.stroke();
};

export const drawPath = (context, path, style, step, place, [width, height]) => {
  const end = Math.min(step, path.end), spot = (k) => place(path.size === 1 ? [path.points[k], path.losses[k]] : pointAt(path, k));
  context.strokeStyle = context.fillStyle = tint(style.colour);
  const stroke = (from, to, alpha, thick, dash) => {
    Object.assign(context, { globalAlpha: alpha, lineWidth: thick, lineJoin: "round" });
    context.setLineDash(dash);
    context.beginPath();
    for (let k = from; k <= to; k++) context[k > from ? "lineTo" : "moveTo"](...spot(k));
    context.stroke();
  };
  if (path.end > end) stroke(end, path.end, 0.28, 1.2, []);
  stroke(0, end, 1, 2, path.size === 1 ? [1, 3] : dashes(style.dash));
  context.globalAlpha = 1;
  context.setLineDash([]);
  if (path.steps <= MARKED) for (let k = 1; k < end; k++) marker(context, style.marker, ...spot(k), 3);
  const [x, y] = spot(Math.max(0, end));
  if (path.diverged >= 0 && step >= path.diverged) lost(context, Math.min(width - 10, Math.max(10, x)), Math.min(height - 10, Math.max(10, y)));
  else marker(context, style.marker, x, y, 6);
};

export const lost = (context, x, y) => {
  context.lineWidth = 3;
  context.beginPath();
  for (const [dx, dy] of [[-6, -6], [-6, 6]]) {
    context.moveTo(x + dx, y + dy);
    context.lineTo(x - dx, y - dy);
  }
  context.stroke();
};

// How long the arrows of each kind are drawn: the update as it is, the others so that the longest fits.
export const scalesOf = (path, width) => {
  const longest = {};
  for (let k = 0; k < path.end; k++) {
    for (const [kind, vector] of Object.entries(parts(path, k).vectors)) longest[kind] = Math.max(longest[kind] ?? 0, Math.hypot(...vector));
  }
  return Object.fromEntries(Object.entries(longest).map(([kind, length]) => [kind, kind === "update" ? 1 : (LONGEST * width) / (length || 1)]));
};

const drawArrows = (context, scene, place) => {
  const path = scene.paths[scene.arrows], one = path && parts(path, scene.at);
  if (!one || path.size !== 2) return;
  const scales = scalesOf(path, scene.surface.bounds[0][1] - scene.surface.bounds[0][0]);
  for (const [kind, { colour, width }] of Object.entries(ARROWS)) {
    const vector = one.vectors[kind];
    if (!vector) continue;
    const [dx, dy] = vector.map((x) => x * scales[kind]), [x, y] = kind === "downhill" ? one.look : one.here;
    Object.assign(context, { strokeStyle: tint(colour), fillStyle: tint(colour), lineWidth: width });
    if (kind === "scale") bars(context, place, [x, y], [dx, dy]);
    else arrow(context, place([x, y]), place([x + dx, y + dy]));
  }
  if (Math.hypot(one.look[0] - one.here[0], one.look[1] - one.here[1]) > 0) {
    Object.assign(context, { strokeStyle: tint(INK), lineWidth: 1 });
    context.setLineDash([2, 3]);
    context.beginPath();
    context.moveTo(...place(one.here));
    context.lineTo(...place(one.look));
    context.stroke();
    context.setLineDash([]);
  }
};

// A scale is no direction: a bar along each coordinate.
const bars = (context, place, [x, y], [dx, dy]) => {
  context.globalAlpha = 0.55;
  context.beginPath();
  context.moveTo(...place([x - dx / 2, y]));
  context.lineTo(...place([x + dx / 2, y]));
  context.moveTo(...place([x, y - dy / 2]));
  context.lineTo(...place([x, y + dy / 2]));
  context.stroke();
  context.globalAlpha = 1;
};

const arrow = (context, [x, y], [u, v]) => {
  const length = Math.hypot(u - x, v - y), angle = Math.atan2(v - y, u - x), head = Math.min(11, 0.6 * length);
  if (length < 1) return;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(u - 0.6 * head * Math.cos(angle), v - 0.6 * head * Math.sin(angle));
  context.stroke();
  context.beginPath();
  context.moveTo(u, v);
  for (const side of [-0.42, 0.42]) context.lineTo(u - head * Math.cos(angle + side), v - head * Math.sin(angle + side));
  context.fill();
};

