// The colors of points and their legend.

import { digits, make } from "./dom.js";

const LIGHT = ["#1f6fb4", "#c1570a", "#2f8537", "#b3282d", "#7d55b0", "#84513f", "#c2469b", "#636b72", "#7c7a10", "#0d808d"];
const DARK = ["#6db3f2", "#f5a05a", "#74c97b", "#ff8a86", "#c3a1f0", "#d1a08c", "#f39ad3", "#b9c0c6", "#d3d159", "#5cd0dc"];
const STOPS = { light: [[68, 20, 110], [30, 120, 140], [80, 180, 70], [190, 150, 0]], dark: [[120, 80, 200], [50, 150, 190], [100, 210, 120], [250, 230, 80]] };

export const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

/** The color of category i of n. */
export function categoryColor(i, n) {
  if (i < 0) return isDark() ? "#6d767e" : "#a0a8ae";
  const palette = isDark() ? DARK : LIGHT;
  return n <= palette.length ? palette[i] : `hsl(${Math.round((i * 360) / n)} ${i % 2 ? 75 : 55}% ${isDark() ? 68 : 40}%)`;
}

/** The color of a share from 0 to 1 on a scale. */
export function scaleColor(share) {
  const stops = STOPS[isDark() ? "dark" : "light"];
  const at = Math.max(0, Math.min(1, share)) * (stops.length - 1);
  const first = Math.min(Math.floor(at), stops.length - 2);
  const mixed = stops[first].map((value, i) => Math.round(value + (stops[first + 1][i] - value) * (at - first)));
  return `rgb(${mixed.join(" ")})`;
}

/**
 * The color of each point.
 * @param {any} colors as the server sends them, or null
 * @param {ArrayLike<number>|null} values
 * @returns {(i: number) => string}
 */
export function painter(colors, values) {
  if (colors?.kind === "categories") return (i) => categoryColor(values[i], colors.names.length);
  if (colors?.kind === "numbers") {
    const span = colors.high - colors.low || 1;
    return (i) => (Number.isNaN(values[i]) ? categoryColor(-1, 0) : scaleColor((values[i] - colors.low) / span));
  }
  const plain = isDark() ? "#5cc3cd" : "#0b6e78";
  return () => plain;
}

/** The legend. @returns {Node} */
export function legend(colors) {
  if (colors?.kind === "categories") return categories(colors);
  if (colors?.kind === "numbers") return scale(colors);
  return make("p", { className: "soft" }, colors?.reason ?? "");
}

function categories(colors) {
  const items = colors.names.map((name, i) => entry(name, categoryColor(i, colors.names.length)));
  if (colors.values.includes(-1)) items.push(entry("missing", categoryColor(-1, 0)));
  return make("ul", { "aria-label": "Colors" }, ...items);
}

function entry(name, color) {
  const dot = make("span", { className: "dot" });
  dot.style.background = color;
  return make("li", {}, dot, name);
}

function scale(colors) {
  const canvas = make("canvas", { width: 64, height: 1 });
  const pen = canvas.getContext("2d");
  for (let i = 0; i < 64; i++) {
    pen.fillStyle = scaleColor(i / 63);
    pen.fillRect(i, 0, 1, 1);
  }
  return make("div", { className: "scale" }, colors.low_name ?? digits(colors.low), canvas, colors.high_name ?? digits(colors.high));
}
