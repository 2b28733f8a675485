// Noise and hidden parts, and what the model makes of them.

import { isDark } from "./colors.js";
import { $, announce, extent, latest, make, percent } from "./dom.js";
import { drawImage, imageCanvas, layout } from "./images.js";
import { comparison, errorText, valuesOf } from "./show.js";

export class Restore {
  /** @param {any} page see main.js */
  constructor(page) {
    this.page = page;
    this.cursor = 0;
    this.restore = latest(() => this.#restore());
    $("noise").addEventListener("input", () => {
      this.page.update({ noise: Number($("noise").value) });
      $("noise-value").textContent = percent(this.page.view.noise);
      this.restore();
    });
    $("noise").addEventListener("change", () => this.page.update({}, { push: true, of: "noise" }));
  }

  /** Takes up the example of the analysis. */
  async show() {
    const { state, view, analysis } = this.page;
    const possible = Boolean(analysis) && state.can_disturb;
    $("restore-controls").hidden = !possible;
    $("restored").hidden = !possible;
    $("restored-note").textContent = "";
    $("restore-note").textContent = this.#intro();
    if (!possible) return;
    $("noise").value = String(view.noise);
    $("noise-value").textContent = percent(view.noise);
    this.#presets();
    this.#surface();
    await this.restore();
  }

  #intro() {
    const { state, analysis } = this.page;
    if (!analysis) return "Give an example first.";
    if (state.drawn === "volume") return "Parts of examples of this shape cannot be hidden here.";
    if (!state.can_disturb) return "Noise needs held-out examples, to know the spread of the values, and the model has none here.";
    const how = { image: "brush over the image to hide parts of it", lines: "brush over the line to hide parts of it", table: "hide columns" }[state.drawn];
    return `Add noise or ${how}, and see how the model restores the example.`;
  }

  #presets() {
    const { state } = this.page;
    const [rows, across] = state.grid;
    const cells = (wanted) => Array.from({ length: rows * across }, (_, i) => i).filter((i) => wanted(Math.floor(i / across), i % across));
    const middle = (place, size) => place >= size / 4 && place < (3 * size) / 4;
    const choices = {
      image: { "Left half": (y, x) => x < across / 2, "Top half": (y) => y < rows / 2, Middle: (y, x) => middle(y, rows) && middle(x, across) },
      lines: { Middle: (y, x) => middle(x, across), End: (y, x) => x >= (2 * across) / 3 },
      table: {},
    }[state.drawn];
    const buttons = Object.entries(choices).map(([text, wanted]) => this.#preset(text, () => cells(wanted)));
    $("presets").replaceChildren("Hide", ...buttons, this.#preset("Nothing", () => []));
  }

  #preset(text, hidden) {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => this.#hide(hidden(), true));
    return button;
  }

