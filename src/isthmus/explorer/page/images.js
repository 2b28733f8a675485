// Images as canvases, at their own size; the style makes them crisp and large.

import { isDark } from "./colors.js";
import { extent, make } from "./dom.js";

/** Height, width and channels of the canvas of a shape; slices of a volume and odd channels are beside each other. */
export function layout(shape, drawn) {
  if (drawn === "image") return { height: shape[0], width: shape[1], channels: shape[2] ?? 1, across: 1, tiles: 1 };
  const [height, width] = shape.length > 3 ? shape.slice(-3, -1) : shape.slice(0, 2);
  const last = shape.length > 3 ? shape.at(-1) : 1;
  const tiles = shape.length > 3 ? shape.slice(0, -3).reduce((a, b) => a * b, 1) : shape.at(-1);
  return { height, width, channels: last, across: Math.ceil(Math.sqrt(tiles)), tiles, interleaved: shape.length === 3 };
}

/** The value at a pixel of a tile. */
function index(place, tile, y, x, channel) {
  const { height, width, channels, tiles, interleaved } = place;
  if (interleaved) return (y * width + x) * tiles + tile;
  return ((tile * height + y) * width + x) * channels + Math.min(channel, channels - 1);
}

/**
 * Draws values on a canvas.
 * @param {HTMLCanvasElement} canvas
 * @param {number[]} shape
 * @param {string} drawn
 * @param {(at: number) => number} shade the brightness from 0 to 255 of the value at an index; or `paint`
 * @param {((at: number) => number[])} [paint] the color of the value
 */
function paintPixels(canvas, shape, drawn, shade, paint) {
  const place = layout(shape, drawn);
  const { height, width, across, tiles, channels } = place;
  canvas.width = width * across;
  canvas.height = height * Math.ceil(tiles / across);
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(canvas.width, canvas.height);
  for (let tile = 0; tile < tiles; tile++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const down = Math.floor(tile / across) * height + y;
        const to = 4 * (down * canvas.width + (tile % across) * width + x);
        const rgb = paint ? paint(index(place, tile, y, x, 0)) : [0, 1, 2].map((c) => shade(index(place, tile, y, x, c)));
        pixels.data.set(rgb, to);
        pixels.data[to + 3] = channels === 4 && !paint ? shade(index(place, tile, y, x, 3)) : 255;
      }
    }
  }
  pen.putImageData(pixels, 0, 0);
}

/** The lowest and highest value for drawing. */
export function limitsOf(state, values) {
  return state.limits ?? extent(values);
}

/** Draws an example. */
export function drawImage(canvas, state, values) {
  const [low, high] = limitsOf(state, values);
  const factor = 255 / (high - low || 1);
  paintPixels(canvas, state.shape, state.drawn, (at) => (Number.isNaN(values[at]) ? 128 : (values[at] - low) * factor));
}

/** Draws what a reconstruction has too much of, in orange, and too little of, in blue. */
export function drawError(canvas, state, original, made) {
  const [low, high] = limitsOf(state, original);
  const factor = 1.6 / (high - low || 1);
  const { channels } = layout(state.shape, state.drawn);
  const colors = channels === 4 ? 3 : channels;
  drawSigned(canvas, state, (at) => {
    const first = at - (at % channels);
    let sum = 0;
    for (let c = 0; c < colors; c++) sum += (made[first + c] - original[first + c]) || 0;
    return (sum / colors) * factor;
  });
}

/** Draws signed shares from -1 to 1: orange above zero, blue below. @param {(at: number) => number} share */
export function drawSigned(canvas, state, share) {
  const zero = isDark() ? [21, 25, 29] : [255, 255, 255];
  const [more, less] = isDark() ? [[255, 170, 90], [90, 170, 255]] : [[193, 87, 10], [20, 90, 170]];
  paintPixels(canvas, state.shape, state.drawn, null, (at) => {
    const signed = Math.max(-1, Math.min(1, share(at)));
    const end = signed > 0 ? more : less;
    return zero.map((value, i) => value + (end[i] - value) * Math.abs(signed));
  });
}

/** A canvas with a name for screen readers. */
export function imageCanvas(name) {
  return make("canvas", { className: "image", role: "img", "aria-label": name });
}
