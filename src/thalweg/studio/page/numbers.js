// Numbers as a reader wants them, and the ticks of an axis; the same forms as pictures/numbers.py.

const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

// At most so many significant digits, a real minus sign, powers of ten where there are many zeros.
export const short = (value, digits = 4) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(digits)))));
  if (size >= -4 && size < Math.max(digits, 6)) return String(Number(value.toPrecision(digits))).replace("-", "−");
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = "10" + [...String(Number(exponent))].map((letter) => RAISED[letter]).join("");
  const factor = String(Number(mantissa));
  return (factor === "1" ? power : factor === "-1" ? `-${power}` : `${factor}×${power}`).replace("-", "−");
};

// Of any number of values, which may be too many for arguments.
export const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
export const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);

export const point = (values) => (values.length === 1 ? short(values[0], 3) : `(${[...values].map((x) => short(x, 3)).join(", ")})`);

// A number as Python and addresses write it.
export const plain = (value, digits = 6) => String(Number(value.toPrecision(digits)));

// Up to `most` ticks between the ends, at round values.
export const ticks = (low, high, most = 6) => {
  if (!(high > low)) return [low];
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((part) => part * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first;
  return Array.from({ length: count + 1 }, (_, k) => Number(((first + k) * step).toPrecision(12)));
};

const PARTS = [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]];

// Ticks of a logarithmic axis: the finest choice with at most so many; of very many decades every second, third, ….
export const logTicks = (low, high, most = 6) => {
  if (high / low < 1.7) return ticks(low, high, 4).filter((x) => x > 0);
  const from = Math.floor(Math.log10(low)), to = Math.ceil(Math.log10(high));
  const inside = (parts, every = 1) => {
    const values = [];
    for (let k = from; k <= to; k++) if (k % every === 0) for (const part of parts) values.push(part * 10 ** k);
    return values.filter((x) => x >= low * 0.999 && x <= high * 1.001);
  };
  for (const parts of PARTS) if (inside(parts).length <= most) return inside(parts);
  for (let every = 2; ; every++) if (inside([1], every).length <= most) return inside([1], every);
};
