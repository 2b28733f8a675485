// Examples of the user's own: an image file, a row, or the values of a series.

import { base64 } from "./api.js";
import { $, make, safely } from "./dom.js";
import { readImage } from "./files.js";
import { valuesOf } from "./show.js";
import { Problem } from "./api.js";

const MOST_FIELDS = 60;

export class Own {
  /** @param {any} page see main.js @param {(example: object, notes: string[]) => void} give */
  constructor(page, give) {
    this.page = page;
    this.give = give;
    for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => this.#anywhere(event));
  }

  /** A file that is dropped beside the box is taken too: the browser would leave the page for it. */
  #anywhere(event) {
    if (!event.dataTransfer?.types.includes("Files") || event.defaultPrevented) return;
    event.preventDefault();
    if (event.type === "drop" && this.page.state?.drawn === "image") this.take(event.dataTransfer.files[0]);
  }

  /** Shows the way to give an example of the model. */
  open() {
    const { state } = this.page;
    const ways = { image: () => this.#image(), lines: () => this.#series(), table: () => this.#row() };
    const way = ways[state.drawn];
    $("own").replaceChildren(...(way ? way() : [make("p", { className: "soft" }, "Examples of this shape cannot be given here: pick a held-out one.")]));
  }

  /** Fills in the fields with the row that is shown. */
  show() {
    const content = this.page.analysis?.content;
    if (this.page.state.drawn !== "table" || !content) return;
    for (const field of $("own").querySelectorAll("[data-column]")) field.value = content[Number(field.dataset.column)] ?? "";
  }

  #image() {
    const { shape } = this.page.state;
    const file = make("input", { type: "file", id: "file", accept: "image/*" });
    const invert = make("input", { type: "checkbox", id: "invert" });
    const text = `An image file. It is read here, made ${shape[1]} × ${shape[0]} pixels${(shape[2] ?? 1) === 1 ? " and gray" : ""}, and sent to this server only.`;
    const drop = make("div", { className: "drop", id: "drop" }, make("label", { for: "file" }, "Drop an image here, or choose a file"), make("div", { className: "row" }, file), make("p", { className: "soft small" }, text));
    const take = this.take = safely(async (chosen) => {
      if (!chosen) return;
      this.chosen = chosen;
      await this.#read(null);
    });
    file.addEventListener("change", () => take(file.files[0]));
    drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      take(event.dataTransfer.files[0]);
    });
    invert.addEventListener("change", safely(() => this.chosen && this.#read(invert.checked)));
    return [drop, make("label", { className: "check" }, invert, " Swap light and dark")];
  }

  async #read(inverted) {
    const { state } = this.page;
    const like = state.held_out ? valuesOf((await this.page.ask("held_out", { index: 0 })).content) : null;
    const read = await readImage(this.chosen, state, inverted, like);
    $("invert").checked = read.inverted;
    this.give({ content: base64(read.values), own: this.chosen.name }, read.notes);
  }

  #series() {
    const { shape } = this.page.state;
    const count = shape.reduce((a, b) => a * b, 1);
    const area = make("textarea", { id: "pasted", spellcheck: false });
    const button = make("button", { type: "button", id: "use-pasted" }, "Use these values");
    button.addEventListener("click", safely(() => {
      const words = area.value.split(/[\s,;]+/).filter(Boolean);
      const values = Float64Array.from(words, (word) => (/^(nan|na|null)$/i.test(word) ? NaN : Number(word)));
      const wrong = words.find((word, i) => Number.isNaN(values[i]) && !/^(nan|na|null)$/i.test(word));
      if (wrong !== undefined) throw new Problem(`“${wrong.slice(0, 40)}” is no number: paste numbers, with points for decimals.`);
      if (values.length !== count) throw new Problem(`There are ${values.length} values, and an example has ${count} (${shape.join(" × ")}): paste as many.`);
      this.give({ content: base64(values), own: "the pasted values" }, []);
    }));
    const text = shape.length > 1 ? `${shape[0]} lines of ${shape.slice(1).join(" × ")} values` : `${count} values`;
    return [make("label", { for: "pasted" }, `Paste ${text}, separated by blanks, commas or line ends`), area, make("div", { className: "row" }, button)];
  }

  #row() {
    const { state } = this.page;
    const area = make("textarea", { id: "pasted", spellcheck: false });
    const button = make("button", { type: "button", id: "use-pasted" }, "Use this row");
    button.addEventListener("click", safely(async () => {
      const found = await this.page.ask("row", { text: area.value });
      this.give({ content: found.content, own: "the pasted row" }, found.notes);
    }));
    const paste = [make("label", { for: "pasted" }, "Paste a row: values separated by commas, semicolons or tabs, if you like after a line with the names of the columns"), area, make("div", { className: "row" }, button)];
    if (state.columns.length > MOST_FIELDS) return paste;
    const fields = make("form", { className: "fields", id: "fields", "aria-label": "The values of the row" }, ...state.columns.map((column, i) => this.#field(column, i)));
    const typed = safely(() => this.#typed());
    fields.addEventListener("change", typed);
    fields.addEventListener("submit", (event) => { event.preventDefault(); typed(); });
    return [make("p", { className: "soft small" }, "Change a value, and the reconstruction follows."), fields, make("details", {}, make("summary", {}, "Paste a row"), ...paste)];
  }

  #field(column, i) {
    const options = column.kind === "boolean" ? ["0", "1"] : column.labels;
    const field = options.length
      ? make("select", {}, make("option", { value: "" }, "missing"), ...options.map((label) => make("option", { value: label }, column.kind === "boolean" ? ["no", "yes"][Number(label)] : label)))
      : make("input", { type: "text", inputMode: column.kind === "date" ? "text" : "decimal", autocomplete: "off", placeholder: column.kind === "date" ? "2026-01-31" : "missing" });
    field.dataset.column = String(i);
    return make("label", {}, column.name, field);
  }

  #typed() {
    const content = Array.from($("fields").querySelectorAll("[data-column]"), (field) => (field.tagName === "SELECT" ? field.value : field.value.trim()) || null);
    const numbers = content.map((value, i) => (["number", "integer", "boolean"].includes(this.page.state.columns[i].kind) && value !== null && !Number.isNaN(Number(value)) ? Number(value) : value));
    this.give({ content: numbers, own: "the typed row" }, []);
  }
}
