// How lines and marks are drawn: colours of the theme, and one colour, dash and marker for each optimizer.

let dark = {};

export const prefersDark = matchMedia("(prefers-color-scheme: dark)");

export const useColours = (counterparts) => {
  dark = counterparts;
};

export const isDark = () => {
  const asked = document.documentElement.dataset.theme;
  return asked ? asked === "dark" : prefersDark.matches;
};

// A colour made for light paper, as it is on the reader's ground.
export const tint = (colour) => (isDark() ? (dark[colour] ?? colour) : colour);

export const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export const FONT = '13px system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans KR", "Noto Sans CJK KR", sans-serif';

const DASHES = { solid: [], dot: [2, 4], dash: [8, 5], longdash: [14, 5], dashdot: [8, 4, 2, 4], longdashdot: [14, 4, 2, 4] };

export const dashes = (dash) => DASHES[dash] ?? dash.split(",").map((part) => Number.parseFloat(part));

const turned = (count, inner, from = -Math.PI / 2) =>
  Array.from({ length: count }, (_, k) => {
    const size = k % 2 ? inner : 1, angle = from + (2 * Math.PI * k) / count;
    return [size * Math.cos(angle), size * Math.sin(angle)];
  });
const CROSS = [[-1, -3], [1, -3], [1, -1], [3, -1], [3, 1], [1, 1], [1, 3], [-1, 3], [-1, 1], [-3, 1], [-3, -1], [-1, -1]];
const SHAPES = {
  circle: turned(24, 1),
  square: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  diamond: turned(4, 1),
  "triangle-up": turned(3, 1),
  "triangle-down": turned(3, 1, Math.PI / 2),
  "triangle-left": turned(3, 1, Math.PI),
  "triangle-right": turned(3, 1, 0),
  cross: CROSS.map(([x, y]) => [x / 3, y / 3]),
  hexagon: turned(6, 1),
  pentagon: turned(5, 1),
  star: turned(10, 0.45),
  "star-diamond": turned(8, 0.55),
  "star-square": turned(8, 0.55, Math.PI / 4),
  hourglass: [[-0.9, -1], [0.9, -1], [-0.9, 1], [0.9, 1]],
  bowtie: [[-1, -0.9], [1, 0.9], [1, -0.9], [-1, 0.9]],
};

export const marker = (context, shape, x, y, size) => {
  context.beginPath();
  (SHAPES[shape] ?? SHAPES.circle).forEach(([dx, dy], k) => context[k ? "lineTo" : "moveTo"](x + size * dx, y + size * dy));
  context.closePath();
  context.fill();
};

// A line's sample for lists: its dash and marker in its colour.
export const sample = (canvas, style) => {
  const [width, height] = [34, 16], scale = window.devicePixelRatio || 1, context = canvas.getContext("2d");
  [canvas.width, canvas.height] = [width * scale, height * scale];
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.strokeStyle = context.fillStyle = tint(style.colour);
  context.lineWidth = 2;
  context.setLineDash(dashes(style.dash));
  context.beginPath();
  context.moveTo(0, height / 2);
  context.lineTo(width, height / 2);
  context.stroke();
  marker(context, style.marker, width / 2, height / 2, 5);
};

// One style for each name: its rule's, where that is free; a race of one rule with itself takes others.
export const stylesOf = (names, table, spare) => {
  const used = new Set(), rules = names.map((name) => name.split("(")[0]), alone = names.length > 1 && new Set(rules).size === 1;
  const first = names.map((name, k) => {
    const style = rules.indexOf(rules[k]) === k && !alone ? (table[name] ?? table[rules[k]]) : null;
    if (!style || used.has(style.colour)) return null;
    used.add(style.colour);
    return style;
  });
  return first.map((style, k) => {
    if (style) return style;
    const free = spare.find((one) => !used.has(one.colour)) ?? spare[k % spare.length];
    used.add(free.colour);
    return free;
  });
};
