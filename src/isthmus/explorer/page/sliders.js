// Sliders for the dimensions of the code, most important first, which decode while they move.

import { $, announce, bar, digits, latest, make, percent } from "./dom.js";
import { single } from "./show.js";

const FIRST = 8;

export class Sliders {
  /** @param {any} page see main.js */
  constructor(page) {
    this.page = page;
    this.count = FIRST;
    this.decode = latest(() => this.#decode());
    $("sliders-more").addEventListener("click", () => {
      this.count *= 4;
      this.#build();
    });
    $("sliders-reset").addEventListener("click", () => {
      this.page.update({ moved: new Map() }, { push: true });
      this.show();
      announce("The code is that of the example again.");
    });
  }

  /** Takes up another model. */
  open() {
    this.dimensions = null;
    this.count = FIRST;
    $("sliders").replaceChildren();
    $("decoded").replaceChildren();
  }

  /** Shows the code of the analysis, with the dimensions that were moved. */
  async show() {
    const { analysis, state, model } = this.page;
    document.querySelector(".beside").hidden = !analysis;
    if (!analysis) {
      $("sliders-note").textContent = "Give an example first: the sliders start from its code.";
      $("sliders").replaceChildren();
      return;
    }
    if (!this.dimensions || !state.held_out) {
      const found = await this.page.ask("dimensions", { code: analysis.code, y: analysis.y });
      if (this.page.model !== model) return;
      this.dimensions = found.dimensions;
    }
    const size = this.dimensions.length;
    const range = state.held_out ? `over the codes of the ${state.examples} examples` : "within the range that the code of the example suggests";
    $("sliders-note").textContent = size === 1
      ? `The code is one number; the slider moves it ${range}.`
      : `The code is ${size.toLocaleString("en-US")} numbers. Each slider moves one of them ${range}, the most important first: those that change the reconstruction most.`;
    document.querySelector(".beside").classList.toggle("rows", state.drawn !== "image" && state.drawn !== "volume");
    $("decoded-box").tabIndex = state.drawn === "table" ? 0 : -1; // it scrolls
    this.#build();
    await this.decode();
  }

  /** The code of the example with what was moved. */
  code() {
    const { analysis, view } = this.page;
    return analysis.code.map((value, place) => view.moved.get(place) ?? value);
  }

  #build() {
    const code = this.code();
    const shown = this.dimensions.slice(0, this.count);
    for (const place of this.page.view.moved.keys()) {
      const moved = this.dimensions.find((each) => each.place === place);
      if (moved && !shown.includes(moved)) shown.push(moved);
    }
    $("sliders").replaceChildren(...shown.map((each) => this.#slider(each, code[each.place])));
    const more = this.dimensions.length - shown.length;
    $("sliders-more").hidden = more <= 0;
    $("sliders-more").textContent = `More dimensions (${more.toLocaleString("en-US")})`;
  }

  #slider(dimension, value) {
    const { state } = this.page;
    const low = Math.min(dimension.low, value);
    const high = Math.max(dimension.high, value);
    const id = `dimension-${dimension.place}`;
    const step = state.whole_codes ? 1 : Number(((high - low) / 200).toPrecision(2));
    const output = make("output", { for: id }, digits(value, 3));
    const input = make("input", { type: "range", id, min: low, max: high, step, value });
    if (!state.whole_codes) input.step = "any";
    input.addEventListener("keydown", (event) => this.#key(event, input, step));
    input.addEventListener("input", () => this.#move(dimension, input, output));
    input.addEventListener("change", () => this.page.update({}, { push: true, of: id }));
    const importance = bar(dimension.importance, "importance");
    const name = make("span", { className: "code", title: `importance ${percent(dimension.importance)} of the first` }, dimension.name, importance);
    return make("label", { className: "slider" }, name, input, output);
  }

  /** Arrow keys move by a two-hundredth of the range: a slider of any step would take larger ones. */
  #key(event, input, step) {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (!steps || this.page.state.whole_codes) return;
    event.preventDefault();
    input.value = String(Number(input.value) + steps * step);
    input.dispatchEvent(new Event("input"));
    input.dispatchEvent(new Event("change"));
  }

  #move(dimension, input, output) {
    const value = Number(input.value);
    const moved = new Map(this.page.view.moved).set(dimension.place, value);
    output.textContent = digits(value, 3);
    this.page.update({ moved });
    this.decode();
  }

  async #decode() {
    const { analysis, state, model } = this.page;
    if (!analysis) return;
    const from = performance.now();
    const found = await this.page.ask("decode", { code: this.code(), y: analysis.y });
    if (this.page.model !== model || this.page.analysis !== analysis) return;
    $("decoded").replaceChildren(single(state, found.content, "Decoded code", analysis.reconstruction));
    const milliseconds = performance.now() - from;
    const moved = this.page.view.moved.size;
    $("decoded-note").textContent = `${moved ? "The decoded code" : "The reconstruction of the example"}${state.drawn === "image" || !moved ? "" : "; what changed is marked"}.`;
    $("decoded").dataset.milliseconds = milliseconds.toFixed(1);
    $("decoded").dataset.count = String(Number($("decoded").dataset.count ?? 0) + 1);
  }
}
