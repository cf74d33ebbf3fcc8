// Lines over steps with a cursor that follows the others: a loss chart for races, bands of settings for studies.
import { h, sheet } from "./dom.js";
import { INK, MUTED } from "./ground.js";
import { dashes, FONT, tint, variable } from "./look.js";
import { logTicks, short, ticks } from "./numbers.js";

const EDGE = { left: 58, right: 14, top: 24, bottom: 26 };

// An axis: pixel of a value, logarithmic or not, and its ticks.
export const axis = (low, high, from, to, log, most) => {
  const scale = log ? Math.log10 : (x) => x, [a, b] = [scale(low), scale(high)];
  return {
    low, high, log,
    at: (x) => from + ((scale(x) - a) / (b - a || 1)) * (to - from),
    value: (pixel) => { const x = a + ((pixel - from) / (to - from)) * (b - a); return log ? 10 ** x : x; },
    ticks: log ? logTicks(low, high, most) : ticks(low, high, most),
  };
};

// A scene has `x` and `y`: {low, high, log, title}; `lines`: [{x, y, low, high, style, alpha, width, mark}]; `cursor`.
export const chartOf = (attributes, { seek = null, pick = null } = {}) => {
  const canvas = h("canvas", { class: "sheet", ...attributes });
  let scene = null, axes = null;
  const paint = sheet(canvas, (context, width, height) => {
    if (!scene) return;
    const { x, y } = scene;
    axes = [
      axis(x.low, x.high, EDGE.left, width - EDGE.right, x.log, width < 420 ? 4 : 7),
      axis(y.low, y.high, height - EDGE.bottom, EDGE.top, y.log, height < 200 ? 4 : 6),
    ];
    drawFrame(context, axes, scene, width, height);
    context.save();
    context.beginPath();
    context.rect(EDGE.left, EDGE.top - 6, width - EDGE.left - EDGE.right + 6, height - EDGE.top - EDGE.bottom + 12);
    context.clip();
    for (const one of scene.lines) if (one.low) drawBand(context, one, axes);
    for (const one of scene.lines) drawLine(context, one, axes);
    context.restore();
    if (scene.cursor !== undefined) drawCursor(context, axes[0].at(scene.cursor), height);
    scene.over?.(context, axes);
  });

  const value = (event) => axes[0].value(event.clientX - canvas.getBoundingClientRect().left);
  if (seek) {
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      seek(value(event));
    });
    canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && seek(value(event)));
  }
  if (pick) {
    const nearest = (event) => {
      const box = canvas.getBoundingClientRect();
      return scene && axes ? nearestLine(scene.lines, axes, event.clientX - box.left, event.clientY - box.top) : null;
    };
    canvas.addEventListener("pointermove", (event) => pick(nearest(event), false, event));
    canvas.addEventListener("pointerleave", () => pick(null, false));
    canvas.addEventListener("click", (event) => pick(nearest(event), true, event));
  }
  return { canvas, paint, show: (next) => { scene = next; paint(); } };
};

const drawFrame = (context, [across, up], scene, width, height) => {
  Object.assign(context, { font: FONT, fillStyle: tint(MUTED), strokeStyle: variable("grid"), lineWidth: 1 });
  for (const tick of up.ticks) {
    const y = Math.round(up.at(tick)) + 0.5;
    line(context, EDGE.left, y, width - EDGE.right, y);
    written(context, short(tick), EDGE.left - 8, y, "right", "middle");
  }
  for (const tick of across.ticks) {
    const x = Math.round(across.at(tick)) + 0.5;
    line(context, x, height - EDGE.bottom, x, height - EDGE.bottom + 4);
    const first = x < EDGE.left + 12 && short(tick).length > 2; // beside the title
    written(context, short(tick), first ? x - 6 : x, height - EDGE.bottom + 7, first ? "left" : "center", "top");
  }
  written(context, scene.x.title, EDGE.left - 14, height - EDGE.bottom + 7, "right", "top");
  written(context, scene.y.title, 4, 2, "left", "top");
};

const line = (context, x, y, u, v) => {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(u, v);
  context.stroke();
};

const written = (context, words, x, y, align, baseline) => {
  Object.assign(context, { textAlign: align, textBaseline: baseline });
  context.fillText(words, x, y);
};

const drawBand = (context, one, [across, up]) => {
  Object.assign(context, { fillStyle: tint(one.style.colour), globalAlpha: 0.14 });
  context.beginPath();
  const shown = one.x.map((x, k) => [x, one.low[k], one.high[k]]).filter(([, low, high]) => usable(low, up) && usable(high, up));
  shown.forEach(([x, low], k) => context[k ? "lineTo" : "moveTo"](across.at(x), up.at(low)));
  shown.reverse().forEach(([x, , high]) => context.lineTo(across.at(x), up.at(high)));
  context.fill();
  context.globalAlpha = 1;
};

const usable = (y, up) => Number.isFinite(y) && (!up.log || y > 0);

const drawLine = (context, one, [across, up]) => {
  Object.assign(context, { strokeStyle: tint(one.style.colour), fillStyle: tint(one.style.colour), lineJoin: "round" });
  Object.assign(context, { globalAlpha: one.alpha ?? 1, lineWidth: one.width ?? 2 });
  context.setLineDash(dashes(one.style.dash));
  context.beginPath();
  let pen = false, count = 0, last = null;
  for (let k = 0; k < one.x.length; k++) {
    const good = usable(one.y[k], up);
    if (good) {
      last = [across.at(one.x[k]), Math.min(1e5, Math.max(-1e5, up.at(one.y[k])))];
      context[pen ? "lineTo" : "moveTo"](...last);
      count++;
    }
    pen = good;
  }
  context.stroke();
  context.setLineDash([]);
  context.globalAlpha = 1;
  if (count === 1 && last) {
    context.beginPath();
    context.arc(...last, (one.width ?? 2) + 1, 0, 2 * Math.PI);
    context.fill();
  }
};

const drawCursor = (context, x, height) => {
  Object.assign(context, { strokeStyle: tint(INK), lineWidth: 1 });
  line(context, Math.round(x) + 0.5, EDGE.top, Math.round(x) + 0.5, height - EDGE.bottom);
};

// The line that passes nearest to a place, within 24 pixels.
const nearestLine = (lines, [across, up], x, y) => {
  let best = null, least = 24;
  for (const one of lines) {
    for (let k = 0; k < one.x.length; k++) {
      if (!usable(one.y[k], up)) continue;
      const there = [across.at(one.x[k]), up.at(one.y[k])], next = k + 1 < one.x.length && usable(one.y[k + 1], up);
      const away = next ? toSegment(x, y, there, [across.at(one.x[k + 1]), up.at(one.y[k + 1])]) : Math.hypot(x - there[0], y - there[1]);
      if (away < least) [best, least] = [{ line: one, index: k }, away];
    }
  }
  return best;
};

const toSegment = (x, y, [a, b], [c, d]) => {
  const [u, v] = [c - a, d - b], share = Math.min(1, Math.max(0, ((x - a) * u + (y - b) * v) / (u * u + v * v || 1)));
  return Math.hypot(x - a - share * u, y - b - share * v);
};
