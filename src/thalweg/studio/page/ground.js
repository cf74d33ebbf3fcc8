// The ground that paths run on: quiet level lines of a surface of two variables, or the curve of one.
import { FONT, tint } from "./look.js";

const LEVELS = 18, CELL = 3; // pixels
export const PAPER = "#FFFFFF";
export const INK = "#1D1F23";
export const MUTED = "#62666E";
const HIGH = "#CBD8E4", LEVEL = "#A9BBCC";

// The share of all values that are lower: between two level lines lies as much ground as between any others.
export const ranks = (values) => {
  const finite = values.filter(Number.isFinite).sort();
  if (!finite.length) return values;
  const near = 1e-9 * (finite.at(-1) - finite[0]) || 1, different = [], middles = [];
  for (let k = 0; k < finite.length; ) {
    let end = k;
    while (end < finite.length && finite[end] - finite[k] <= near) end++;
    different.push(finite[k]);
    middles.push((k + end - 1) / 2 / Math.max(1, finite.length - 1));
    k = end;
  }
  return values.map((value) => {
    if (!Number.isFinite(value)) return value > 0 ? 1 : NaN;
    let low = 0, high = different.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (different[middle] <= value + near) low = middle;
      else high = middle;
    }
    if (high === low) return middles[0];
    const share = (value - different[low]) / (different[high] - different[low]);
    return middles[low] + Math.min(1, Math.max(0, share)) * (middles[high] - middles[low]);
  });
};

// Values on a grid of columns × rows over a view ((left, right), (bottom, top)), row by row from the top.
export const grid = (surface, view, columns, rows) => {
  const [[left, right], [bottom, top]] = view, p = [0, 0], values = new Float64Array(columns * rows);
  for (let j = 0; j < rows; j++) {
    p[1] = top + ((bottom - top) * j) / (rows - 1);
    for (let i = 0; i < columns; i++) {
      p[0] = left + ((right - left) * i) / (columns - 1);
      values[j * columns + i] = surface.value(p);
    }
  }
  return values;
};

export const rgb = (colour) => [1, 3, 5].map((k) => Number.parseInt(colour.slice(k, k + 2), 16));

// A picture of the ground as large as the canvas; made once for a surface, a view, a size and a theme.
export const groundOf = (surface, view, width, height, scale) => {
  const columns = Math.max(2, Math.round(width / CELL)), rows = Math.max(2, Math.round(height / CELL));
  const heights = ranks(grid(surface, view, columns, rows));
  const canvas = Object.assign(document.createElement("canvas"), { width: width * scale, height: height * scale });
  const context = canvas.getContext("2d");
  context.drawImage(bands(heights, columns, rows, Math.round(width), Math.round(height)), 0, 0, canvas.width, canvas.height);
  context.scale((width * scale) / (columns - 1), (height * scale) / (rows - 1));
  context.strokeStyle = tint(LEVEL);
  context.lineWidth = 0.8 / CELL;
  for (let k = 1; k < LEVELS; k++) lines(context, heights, columns, rows, k / LEVELS);
  return canvas;
};

// Lighter where the surface is lower, in as many steps as there are levels.
const bands = (heights, columns, rows, width, height) => {
  const [low, high] = [rgb(tint(PAPER)), rgb(tint(HIGH))], image = new ImageData(width, height);
  for (let y = 0; y < height; y++) {
    const v = (y / (height - 1 || 1)) * (rows - 1), j = Math.min(rows - 2, Math.floor(v)), b = v - j;
    for (let x = 0; x < width; x++) {
      const u = (x / (width - 1 || 1)) * (columns - 1), i = Math.min(columns - 2, Math.floor(u)), a = u - i, at = j * columns + i;
      const above = heights[at] * (1 - a) + heights[at + 1] * a;
      const below = heights[at + columns] * (1 - a) + heights[at + columns + 1] * a;
      const rank = above * (1 - b) + below * b, place = 4 * (y * width + x);
      const share = Number.isNaN(rank) ? 0.5 : Math.floor(rank * LEVELS) / (LEVELS - 1);
      for (let c = 0; c < 3; c++) image.data[place + c] = low[c] + (high[c] - low[c]) * Math.min(1, share);
      image.data[place + 3] = 255;
    }
  }
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
};

// Where a level crosses the sides of each cell, joined by straight lines.
const lines = (context, heights, columns, rows, level) => {
  context.beginPath();
  for (let j = 0; j < rows - 1; j++) {
    for (let i = 0; i < columns - 1; i++) {
      const at = j * columns + i;
      const [a, b, c, d] = [heights[at], heights[at + 1], heights[at + columns + 1], heights[at + columns]];
      const [p, q, r, s] = [a > level, b > level, c > level, d > level];
      if (p === q && q === r && r === s) continue;
      const cut = (from, to) => (level - from) / (to - from), ends = [];
      if (p !== q) ends.push([i + cut(a, b), j]);
      if (q !== r) ends.push([i + 1, j + cut(b, c)]);
      if (r !== s) ends.push([i + cut(d, c), j + 1]);
      if (s !== p) ends.push([i, j + cut(a, d)]);
      for (let k = 0; k + 1 < ends.length; k += 2) {
        context.moveTo(...ends[k]);
        context.lineTo(...ends[k + 1]);
      }
    }
  }
  context.stroke();
};

// The view of a surface in a box: one unit as long across as up, and the bounds as large as they fit.
export const viewOf = (bounds, width, height, zoom = 1) => {
  const [across, up] = bounds.map(([low, high]) => (high - low) / zoom), middle = bounds.map(([low, high]) => (low + high) / 2);
  const unit = Math.max(across / width, up / height);
  return [
    [middle[0] - (unit * width) / 2, middle[0] + (unit * width) / 2],
    [middle[1] - (unit * height) / 2, middle[1] + (unit * height) / 2],
  ];
};

// From a view to the pixels of a box.
export const placeOf = ([[left, right], [bottom, top]], width, height) => ([x, y]) => [
  ((x - left) / (right - left)) * width,
  ((top - y) / (top - bottom)) * height,
];

// Words on the ground, readable on any of its colours.
export const written = (context, words, x, y, align, baseline) => {
  Object.assign(context, { font: FONT, textAlign: align, textBaseline: baseline, lineWidth: 3, strokeStyle: tint(PAPER), fillStyle: tint(MUTED) });
  context.strokeText(words, x, y);
  context.fillText(words, x, y);
};

// The view of a curve: its bounds, and from its lowest to its highest value there.
export const curveView = (surface, zoom = 1) => {
  const [low, high] = surface.bounds[0], middle = (low + high) / 2, half = (high - low) / 2 / zoom;
  const values = Array.from({ length: 201 }, (_, k) => surface.value([middle + half * (k / 100 - 1)])).filter(Number.isFinite);
  const [bottom, top] = [Math.min(...values), Math.max(...values)], room = 0.1 * (top - bottom || 1);
  return [[middle - half, middle + half], [bottom - room, top + room]];
};
