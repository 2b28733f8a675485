// A walk from one example to another, along the straight line between their codes.

import { $, announce, latest, make, percent } from "./dom.js";
import { differs, nameOf, single, thumbnail } from "./show.js";

const STEPS = 9;

export class Walk {
  /** @param {any} page see main.js */
  constructor(page) {
    this.page = page;
    this.decode = latest(() => this.#decode());
    $("walk-to").addEventListener("change", () => this.to(Number($("walk-to").value)));
    $("walk-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.to(Number($("walk-to").value));
    });
    $("walk-random").addEventListener("click", () => this.to(Math.floor(Math.random() * this.page.state.held_out.count)));
    $("walk-at").addEventListener("input", () => this.#move(Number($("walk-at").value)));
    $("walk-at").addEventListener("change", () => this.page.update({}, { push: true, of: "walk" }));
  }

  /** Whether a point of the map becomes the end. */
  get picks() {
    return this.page.view.tab === "walk" && $("walk-pick").checked;
  }

  /** Walks to a held-out example. */
  to(index) {
    const most = this.page.state.held_out.count - 1;
    const to = Math.max(0, Math.min(most, Math.trunc(index) || 0));
    this.page.update({ to }, { push: true });
    this.page.redrawMap();
    return this.page.run(() => this.show());
  }

  /** Shows the walk of the view. */
  async show() {
    const { state, view, analysis, model } = this.page;
    const possible = Boolean(analysis && state.held_out);
    $("walk-form").hidden = !possible;
    $("walk-box").hidden = !possible || view.to === null;
    $("walk-note").textContent = possible
      ? "Choose another example: the codes between the two are decoded, step by step."
      : state.held_out ? "Give an example first." : "A walk ends at a held-out example, and the model has none here.";
    if (!possible || view.to === null) return;
    $("walk-to").max = String(state.held_out.count - 1);
    $("walk-to").value = String(view.to);
    const found = await this.page.ask("walk", { start: this.page.reference(), end: { held_out: view.to }, steps: STEPS, y: analysis.y });
    if (this.page.model !== model || this.page.analysis !== analysis || this.page.view.to !== view.to) return;
    this.ends = found.codes;
    $("walk-strip").classList.toggle("texts", state.drawn === "table");
    $("walked").classList.toggle("rows", state.drawn !== "image" && state.drawn !== "volume");
    const [first, last] = [found.contents[0], found.contents.at(-1)];
    this.columns = state.columns.map((_, i) => i).filter((i) => differs(first[i], last[i])).slice(0, 4);
    $("walk-strip").replaceChildren(...found.contents.map((content, i) => this.#step(content, i / (STEPS - 1))));
    const end = await this.page.ask("held_out", { index: view.to });
    $("walk-note").textContent = `From ${analysis.index === null ? "your example" : nameOf(analysis)} to ${nameOf(end)}: the codes between the two, decoded${state.y ? ` with y = ${analysis.y}` : ""}.`;
    this.#move(view.at, false);
  }

  #step(content, at) {
    const name = `${percent(at)}`;
    const button = make("button", { type: "button" }, thumbnail(this.page.state, content, `Step at ${name}`, this.columns), make("div", {}, name));
    button.dataset.at = String(at);
    button.addEventListener("click", () => {
      this.#move(at);
      this.page.update({}, { push: true });
    });
    return make("li", {}, button);
  }

  #move(at, changed = true) {
    if (changed) this.page.update({ at });
    $("walk-at").value = String(at);
    $("walk-value").textContent = percent(at);
    for (const button of $("walk-strip").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(Math.abs(Number(button.dataset.at) - at) < 0.5 / (STEPS - 1)));
    }
    this.decode();
  }

  async #decode() {
    const { view, analysis, model, state } = this.page;
    if (!this.ends || view.to === null) return;
    const [first, last] = this.ends;
    const code = first.map((value, i) => value + (last[i] - value) * view.at);
    const found = await this.page.ask("decode", { code, y: analysis.y });
    if (this.page.model !== model || this.page.analysis !== analysis) return;
    $("walked").replaceChildren(single(state, found.content, `Decoded at ${percent(view.at)} of the walk`));
    announce(`${percent(view.at)} of the walk`);
  }
}
