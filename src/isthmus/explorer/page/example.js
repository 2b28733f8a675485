// The example that is shown: where it comes from, its reconstruction, and what the model says of it.

import { fits } from "./address.js";
import { $, announce, digits, make, percent, safely } from "./dom.js";
import { Own } from "./own.js";
import { comparison, errorText, nameOf, thumbnail } from "./show.js";

export class Example {
  /** @param {any} page see main.js */
  constructor(page) {
    this.page = page;
    this.own = new Own(page, (example, notes) => page.run(() => page.give(example, notes)));
    const pick = safely((index) => this.#pick(index));
    $("number").addEventListener("change", () => pick(Number($("number").value)));
    $("held-form").addEventListener("submit", (event) => event.preventDefault());
    $("previous").addEventListener("click", () => pick(this.#index() - 1));
    $("next").addEventListener("click", () => pick(this.#index() + 1));
    $("random").addEventListener("click", () => pick(Math.floor(Math.random() * page.state.held_out.count)));
    $("id").addEventListener("change", safely(async () => pick((await page.ask("find", { id: $("id").value })).index)));
    $("sources").addEventListener("change", (event) => this.#source(event.target.value));
    $("y-choice").addEventListener("change", safely(() => this.#chooseY()));
  }

  /** Takes up another model. */
  open() {
    const { state } = this.page;
    $("sources").hidden = !state.held_out;
    $("held-name").textContent = state.examples === "held-out" ? "Held-out" : "Given";
    $("id-choice").hidden = !state.held_out?.has_ids;
    if (state.held_out) $("number").max = String(state.held_out.count - 1);
    this.#yField();
    this.own.open();
    this.source();
  }

  /** Shows the way by which the example of the view was given. An answer that comes late does not: the user may have chosen another way. */
  source() {
    const { state, view } = this.page;
    this.#source(view.example && !("held_out" in view.example) || !state.held_out ? "own" : "held");
  }

  /** Shows the analysis of the page. */
  async show(notes) {
    const { analysis, state, view } = this.page;
    for (const id of ["comparison", "facts", "notes", "neighbors"]) $(id).replaceChildren();
    $("neighbors-box").hidden = true;
    $("verdict").hidden = true;
    if (!analysis) {
      $("example-title").textContent = "Example";
      $("comparison").replaceChildren(make("p", { className: "soft" }, "Give an example, and its reconstruction is shown here."));
      return;
    }
    const held = "held_out" in view.example;
    const name = held ? nameOf(analysis) : view.example.own ?? "your own";
    $("example-title").textContent = `Example: ${held ? name.replace(/^example /, "") : name}`;
    if (held) {
      $("number").value = String(analysis.index);
      $("id").value = analysis.id ?? "";
    }
    this.#showY();
    this.own.show();
    const said = [...notes, ...analysis.notes];
    if (!held && !fits(view.example.content)) said.push("An example of your own is not part of the address of the page.");
    $("notes").replaceChildren(...said.map((text) => make("p", {}, text)));
    $("comparison").replaceChildren(comparison(state, analysis, { original: "Original", made: "Reconstruction" }));
    this.#facts();
    if (analysis.ranking) setTimeout(safely(() => this.#rank(analysis)), 1500);
    this.#neighbors();
    announce(`${name}: reconstruction shown${analysis.anomaly === null ? "" : analysis.anomaly ? ", anomalous" : ", normal"}.`);
  }

  #index() {
    return this.page.analysis?.index ?? 0;
  }

  async #pick(index) {
    const { count } = this.page.state.held_out;
    const inside = ((Math.trunc(index) % count) + count) % count;
    await this.page.give({ held_out: Number.isFinite(inside) ? inside : 0 });
  }

  #source(name) {
    for (const radio of $("sources").querySelectorAll("input")) radio.checked = radio.value === name;
    $("held-form").hidden = name !== "held";
    $("own").hidden = name !== "own";
  }

  /** Asks for the rank of the score again, until the scores of the held-out examples are there. */
  async #rank(analysis) {
    if (this.page.analysis !== analysis) return;
    const { lower, ranking } = await this.page.ask("analyze", { example: this.page.reference(), y: analysis.y });
    if (this.page.analysis !== analysis) return;
    analysis.lower = lower;
    if (ranking) setTimeout(safely(() => this.#rank(analysis)), 3000);
    else this.#facts();
  }

  #facts() {
    const { analysis, state } = this.page;
    const facts = [];
    $("verdict").hidden = analysis.anomaly === null;
    if (analysis.anomaly !== null) {
      const word = make("strong", { className: analysis.anomaly ? "bad" : "" }, analysis.anomaly ? "anomalous" : "normal");
      $("verdict").replaceChildren("Verdict: ", word, `. p-value ${digits(analysis.p_value, 3)}, the share of normal examples that look at least as unusual.`);
    }
    const below = state.detector ? (state.detector.threshold === null ? " There is no threshold." : ` Below ${digits(state.detector.threshold)} it is anomalous.`) : "";
    const rank = analysis.lower === null ? "" : ` It is higher than that of ${percent(analysis.lower)} of the ${state.examples} examples.`;
    facts.push(["Score", `${analysis.score === null ? "not finite" : digits(analysis.score)}; higher is more normal.${rank}${below}`]);
    if (state.detector?.guarantee) facts.push(["Guarantee", state.detector.guarantee]);
    const error = errorText(state, analysis.content, analysis.reconstruction);
    const range = state.limits ? `, in a range of ${digits(state.limits[1] - state.limits[0], 3)}` : "";
    if (error) facts.push([state.drawn === "table" ? "Categories" : "Mean absolute error", state.drawn === "table" ? error : error + range]);
    $("facts").replaceChildren(...facts.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));
  }

  #neighbors() {
    const { analysis, state } = this.page;
    $("neighbors-box").hidden = !analysis.neighbors.length;
    $("neighbors").classList.toggle("texts", state.drawn === "table");
    $("neighbors").replaceChildren(...analysis.neighbors.map((each) => {
      const name = nameOf(each);
      const button = make("button", { type: "button", title: `distance of the codes ${digits(each.distance, 3)}` },
        thumbnail(state, each.content, name), make("div", {}, name));
      button.addEventListener("click", () => this.page.run(() => this.page.give({ held_out: each.index })));
      return make("li", {}, button);
    }));
  }

  #yField() {
    const { y } = this.page.state;
    $("y-choice").hidden = !y;
    if (!y) return;
    const field = y.choices.length
      ? make("select", { id: "y" }, ...y.choices.map((choice) => make("option", { value: JSON.stringify(choice) }, String(choice))))
      : make("input", { id: "y", type: "text", value: y.size > 1 ? Array(y.size).fill(0).join(" ") : "0", autocomplete: "off" });
    $("y-choice").replaceChildren(y.size > 1 ? `y, ${y.size} covariates ` : "y, the label that the model is told ", field);
  }

  #showY() {
    const { analysis, state } = this.page;
    if (!state.y) return;
    $("y").value = state.y.choices.length ? JSON.stringify(analysis.y) : [analysis.y].flat().join(" ");
  }

  /** The y of an example that brings none. */
  otherwiseY() {
    const { state, view } = this.page;
    return state.y && !("held_out" in view.example) ? this.#typedY() : null;
  }

  #typedY() {
    const { y } = this.page.state;
    if (y.choices.length) return JSON.parse($("y").value);
    const numbers = $("y").value.split(/[\s,;]+/).filter(Boolean).map(Number);
    if (y.dtype === "string") return $("y").value;
    return numbers.length === 1 ? numbers[0] : numbers;
  }

  async #chooseY() {
    this.page.update({ y: this.#typedY() }, { push: true });
    await this.page.analyze();
  }
}
