// The map of codes: hover, zoom, pan, select, with pointer and keyboard.

import { floats } from "./api.js";
import { legend, painter } from "./colors.js";
import { $, announce, complain, make, percent, safely } from "./dom.js";
import { nearest, neighbor } from "./places.js";
import { nameOf, thumbnail } from "./show.js";

const RADIUS = 14; // pixels within which a point is hit
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class CodeMap {
  /** @param {any} page see main.js @param {(index: number) => void} select */
  constructor(page, select) {
    this.page = page;
    this.select = select;
    this.canvas = $("map");
    this.points = new Float32Array();
    this.zoom = 1;
    this.center = [0, 0];
    this.hovered = -1;
    this.about = new Map();
    this.pointers = new Map();
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#recolor());
  }

  /** Shows the map of the model. */
  async open() {
    const { state, view } = this.page;
    this.about.clear();
    $("map-body").hidden = !state.held_out;
    this.points = new Float32Array();
    this.colors = null;
    this.paint = null;
    if (!state.held_out) {
      $("map-note").textContent = state.reason;
      return;
    }
    this.#controls();
    await Promise.all([this.place(view.map), this.color(view.color)]);
  }

  /** Fetches the positions; a map that is being computed is asked for until it is ready. */
  async place(kind) {
    const { state, view, model } = this.page;
    const name = state.maps[kind] ?? kind;
    const found = await this.page.ask("map", { kind });
    if (view.map !== kind || this.page.model !== model) return;
    if (found.state === "failed") {
      $("map-status").textContent = found.reason;
      if (!this.points.length) this.#take(await this.page.ask("map", { kind: "pca" }), "pca");
    } else if (found.state === "computing") {
      const patience = kind === "umap" ? " The first one can take a minute." : "";
      $("map-status").textContent = `${name} is being computed; until it is ready, PCA is shown.${patience}`;
      if (!this.points.length) this.#take(await this.page.ask("map", { kind: "pca" }), "pca");
      setTimeout(safely(() => this.#again(kind, model)), 1000);
    } else {
      $("map-status").textContent = "";
      this.#take(found, kind);
    }
  }

  #take(found, kind) {
    this.points = floats(found.points);
    this.canvas.dataset.map = kind;
    this.#describe(kind);
    this.all();
  }

  async #again(kind, model) {
    if (this.page.view.map !== kind || this.page.model !== model) return;
    try {
      await this.place(kind);
    } catch (error) {
      if (error.lost) setTimeout(safely(() => this.#again(kind, model)), 3000);
      throw error;
    }
  }

  /** Fetches the colors. */
  async color(by) {
    const { state, model } = this.page;
    const known = state.held_out.colors.some((each) => each.by === by);
    const chosen = known ? by : state.held_out.colors[0].by;
    $("map-color").value = chosen;
    const found = await this.page.ask("colors", { by: chosen });
    if ($("map-color").value !== chosen || this.page.model !== model) return;
    if (found.state === "computing") {
      $("legend").replaceChildren(make("p", { className: "soft" }, "The scores are being computed."));
      setTimeout(safely(() => this.page.model === model && $("map-color").value === chosen && this.color(chosen)), 700);
      return;
    }
    this.colors = found.state === "failed" ? { kind: "none", reason: found.reason } : found;
    this.#recolor();
  }

  #recolor() {
    const values = this.colors?.kind === "numbers" ? floats(this.colors.values) : this.colors?.values ?? null;
    this.paint = painter(this.colors, values);
    $("legend").replaceChildren(this.colors ? legend(this.colors) : "");
    this.draw();
  }

  #controls() {
    const { state, view } = this.page;
    const radios = Object.entries(state.maps).map(([kind, name]) => make("label", {},
      make("input", { type: "radio", name: "map-kind", value: kind, checked: kind === view.map }), make("span", {}, name)));
    $("map-kinds").replaceChildren(make("legend", {}, "Map by"), ...radios);
    const titled = ({ by, name }) => make("option", { value: by }, by.startsWith("column:") ? `column ${name}` : name);
    $("map-color").replaceChildren(...state.held_out.colors.map(titled));
  }

  #describe(kind) {
    const { held_out: held, maps, examples } = this.page.state;
    const [first, second] = held.variance;
    const how = kind === "pca"
      ? `Across and up are the two directions in which the codes differ most (${percent(first)} and ${percent(second)} of their variance).`
      : `${maps[kind]} keeps neighbors together; distances between groups have no meaning.`;
    const whose = examples === "held-out" ? ", which the model was not trained on" : "";
    $("map-note").textContent = `${held.note}${whose}. ${how}`;
    this.canvas.setAttribute("aria-label", `Map of the codes of ${held.count} examples by ${maps[kind]}`);
  }

  /** Pixels of a point. */
  #at(i) {
    const { width, height } = this.size;
    const scale = (Math.min(width, height) / 2 - 12) * this.zoom;
    return [width / 2 + (this.points[2 * i] - this.center[0]) * scale, height / 2 - (this.points[2 * i + 1] - this.center[1]) * scale];
  }

  /** Draws the map. */
  draw() {
    const box = this.canvas.getBoundingClientRect();
    const ratio = devicePixelRatio || 1;
    this.size = { width: box.width, height: box.height };
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const count = this.points.length / 2;
    const radius = Math.max(2.2, Math.min(5, 60 / Math.sqrt(count + 1))) * Math.min(2, this.zoom ** 0.3);
    pen.globalAlpha = 0.85;
    for (let i = 0; i < count; i++) {
      pen.fillStyle = this.paint?.(i) ?? "#0b6e78";
      pen.beginPath();
      pen.arc(...this.#at(i), radius, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
    const style = getComputedStyle(document.body);
    const chosen = this.page.view.example?.held_out;
    if (this.page.view.tab === "walk" && this.page.view.to !== null) this.#ring(pen, this.page.view.to, radius + 4, style.color, true);
    if (chosen !== undefined) this.#ring(pen, chosen, radius + 4, style.color);
    if (this.hovered >= 0) this.#ring(pen, this.hovered, radius + 2, style.color);
  }

  #ring(pen, i, radius, color, dashed = false) {
    if (2 * i + 1 >= this.points.length) return;
    pen.beginPath();
    pen.arc(...this.#at(i), radius, 0, 7);
    pen.strokeStyle = color;
    pen.lineWidth = 2.5;
    pen.setLineDash(dashed ? [3, 3] : []);
    pen.stroke();
  }

  /** Shows the whole map. */
  all() {
    this.zoom = 1;
    this.center = [0, 0];
    this.#zoomed();
  }

  /** Zooms about a place on the canvas. */
  zoomBy(factor, place = [this.size.width / 2, this.size.height / 2]) {
    const before = this.#back(place);
    this.zoom = Math.max(1, Math.min(60, this.zoom * factor));
    const after = this.#back(place);
    this.center = this.center.map((each, i) => each + before[i] - after[i]);
    if (this.zoom === 1) this.center = [0, 0];
    this.#zoomed();
  }

  #zoomed() {
    this.canvas.classList.toggle("zoomed", this.zoom > 1);
    this.canvas.dataset.zoom = this.zoom.toFixed(2);
    this.draw();
  }

  /** The place on the map of pixels. */
  #back([x, y]) {
    const { width, height } = this.size;
    const scale = (Math.min(width, height) / 2 - 12) * this.zoom;
    return [this.center[0] + (x - width / 2) / scale, this.center[1] - (y - height / 2) / scale];
  }

  /** The nearest point to pixels, or -1. */
  hit(place, within = RADIUS) {
    return nearest(this.points.length / 2, (i) => this.#at(i), place, within);
  }

  /** Shows the example of a point beside it. */
  async hover(i, spoken = false) {
    if (i === this.hovered) return;
    this.hovered = i;
    this.draw();
    $("map-tip").hidden = true;
    if (i < 0) return;
    const { model, state } = this.page;
    if (!this.about.has(i)) this.about.set(i, this.page.ask("held_out", { index: i }));
    const about = await this.about.get(i).catch((error) => {
      this.about.delete(i);
      throw error;
    });
    if (this.hovered !== i || this.page.model !== model) return;
    const name = nameOf(about);
    $("map-tip").replaceChildren(thumbnail(state, about.content, name), make("div", {}, name));
    this.#tipAt(i);
    if (spoken) announce(name);
  }

  #tipAt(i) {
    const tip = $("map-tip");
    tip.hidden = false;
    const [x, y] = this.#at(i);
    const left = x + 14 + tip.offsetWidth > this.size.width ? x - 14 - tip.offsetWidth : x + 14;
    tip.style.left = `${Math.max(0, Math.min(left, this.size.width - tip.offsetWidth))}px`;
    tip.style.top = `${Math.max(0, Math.min(y - 10, this.size.height - tip.offsetHeight))}px`;
  }

  #listen() {
    const place = (event) => [event.offsetX, event.offsetY];
    this.canvas.addEventListener("wheel", (event) => {
      if (event.deltaY > 0 && this.zoom === 1) return;
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 400), place(event));
    }, { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
      this.dragged = 0;
    });
    this.canvas.addEventListener("pointermove", (event) => this.#moved(event, place(event)));
    this.canvas.addEventListener("pointerup", (event) => {
      this.pointers.delete(event.pointerId);
      const i = this.dragged < 6 ? this.hit(place(event)) : -1;
      if (i >= 0) this.select(i);
    });
    this.canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    this.canvas.addEventListener("pointerleave", () => this.hover(-1));
    this.canvas.addEventListener("blur", () => this.hover(-1));
    this.canvas.addEventListener("keydown", safely((event) => this.#key(event)));
    $("zoom-in").addEventListener("click", () => this.zoomBy(1.6));
    $("zoom-out").addEventListener("click", () => this.zoomBy(1 / 1.6));
    $("zoom-all").addEventListener("click", () => this.all());
  }

  #moved(event, at) {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.hover(this.hit(at)).catch(complain);
      return;
    }
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, each]) => each);
    const apart = ([x, y]) => Math.hypot(x - others[0][0], y - others[0][1]);
    if (others.length) this.zoomBy(apart(at) / Math.max(apart(before), 1), others[0]);
    const scale = (Math.min(this.size.width, this.size.height) / 2 - 12) * this.zoom;
    this.dragged += Math.hypot(at[0] - before[0], at[1] - before[1]) + (others.length ? 9 : 0);
    if (!others.length && this.zoom > 1) this.center = [this.center[0] - (at[0] - before[0]) / scale, this.center[1] + (at[1] - before[1]) / scale];
    this.pointers.set(event.pointerId, at);
    this.draw();
  }

  async #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = DIRECTIONS[event.key];
    if (step) await this.hover(this.#next(step), true);
    else if (event.key === "Enter" || event.key === " ") { if (this.hovered >= 0) this.select(this.hovered); }
    else if (event.key === "+" || event.key === "=") this.zoomBy(1.6, this.#focus());
    else if (event.key === "-") this.zoomBy(1 / 1.6, this.#focus());
    else if (event.key === "0" || event.key === "Home") this.all();
    else if (event.key === "Escape") await this.hover(-1);
    else return;
    event.preventDefault();
  }

  #focus() {
    return this.hovered >= 0 ? this.#at(this.hovered) : undefined;
  }

  /** The nearest point in a direction from the point in focus. */
  #next(direction) {
    const from = this.hovered >= 0 ? this.hovered : this.page.view.example?.held_out ?? this.hit([this.size.width / 2, this.size.height / 2], Infinity);
    if (this.hovered < 0) return from;
    return neighbor(this.points.length / 2, (i) => this.#at(i), from, direction);
  }
}
