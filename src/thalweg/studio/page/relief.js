// The surface as a sheet in space with the paths on it; dragged or by arrow keys it turns.
import { h, sheet } from "./dom.js";
import { grid, MUTED, PAPER, ranks, rgb } from "./ground.js";
import { FONT, isDark, marker, tint } from "./look.js";
import { least, most } from "./numbers.js";
import { say } from "./words.js";

const MESH = 45; // lines along each side
const FINE = 4; // samples of a cell's side for what hides what
const BUFFER = 3; // pixels of a cell of the depths
const TALL = 0.62; // of a side of the base
const SLACK = 0.035; // of depth, so that a path is not hidden by the sheet it lies on
const CIVIDIS = ["#00224E", "#123570", "#3B496C", "#575D6D", "#707173", "#8A8779", "#A69D75", "#C4B56C", "#E4CF5B", "#FEE838"];

export const reliefOf = (turned) => {
  const canvas = h("canvas", { class: "sheet turns", tabindex: 0, role: "img" });
  const element = h("div", { class: "relief" }, canvas);
  let scene = null, mesh = null, drawn = null;

  const paint = sheet(canvas, (context, width, height, scale) => {
    if (!scene || scene.surface.variables.length !== 2) return;
    const { surface, turn, tilt } = scene;
    if (mesh?.key !== surface.key) mesh = meshOf(surface);
    const key = [surface.key, turn, tilt, width, height, scale, isDark()].join();
    if (drawn?.key !== key) drawn = { key, ...sheetOf(mesh, turn, tilt, width, height, scale) };
    context.drawImage(drawn.image, 0, 0, width, height);
    scene.paths.forEach((path, k) => drawPath(context, path, scene.styles[k], scene.at, mesh, drawn));
  });

  const turnBy = (across, up) => {
    scene = { ...scene, turn: scene.turn + across, tilt: Math.min(1.5, Math.max(0.08, scene.tilt + up)) };
    turned(scene.turn, scene.tilt); // the next move may come before the next frame
  };
  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    last = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last || !canvas.hasPointerCapture(event.pointerId)) return;
    turnBy((last[0] - event.clientX) / 150, (event.clientY - last[1]) / 150);
    last = [event.clientX, event.clientY];
  });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.06], ArrowDown: [0, -0.06] }[event.key];
    if (!by) return;
    event.preventDefault();
    turnBy(...by);
  });

  const show = (next) => {
    scene = next;
    canvas.setAttribute("aria-label", say("{surface} in space; arrow keys turn it", { surface: scene.surface.label }));
    paint();
  };
  return { element, show, paint };
};

// Heights over the bounds, cut where nearly all of the surface is lower, so that the floor can be seen.
const meshOf = (surface) => {
  const size = (MESH - 1) * FINE + 1, values = grid(surface, surface.bounds, size, size);
  const finite = values.filter(Number.isFinite).sort();
  const low = finite[0] ?? 0, high = finite[Math.floor(0.995 * (finite.length - 1))] ?? 1;
  const height = (value) => TALL * Math.min(1, Math.max(0, (value - low) / (high - low || 1)));
  return { key: surface.key, bounds: surface.bounds, names: surface.variables, size, high, height, heights: values.map(height), shades: ranks(values) };
};

const ranges = new Map();

// The lowest and the highest value over the bounds, on a coarse grid.
export const rangeOf = (surface) => {
  if (!ranges.has(surface.key)) {
    const flat = surface.variables.length === 1, view = flat ? [surface.bounds[0], [0, 1]] : surface.bounds;
    const finite = grid(surface, view, flat ? 401 : 41, flat ? 2 : 41).filter(Number.isFinite);
    ranges.set(surface.key, [least(finite), most(finite)]);
  }
  return ranges.get(surface.key);
};

// From the unit box to the canvas: turned about the vertical, then tilted; z grows towards the viewer.
const cameraOf = (turn, tilt, width, height) => {
  const [c, s, cosine, sine] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
  const unit = Math.min(width / 1.5, height / 1.32);
  return (x, y, z) => {
    const [u, v] = [(x - 0.5) * c - (y - 0.5) * s, (x - 0.5) * s + (y - 0.5) * c];
    const near = 1 + 0.18 * (-v * cosine + (z - TALL / 2) * sine); // a little perspective
    return [width / 2 + unit * near * u, height / 2 - unit * near * (v * sine + (z - TALL / 2) * cosine), -v * cosine + z * sine];
  };
};

const sheetOf = (mesh, turn, tilt, width, height, scale) => {
  const camera = cameraOf(turn, tilt, width, height), { size } = mesh;
  const image = Object.assign(document.createElement("canvas"), { width: width * scale, height: height * scale });
  const context = image.getContext("2d");
  context.scale(scale, scale);
  const columns = Math.ceil(width / BUFFER), depths = new Float32Array(columns * Math.ceil(height / BUFFER)).fill(-Infinity);
  const spots = new Float64Array(3 * size * size);
  for (let j = 0; j < size; j++) {
    for (let i = 0; i < size; i++) {
      const at = j * size + i, [x, y, depth] = camera(i / (size - 1), 1 - j / (size - 1), mesh.heights[at]);
      spots.set([x, y, depth], 3 * at);
      const cell = Math.floor(y / BUFFER) * columns + Math.floor(x / BUFFER);
      if (x >= 0 && x < width && depth > depths[cell]) depths[cell] = depth;
    }
  }
  base(context, camera, mesh);
  faces(context, mesh, spots);
  return { image, camera, hidden: ([x, y, depth]) => depth + SLACK < (depths[Math.floor(y / BUFFER) * columns + Math.floor(x / BUFFER)] ?? -Infinity) };
};

