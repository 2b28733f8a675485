// Examples of any kind, shown: as images, charts or rows.

import { floats } from "./api.js";
import { bar, digits, extent, make, percent, shown } from "./dom.js";
import { drawError, drawImage, drawSigned, imageCanvas } from "./images.js";
import { charts, key } from "./lines.js";

const MOST_ROWS = 200;
const FIRST_ROWS = 10;

/** The values of an example for drawing: floats, or the list of a row. */
export const valuesOf = (content) => (typeof content === "string" ? floats(content) : content);

const isImage = (state) => state.drawn === "image" || state.drawn === "volume";

/** A small drawing of an example; of a row a few of its values. @returns {Node} */
export function thumbnail(state, content, name, columns = [0, 1, 2, 3]) {
  if (isImage(state)) {
    const canvas = imageCanvas(name);
    drawImage(canvas, state, valuesOf(content));
    return canvas;
  }
  if (state.drawn === "lines") return charts(state, [{ values: valuesOf(content), kind: "" }], { name, small: true });
  const few = columns.filter((i) => i < state.columns.length).map((i) => `${state.columns[i].name} ${shown(content[i])}`);
  return make("span", {}, few.join(", ") + (state.columns.length > few.length ? ", …" : ""));
}

/** One example, large. @returns {Node} */
export function single(state, content, name, before = null) {
  if (state.drawn !== "table") {
    return state.drawn === "lines"
      ? charts(state, [...(before ? [{ values: valuesOf(before), kind: "seen" }] : []), { values: valuesOf(content), kind: "made" }], { name })
      : thumbnail(state, content, name);
  }
  const rows = state.columns.slice(0, MOST_ROWS).map((column, i) => make("tr", {},
    make("th", { scope: "row" }, column.name),
    cell(content[i], Boolean(before) && differs(content[i], before[i]))));
  const more = state.columns.length > MOST_ROWS ? [make("p", { className: "soft small" }, `The first ${MOST_ROWS} of ${state.columns.length} columns.`)] : [];
  return make("div", {}, make("table", { "aria-label": name }, make("tbody", {}, ...rows)), ...more);
}

/** Whether two values of a table are shown differently. */
export const differs = (one, other) => (typeof one === "number" && typeof other === "number" ? digits(one, 3) !== digits(other, 3) : one !== other);

/**
 * An example beside its reconstruction, with the error.
 * @param {any} state
 * @param {{content: any, seen?: any, reconstruction: any, attributions?: number[]|null, scales?: any}} found
 * @param {{original: string, made: string, hidden?: number[]}} names
 * @returns {Node}
 */
export function comparison(state, found, names) {
  if (isImage(state)) return images(state, found, names);
  return state.drawn === "lines" ? lines(state, found, names) : rows(state, found, names);
}

function figure(canvas, caption) {
  return make("figure", {}, canvas, make("figcaption", {}, caption));
}

function images(state, found, names) {
  const original = valuesOf(found.content);
  const made = valuesOf(found.reconstruction);
  const box = make("div", { className: "figures" }, figure(thumbnail(state, found.content, names.original), names.original));
  if (found.seen) box.append(figure(thumbnail(state, found.seen, "What the model sees"), "What the model sees"));
  const error = imageCanvas("Error map");
  drawError(error, state, original, made);
  box.append(figure(thumbnail(state, found.reconstruction, names.made), names.made), figure(error, "Error: orange too high, blue too low"));
  if (found.attributions) {
    const most = Math.max(extent(found.attributions.map(Math.abs))[1], 1e-12);
    const map = imageCanvas("Attributions to the anomaly score");
    drawSigned(map, state, (at) => (found.attributions[at] ?? 0) / most);
    box.append(figure(map, "Share in the anomaly score"));
  }
  return box;
}

function lines(state, found, names) {
  const entries = [["", names.original], ["made", names.made]];
  const series = [{ values: valuesOf(found.content), kind: "" }, { values: valuesOf(found.reconstruction), kind: "made" }];
  if (found.seen) {
    series.splice(1, 0, { values: valuesOf(found.seen), kind: "seen" });
    entries.splice(1, 0, ["seen", "What the model sees"]);
  }
  const box = make("div", {}, key(entries), charts(state, series, { name: `${names.original} and ${names.made.toLowerCase()}`, error: true, hidden: names.hidden }));
  if (found.attributions) {
    box.append(make("h3", {}, "Share in the anomaly score"), charts(state, [{ values: Float32Array.from(found.attributions, (each) => each ?? NaN), kind: "made" }], { name: "Attributions" }));
  }
  return box;
}

