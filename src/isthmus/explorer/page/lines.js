// Series and windows of sound as line charts, one for each channel.

import { extent, make, svg } from "./dom.js";

const WIDTH = 400;
const HEIGHT = 90;
const MOST = 8;

/** The number of times and of channels of a shape. */
export function timesOf(shape) {
  return { times: shape[0], channels: shape.slice(1).reduce((a, b) => a * b, 1) };
}

/**
 * Charts of several series over each other.
 * @param {any} state of the model
 * @param {{values: ArrayLike<number>, kind: string}[]} series the kind is a class of the style: "", "made" or "seen"
 * @param {{name: string, hidden?: number[], error?: boolean, small?: boolean}} options
 * @returns {HTMLElement}
 */
export function charts(state, series, options) {
  const { channels } = timesOf(state.shape);
  const shownChannels = Math.min(channels, options.small ? 2 : MOST);
  const box = make("div");
  for (let channel = 0; channel < shownChannels; channel++) {
    box.append(chart(state, series, channel, { ...options, name: channels > 1 ? `${options.name}, ${channelName(state, channel)}` : options.name }));
  }
  if (channels > shownChannels && !options.small) box.append(make("p", { className: "soft small" }, `The first ${shownChannels} of ${channels} channels.`));
  return box;
}

/** The name of a channel. */
export const channelName = (state, channel) => state.channels?.[channel] ?? `channel ${channel}`;

function chart(state, series, channel, options) {
  const { times, channels } = timesOf(state.shape);
  const column = (values) => Array.from({ length: times }, (_, time) => values[time * channels + channel]);
  const columns = series.map((each) => column(each.values));
  const [low, high] = extent(columns.flat());
  const span = (high - low) || 1;
  const x = (time) => (times > 1 ? (time / (times - 1)) * WIDTH : WIDTH / 2);
  const y = (value) => HEIGHT - 6 - ((value - low) / span) * (HEIGHT - 12);
  const drawing = svg("svg", { class: "lines", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": options.name, preserveAspectRatio: "none" });
  for (const cell of options.hidden ?? []) {
    const width = WIDTH / state.grid[1];
    drawing.append(svg("rect", { class: "hidden", x: cell * width, width, y: 0, height: HEIGHT }));
  }
  drawing.append(svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }));
  if (options.error && columns.length > 1) drawing.append(between(columns[0], columns.at(-1), x, y));
  series.forEach((each, i) => strokes(columns[i], x, y).forEach((points) => drawing.append(svg("polyline", { class: each.kind, points }))));
  const label = !options.small && channels > 1 ? [make("p", { className: "soft small" }, channelName(state, channel))] : [];
  return make("div", {}, ...label, drawing);
}

/** The pieces of a line without its missing values. */
function strokes(values, x, y) {
  const pieces = [[]];
  values.forEach((value, time) => (Number.isNaN(value) ? pieces.push([]) : pieces.at(-1).push(`${x(time).toFixed(1)},${y(value).toFixed(1)}`)));
  return pieces.filter((piece) => piece.length).map((piece) => (piece.length > 1 ? piece : [piece[0], piece[0]]).join(" "));
}

/** The area between two lines. */
function between(one, other, x, y) {
  const there = one.map((value, time) => [time, value, other[time]]).filter((each) => !each.some(Number.isNaN));
  const points = [...there.map(([t, a]) => [x(t), y(a)]), ...there.reverse().map(([t, , b]) => [x(t), y(b)])];
  return svg("polygon", { class: "error", points: points.map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" ") });
}

/** What the lines mean. @param {[string, string][]} entries class and text */
export function key(entries) {
  return make("ul", { className: "key" }, ...entries.map(([kind, text]) => make("li", {}, make("i", { className: kind }), text)));
}