// The far faces first; each in the colour of its rank, darker where it is steep away from the light.
const faces = (context, mesh, spots) => {
  const { size } = mesh, all = [];
  for (let j = 0; j + FINE < size; j += FINE) {
    for (let i = 0; i + FINE < size; i += FINE) {
      const corners = [j * size + i, j * size + i + FINE, (j + FINE) * size + i + FINE, (j + FINE) * size + i];
      if (corners.every((at) => Number.isFinite(mesh.heights[at]))) all.push({ corners, depth: corners.reduce((sum, at) => sum + spots[3 * at + 2], 0) });
    }
  }
  all.sort((a, b) => a.depth - b.depth);
  context.lineWidth = 0.6;
  for (const { corners } of all) {
    const [a, b, , d] = corners.map((at) => mesh.heights[at]), light = 1 - Math.min(0.35, Math.max(-0.12, 5 * (b - a) - 3 * (d - a)));
    const rank = corners.reduce((sum, at) => sum + mesh.shades[at], 0) / 4;
    context.fillStyle = context.strokeStyle = shade(rank, light);
    context.beginPath();
    corners.forEach((at, k) => context[k ? "lineTo" : "moveTo"](spots[3 * at], spots[3 * at + 1]));
    context.closePath();
    context.fill();
    context.stroke(); // hides the seams
  }
};

const shade = (rank, light) => {
  const place = Math.min(CIVIDIS.length - 1.001, Math.max(0, rank * (CIVIDIS.length - 1))), k = Math.floor(place);
  const [from, to] = [CIVIDIS[k], CIVIDIS[k + 1]].map(rgb);
  return `rgb(${from.map((x, c) => Math.round(Math.min(255, (x + (to[c] - x) * (place - k)) * light))).join()})`;
};

const base = (context, camera, mesh) => {
  Object.assign(context, { strokeStyle: tint(MUTED), lineWidth: 1, font: FONT, fillStyle: tint(MUTED), textAlign: "center", textBaseline: "middle" });
  context.beginPath();
  [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]].forEach(([x, y], k) => context[k ? "lineTo" : "moveTo"](...camera(x, y, 0).slice(0, 2)));
  context.stroke();
  const fore = (side) => [0, 1].map((end) => [side(end), camera(...side(end), 0)[2]]).sort((a, b) => b[1] - a[1])[0][0];
  const [x, y] = [fore((end) => [0.5, end]), fore((end) => [end, 0.5])];
  const outside = ([u, v]) => camera(u === 0.5 ? u : u * 1.14 - 0.07, v === 0.5 ? v : v * 1.14 - 0.07, 0).slice(0, 2);
  context.fillText(mesh.names[0], ...outside(x));
  context.fillText(mesh.names[1], ...outside(y));
};

const drawPath = (context, path, style, step, mesh, drawn) => {
  const [[left, right], [bottom, top]] = mesh.bounds, end = Math.min(step, path.end);
  const spot = (k) => {
    const x = (path.points[2 * k] - left) / (right - left), y = (path.points[2 * k + 1] - bottom) / (top - bottom);
    const inside = x >= 0 && x <= 1 && y >= 0 && y <= 1 && path.losses[k] <= mesh.high;
    return inside ? drawn.camera(x, y, mesh.height(path.losses[k]) + 0.008) : null;
  };
  const spots = Array.from({ length: path.end + 1 }, (_, k) => spot(k));
  for (const [width, colour] of [[5, tint(PAPER)], [3, tint(style.colour)]]) {
    Object.assign(context, { strokeStyle: colour, lineCap: "round" });
    for (let k = 1; k <= path.end; k++) {
      const [a, b] = [spots[k - 1], spots[k]];
      if (!a || !b) continue;
      const away = drawn.hidden(a) && drawn.hidden(b);
      if (k > end && width > 3) continue;
      Object.assign(context, { globalAlpha: (k > end ? 0.3 : 1) * (away ? 0.25 : 1), lineWidth: k > end ? 1.2 : width });
      context.beginPath();
      context.moveTo(a[0], a[1]);
      context.lineTo(b[0], b[1]);
      context.stroke();
    }
  }
  context.globalAlpha = 1;
  const here = spots[Math.max(0, end)];
  if (!here || path.diverged >= 0 && step >= path.diverged) return;
  context.fillStyle = tint(PAPER);
  marker(context, style.marker, here[0], here[1], 7.5);
  context.fillStyle = tint(style.colour);
  marker(context, style.marker, here[0], here[1], 5.5);
};