/** The error of a column: text, and its size in standard deviations; a wrong category is 2. */
export function columnError(column, given, made, scale) {
  if (given === null || made === null) return { text: "", size: 0 };
  if (typeof given === "number" && typeof made === "number" && !column.labels.length) {
    const error = made - given;
    return { text: `${error > 0 ? "+" : ""}${digits(error, 3)}`, size: scale ? Math.abs(error) / scale : Math.abs(error) };
  }
  if (column.kind === "date") {
    const days = (Date.parse(made) - Date.parse(given)) / 86_400_000;
    return { text: `${days > 0 ? "+" : ""}${digits(days, 3)} days`, size: scale ? Math.abs(days * 86_400e6) / scale : 0 };
  }
  return String(given) === String(made) ? { text: "same", size: 0 } : { text: "another", size: 2 };
}

function cell(value, marked = false) {
  const text = shown(value);
  return make("td", { className: `${marked ? "far" : ""} ${text.length < 14 ? "short" : ""}` }, text);
}

/** A button that shows rows, which it hides. */
function unfold(rest) {
  const hide = (hidden) => rest.forEach((row) => { row.hidden = hidden; });
  const button = make("button", { type: "button" }, `Show ${rest.length} more columns`);
  button.addEventListener("click", () => {
    hide(false);
    button.remove();
    rest[0].closest("[tabindex]").focus();
  });
  hide(true);
  return button;
}

function rows(state, found, names) {
  const shares = found.attributions;
  const all = state.columns.map((column, i) => {
    const error = columnError(column, found.content[i], found.reconstruction[i], found.scales?.[i]);
    return { column, i, error, weight: shares ? shares[i] ?? 0 : error.size };
  });
  const compared = Boolean(shares || found.scales);
  if (compared) all.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
  const most = Math.max(extent(all.map((each) => Math.abs(each.weight)))[1], shares ? 1e-9 : 2);
  const head = ["Column", names.original, ...(found.seen ? ["Seen"] : []), names.made, "Error", ...(shares ? ["Share in the score"] : [])];
  const body = all.slice(0, MOST_ROWS).map((each) => make("tr", {},
    make("th", { scope: "row" }, each.column.name),
    cell(found.content[each.i]),
    ...(found.seen ? [cell(found.seen[each.i], differs(found.seen[each.i], found.content[each.i]))] : []),
    cell(found.reconstruction[each.i]),
    make("td", {}, each.error.text, ...(shares || !compared ? [] : [bar(each.weight / most)])),
    ...(shares ? [make("td", {}, percent(each.weight), bar(Math.abs(each.weight) / most))] : [])));
  const rest = body.slice(FIRST_ROWS);
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text.replace("Reconstruction", "Recon\u00adstruction"))))), make("tbody", {}, ...body));
  const note = shares || !compared ? "Errors are in the units of the columns." : "Errors are in the units of the columns. The bars compare them in standard deviations; the largest come first.";
  const cut = all.length > MOST_ROWS ? ` The first ${MOST_ROWS} of ${all.length} columns.` : "";
  return make("div", {}, make("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": `${names.made} by column` }, table), ...(rest.length ? [unfold(rest)] : []), make("p", { className: "soft small" }, note + cut));
}

/** The mean absolute error of a reconstruction; of rows the number of columns that differ. @returns {string} */
export function errorText(state, content, made) {
  if (state.drawn === "table") {
    const wrong = state.columns.filter((column, i) => column.labels.length && content[i] !== null && String(content[i]) !== String(made[i])).length;
    const categories = state.columns.filter((column) => column.labels.length).length;
    return categories ? `${categories - wrong} of ${categories} categories are the same` : "";
  }
  const [one, other] = [valuesOf(content), valuesOf(made)];
  let sum = 0;
  let count = 0;
  one.forEach((value, i) => {
    if (!Number.isNaN(value)) {
      sum += Math.abs(value - other[i]);
      count += 1;
    }
  });
  return digits(sum / Math.max(count, 1), 3);
}

/** The name of an example. */
export function nameOf(about) {
  const parts = [about.id !== null && about.id !== undefined ? `${about.id}` : `example ${about.index}`];
  if (about.label !== null && about.label !== undefined) parts.push(`label ${about.label}`);
  return parts.join(", ");
}