  #hide(hidden, push) {
    this.page.update({ hidden }, { push });
    this.#mark();
    this.restore();
  }

  #surface() {
    const { state } = this.page;
    if (state.drawn === "table") return this.#checks();
    const canvas = imageCanvas("");
    canvas.tabIndex = 0;
    canvas.classList.add("brush");
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Hide parts: arrow keys move, the space bar hides or shows the part");
    canvas.id = "brush";
    canvas.addEventListener("pointerdown", (event) => this.#brush(event, true));
    canvas.addEventListener("pointermove", (event) => event.buttons && this.#brush(event, false));
    canvas.addEventListener("pointerup", () => this.page.update({}, { push: true }));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => this.#mark());
    canvas.addEventListener("blur", () => this.#mark());
    this.canvas = canvas;
    const hint = make("p", { className: "soft small" }, "Brush here. Brushing from a hidden part shows parts again.");
    $("hide").replaceChildren(canvas, hint);
    return this.#mark();
  }

  /** Draws the example, with hidden cells hatched and the cell of the keyboard framed. */
  #mark() {
    const { state, view, analysis } = this.page;
    if (state.drawn === "table") {
      for (const box of $("hide").querySelectorAll("input")) box.checked = view.hidden.includes(Number(box.value));
      return;
    }
    const values = valuesOf(analysis.content);
    const [rows, across] = state.grid;
    const picture = document.createElement("canvas");
    if (state.drawn === "image") drawImage(picture, state, values);
    const place = state.drawn === "image" ? layout(state.shape, "image") : { width: 4, height: 1 };
    this.canvas.width = 448;
    this.canvas.height = Math.round((448 * place.height) / place.width);
    const pen = this.canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    if (state.drawn === "image") pen.drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
    else this.#line(pen, values);
    const [width, height] = [this.canvas.width / across, this.canvas.height / rows];
    for (const cell of view.hidden) {
      pen.fillStyle = "rgb(240 150 80 / .75)";
      pen.fillRect((cell % across) * width, Math.floor(cell / across) * height, width, height);
    }
    if (document.activeElement === this.canvas) {
      pen.strokeStyle = "#5cc3cd";
      pen.lineWidth = 4;
      pen.strokeRect((this.cursor % across) * width + 2, Math.floor(this.cursor / across) * height + 2, width - 4, height - 4);
    }
  }

  #line(pen, values) {
    const { shape } = this.page.state;
    const [times, channels] = [shape[0], shape.slice(1).reduce((a, b) => a * b, 1)];
    pen.fillStyle = getComputedStyle(document.body).backgroundColor;
    pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    for (let channel = 0; channel < Math.min(channels, 8); channel++) {
      const line = Array.from({ length: times }, (_, time) => values[time * channels + channel]);
      const [low, high] = extent(line);
      pen.beginPath();
      line.forEach((value, time) => pen.lineTo((time / (times - 1)) * this.canvas.width, this.canvas.height * (0.95 - (0.9 * (value - low)) / (high - low || 1))));
      pen.strokeStyle = `hsl(${channel * 90 + 190} 55% ${isDark() ? 70 : 35}%)`;
      pen.lineWidth = 2;
      pen.stroke();
    }
  }

  #brush(event, first) {
    const [rows, across] = this.page.state.grid;
    const box = this.canvas.getBoundingClientRect();
    const at = (part, size, count) => Math.max(0, Math.min(count - 1, Math.floor((part / size) * count)));
    const cell = at(event.offsetY, box.height, rows) * across + at(event.offsetX, box.width, across);
    const hidden = new Set(this.page.view.hidden);
    if (first) {
      this.canvas.setPointerCapture(event.pointerId);
      this.hiding = !hidden.has(cell);
    }
    if (hidden.has(cell) === this.hiding) return;
    if (this.hiding) hidden.add(cell);
    else hidden.delete(cell);
    this.#hide([...hidden], false);
  }

  #key(event) {
    const [rows, across] = this.page.state.grid;
    const [x, y] = [this.cursor % across, Math.floor(this.cursor / across)];
    const moves = { ArrowLeft: [x - 1, y], ArrowRight: [x + 1, y], ArrowUp: [x, y - 1], ArrowDown: [x, y + 1] };
    if (moves[event.key]) {
      const [nx, ny] = moves[event.key];
      if (nx >= 0 && ny >= 0 && nx < across && ny < rows) this.cursor = ny * across + nx;
      announce(`row ${Math.floor(this.cursor / across) + 1}, column ${(this.cursor % across) + 1}, ${this.page.view.hidden.includes(this.cursor) ? "hidden" : "visible"}`);
      this.#mark();
    } else if (event.key === " " || event.key === "Enter") {
      const hidden = new Set(this.page.view.hidden);
      announce(hidden.has(this.cursor) ? "visible" : "hidden");
      if (!hidden.delete(this.cursor)) hidden.add(this.cursor);
      this.#hide([...hidden], true);
    } else return;
    event.preventDefault();
  }

  #checks() {
    const { state } = this.page;
    const boxes = state.columns.map((column, i) => {
      const box = make("input", { type: "checkbox", value: String(i) });
      box.addEventListener("change", () => this.#hide([...$("hide").querySelectorAll("input:checked")].map((each) => Number(each.value)), true));
      return make("label", {}, box, make("span", {}, column.name));
    });
    $("hide").replaceChildren(make("fieldset", {}, make("legend", { className: "soft small" }, "Hide columns"), make("div", { className: "checks" }, ...boxes)));
    this.#mark();
  }

  async #restore() {
    const { view, state, analysis, model } = this.page;
    if (!analysis) return;
    const { noise, hidden } = view;
    const count = state.grid[0] * state.grid[1];
    const asked = { example: this.page.reference(), y: analysis.y, noise, hidden: hidden.filter((cell) => cell < count) };
    const found = await this.page.ask("analyze", asked);
    if (this.page.model !== model || this.page.analysis !== analysis) return;
    $("restored").replaceChildren(comparison(state, { ...found, attributions: null }, { original: "Original", made: "Restored", hidden: asked.hidden }));
    $("restored-note").textContent = this.#summary(found);
  }

  #summary(found) {
    const { state } = this.page;
    if (!found.seen) return "";
    const [before, after] = [errorText(state, found.content, found.seen), errorText(state, found.content, found.reconstruction)];
    const errors = state.drawn === "table" ? (after ? `Restored: ${after}.` : "") : `Mean absolute error: ${before} before, ${after} after.`;
    return [...found.notes, errors].join(" ");
  }
}

