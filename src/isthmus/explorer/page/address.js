// The state of the page in its address, short, so that a view can be sent to a colleague.

/**
 * @typedef {object} View
 * @property {string} model
 * @property {string} map  pca, tsne or umap
 * @property {string|null} color
 * @property {{held_out: number}|{content: any, own?: string}|null} example
 * @property {string} tab
 * @property {Map<number, number>} moved  dimensions of the code that differ from the example's
 * @property {any} y
 * @property {number} noise
 * @property {number[]} hidden
 * @property {number|null} to
 * @property {number} at
 */

const MOST_ROW = 1500;
const MOST_CODE = 1e30;

/** @returns {View} */
export function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const number = (name, otherwise) => {
    const value = given.has(name) ? Number(given.get(name)) : NaN;
    return Number.isFinite(value) ? value : otherwise;
  };
  const share = (name) => Math.max(0, Math.min(1, number(name, 0)));
  return {
    model: given.get("model") ?? "",
    map: given.get("map") ?? "pca",
    color: given.get("color"),
    example: exampleOf(given, number),
    tab: given.get("tab") ?? "sliders",
    moved: movedOf(given.get("code") ?? ""),
    y: parsed(given.get("y")),
    noise: share("noise"),
    hidden: numbersOf(given.get("hide") ?? ""),
    to: given.has("to") ? number("to", null) : null,
    at: share("at"),
  };
}

/** The address of a view. @param {View} view @returns {string} */
export function toAddress(view) {
  const words = new URLSearchParams();
  const put = (name, value, otherwise = "") => value !== otherwise && value !== null && words.set(name, String(value));
  put("model", view.model);
  if (view.example && "held_out" in view.example) put("x", view.example.held_out);
  else if (Array.isArray(view.example?.content)) {
    if (fits(view.example.content)) put("row", JSON.stringify(view.example.content));
  }
  put("y", view.y === null ? null : JSON.stringify(view.y));
  put("map", view.map, "pca");
  put("color", view.color);
  put("tab", view.tab, "sliders");
  put("code", [...view.moved].map(([place, value]) => `${place}:${Number(value.toPrecision(5))}`).join(","));
  put("noise", view.noise, 0);
  put("hide", rangesOf(view.hidden));
  put("to", view.to);
  put("at", view.to === null ? 0 : view.at, 0);
  return `#${words.toString().replaceAll("%3A", ":").replaceAll("%2C", ",")}`;
}

/** Whether an example of the user's own is part of the address: a row that is not too long. */
export const fits = (content) => Array.isArray(content) && JSON.stringify(content).length <= MOST_ROW;

function exampleOf(given, number) {
  const row = parsed(given.get("row"));
  if (Array.isArray(row)) return { content: row, own: "the row of the address" };
  return given.has("x") ? { held_out: Math.trunc(number("x", 0)) } : null;
}

function parsed(text) {
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function movedOf(text) {
  const pairs = text.split(",").map((word) => word.split(":").map(Number));
  return new Map(pairs.filter(([place, value]) => Number.isInteger(place) && place >= 0 && Math.abs(value) < MOST_CODE));
}

/** 1,2,3,7 as 1-3,7. @param {number[]} numbers */
function rangesOf(numbers) {
  const found = [];
  for (const each of [...numbers].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && each === last[1] + 1) last[1] = each;
    else found.push([each, each]);
  }
  return found.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

function numbersOf(text) {
  const numbers = new Set();
  for (const [, first, last] of text.matchAll(/(\d{1,6})(?:-(\d{1,6}))?/g)) {
    for (let each = Number(first); each <= Math.min(Number(last ?? first), Number(first) + 5000); each++) numbers.add(each);
  }
  return [...numbers];
}
