// Image files as examples: decoded, cut to the middle, resized, gray, and inverted where the model's examples are dark.

import { Problem } from "./api.js";
import { limitsOf } from "./images.js";

/**
 * An image file as the values of an example, and what was done to it.
 * @param {File} file
 * @param {any} state of the model
 * @param {boolean|null} inverted null: as the border of an example suggests
 * @param {Float32Array|null} like an example, for its border
 * @returns {Promise<{values: Float64Array, notes: string[], inverted: boolean}>}
 */
export async function readImage(file, state, inverted, like) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) throw new Problem(`“${file.name}” cannot be read as an image: give a PNG, JPEG, WebP, GIF or BMP file.`);
  const [height, width] = state.shape;
  const channels = state.shape[2] ?? 1;
  const canvas = new OffscreenCanvas(width, height);
  const notes = [];
  const pixels = resized(canvas, bitmap, notes, channels === 4);
  const colored = isColored(pixels);
  const shares = channels === 1 ? grays(pixels) : colors(pixels, channels);
  if (channels === 1 && colored) notes.push("made gray");
  const swap = inverted ?? (like !== null && seemsInverted(shares, like, state));
  if (swap) notes.push(inverted === null ? "light and dark swapped, as examples of the model have a dark border and this image a light one" : "light and dark swapped");
  const [low, high] = state.limits ?? limitsOf(state, like ?? [0, 1]);
  const whole = /int/.test(state.dtype);
  const values = Float64Array.from(shares, (share, i) => {
    const value = low + (swap && (channels !== 4 || i % 4 !== 3) ? 1 - share : share) * (high - low);
    return whole ? Math.round(value) : value;
  });
  return { values, inverted: swap, notes: [`${file.name}: ${notes.length ? notes.join("; ") : "taken as it is"}.`] };
}

/** The pixels of the middle of an image at the size of the canvas. */
function resized(canvas, bitmap, notes, transparent) {
  const { width, height } = canvas;
  const factor = Math.max(width / bitmap.width, height / bitmap.height);
  const [across, down] = [width / factor, height / factor];
  if (across < bitmap.width - 1 || down < bitmap.height - 1) notes.push("cut to its middle");
  if (bitmap.width !== width || bitmap.height !== height) notes.push(`resized from ${bitmap.width} × ${bitmap.height} to ${width} × ${height} pixels`);
  let source = bitmap;
  let [x, y, w, h] = [(bitmap.width - across) / 2, (bitmap.height - down) / 2, across, down];
  while (w > 2 * width) { // halved step by step, since one large step skips pixels
    const half = new OffscreenCanvas(Math.ceil(w / 2), Math.ceil(h / 2));
    half.getContext("2d").drawImage(source, x, y, w, h, 0, 0, half.width, half.height);
    [source, x, y, w, h] = [half, 0, 0, half.width, half.height];
  }
  const pen = canvas.getContext("2d");
  if (!transparent) {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
  }
  pen.imageSmoothingQuality = "high";
  pen.drawImage(source, x, y, w, h, 0, 0, width, height);
  return pen.getImageData(0, 0, width, height).data;
}

function isColored(pixels) {
  for (let i = 0; i < pixels.length; i += 4) {
    if (Math.abs(pixels[i] - pixels[i + 1]) > 8 || Math.abs(pixels[i] - pixels[i + 2]) > 8) return true;
  }
  return false;
}

function grays(pixels) {
  return Float64Array.from({ length: pixels.length / 4 }, (_, i) => (0.299 * pixels[4 * i] + 0.587 * pixels[4 * i + 1] + 0.114 * pixels[4 * i + 2]) / 255);
}

function colors(pixels, channels) {
  return Float64Array.from({ length: (pixels.length / 4) * channels }, (_, i) => pixels[4 * Math.floor(i / channels) + (i % channels)] / 255);
}

/** Whether an example has a dark border and the image a light one. */
function seemsInverted(shares, like, state) {
  const [low, high] = limitsOf(state, like);
  const dark = median(border(Float64Array.from(like, (value) => (value - low) / (high - low || 1)), state.shape));
  return dark < 0.25 && median(border(shares, state.shape)) > 0.6;
}

function border(values, [height, width, channels = 1]) {
  const found = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (y === 0 || x === 0 || y === height - 1 || x === width - 1) found.push(values[(y * width + x) * channels]);
    }
  }
  return found;
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
