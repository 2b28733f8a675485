// The explorer page: it reads the address, asks the server, and shows what it answers.

import { fromAddress, toAddress } from "./address.js";
import { ask, modelNames, Problem } from "./api.js";
import { $, announce, complain, latest, make, recovered, safely, settle } from "./dom.js";
import { Example } from "./example.js";
import { CodeMap } from "./map.js";
import { Restore } from "./restore.js";
import { Sliders } from "./sliders.js";
import { Walk } from "./walk.js";

const TABS = ["sliders", "restore", "walk"];
const SAME_STEP = 700; // milliseconds
const REST = 150; // milliseconds

/** What all parts of the page share. */
class Page {
  constructor() {
    this.view = fromAddress();
    this.model = "";
    this.version = ""; // of the model: the server says if it was replaced
    this.resting = null; // the address of a slider that moves by keys, and a timer
    this.turn = 0; // counts the analyses that were asked for
    this.state = null;
    this.analysis = null;
    this.map = new CodeMap(this, (index) => this.#select(index));
    this.example = new Example(this);
    this.panels = { sliders: new Sliders(this), restore: new Restore(this), walk: new Walk(this) };
    this.follow = latest(() => this.#follow());
    this.#listen();
  }

  /** Asks something of the model. */
  async ask(what, given = {}) {
    const answer = await ask(this.model, what, this.version ? { ...given, version: this.version } : given);
    recovered();
    return answer;
  }

  /** Does something whose errors are shown. */
  run = (action) => safely(action)();

  /** The example as the server takes it. */
  reference() {
    const { example } = this.view;
    return "held_out" in example ? { held_out: example.held_out } : { content: example.content };
  }

  /**
   * Changes the view; when it is to be pushed, the address too, with a new entry of the history. A slider pushes when it stops; `of` names
   * it, and steps of one slider that follow each other fast, as of a key that is held, are one entry.
   */
  update(changes, { push = false, of = "" } = {}) {
    const same = of !== "" && of === this.pushed?.of && performance.now() - this.pushed.at < SAME_STEP;
    if (push && !same) this.#replaceAddress();
    Object.assign(this.view, changes);
    if (!push) return;
    const address = toAddress(this.view);
    if (same) this.#restAt(address);
    else if (address !== location.hash) history.pushState(null, "", address);
    else return;
    this.pushed = { of, at: performance.now() };
  }

  /** The address follows a slider when it rests: each change makes browsers load the icon again, and some allow only a few. */
  #restAt(address) {
    clearTimeout(this.resting?.timer);
    this.resting = { address, timer: setTimeout(() => this.#replaceAddress(), REST) };
  }

  #replaceAddress() {
    const { address } = this.resting ?? { address: location.hash };
    if (address !== location.hash) history.replaceState(null, "", address);
    this.#forgetRest();
  }

  #forgetRest() {
    clearTimeout(this.resting?.timer);
    this.resting = null;
  }

  redrawMap() {
    this.map.draw();
  }

  /** Shows another example. */
  async give(example, notes = []) {
    this.update({ example, moved: new Map(), y: null }, { push: true });
    this.example.source();
    await this.analyze(notes);
  }

  /** Analyzes the example of the view and shows the result. */
  async analyze(notes = []) {
    const { view, model } = this;
    const turn = ++this.turn;
    if (!view.example) {
      this.analysis = null;
      await this.example.show(notes);
      return this.panel();
    }
    const found = await this.ask("analyze", { example: this.reference(), y: view.y ?? this.example.otherwiseY() });
    if (this.model !== model || this.turn !== turn) return undefined;
    settle();
    this.analysis = found;
    await this.example.show(notes);
    this.redrawMap();
    return this.panel();
  }

  /** Shows the panel that is chosen. */
  async panel() {
    for (const name of TABS) {
      const chosen = name === this.view.tab;
      $(`tab-${name}`).setAttribute("aria-selected", String(chosen));
      $(`tab-${name}`).tabIndex = chosen ? 0 : -1;
      $(`panel-${name}`).hidden = !chosen;
    }
    this.redrawMap();
    await this.panels[this.view.tab].show();
  }

  async #select(index) {
    if (this.panels.walk.picks) return this.panels.walk.to(index);
    return this.run(() => this.give({ held_out: index }));
  }

  /** Takes up the view of the address. */
  async #follow() {
    const [before, address] = [this.view, location.hash];
    this.view = fromAddress();
    if (!TABS.includes(this.view.tab)) this.view.tab = "sliders";
    const names = await modelNames();
    this.trouble = "";
    if (!names.length) return complain(new Problem("The server has no model yet: add one, then reload this page."));
    const name = names.includes(this.view.model) ? this.view.model : names[0];
    if (this.view.model && this.view.model !== name) {
      this.trouble = `There is no model “${this.view.model}”: “${name}” is shown instead.`;
    }
    this.view.model = name;
    this.#chooser(names, name);
    if (name !== this.model || !this.state) await this.#open(name);
    else await this.#changed(before);
    this.#checkExample();
    if (location.hash === address) history.replaceState(null, "", toAddress(this.view));
    await this.analyze();
    if (this.trouble) complain(new Problem(this.trouble));
    return undefined;
  }

  /** Another example where there is none of the number in the address. */
  #checkExample() {
    const { view, state } = this;
    const index = view.example?.held_out;
    const count = state.held_out?.count ?? 0;
    if (index !== undefined && !(index >= 0 && index < count)) {
      this.trouble = count ? `There is no held-out example ${index}: there are ${count.toLocaleString("en-US")}, from 0. Example 0 is shown.` : state.reason;
      view.example = null;
    }
    if (view.to !== null && !(view.to >= 0 && view.to < count)) view.to = null;
    if (!view.example && count) view.example = { held_out: 0 };
  }

  /** What there is none of in the model is left out of the view. */
  #checkView() {
    const { state, view } = this;
    if (!Object.hasOwn(state.maps, view.map)) view.map = "pca";
    const size = state.code_shape.reduce((a, b) => a * b, 1);
    for (const place of view.moved.keys()) if (place >= size) view.moved.delete(place);
  }

  async #changed(before) {
    this.#checkView();
    if (JSON.stringify(before.example) !== JSON.stringify(this.view.example)) this.example.source();
    if (!this.state.held_out) return;
    if (before.map !== this.view.map) {
      document.querySelector(`[name=map-kind][value="${this.view.map}"]`).checked = true;
      await this.map.place(this.view.map);
    }
    if (before.color !== this.view.color) await this.map.color(this.view.color);
  }

  async #open(name) {
    $("lead").textContent = `${name} is being opened.`;
    this.model = name;
    this.analysis = null;
    this.version = "";
    this.state = await this.ask("state");
    this.version = this.state.version;
    this.#checkView();
    this.#head();
    this.panels.sliders.open();
    this.example.open();
    $("main").hidden = false;
    await this.map.open();
  }

  #head() {
    const { state } = this;
    const size = state.code_shape.reduce((a, b) => a * b, 1);
    const sides = state.shape.join(" × ");
    const what = {
      image: `images of ${sides} ${state.shape.length === 2 ? "pixels" : "pixels and channels"}`,
      volume: `examples of ${sides} values`,
      lines: `windows of ${sides} values`,
      table: `rows of ${state.columns.length} columns`,
    }[state.drawn];
    document.title = `${this.model} · isthmus explorer`;
    $("title").textContent = this.model;
    const kind = state.detector ? "An anomaly detector" : "An autoencoder";
    $("lead").textContent = `${kind} of ${what}. It encodes each as a code of ${size.toLocaleString("en-US")} number${size === 1 ? "" : "s"}, and decodes the code into a reconstruction.`;
    const computes = state.platform === "isthmus_onnx" ? "onnxruntime" : "PyTorch";
    $("footer").textContent = `isthmus explorer · model ${state.version}, computed by ${computes} on the server of this page. The address of this page holds the view: send it to somebody who can reach the server.`;
  }

  #chooser(names, chosen) {
    $("model-choice").hidden = names.length < 2;
    $("model").replaceChildren(...names.map((name) => make("option", { value: name, selected: name === chosen }, name)));
  }

  #listen() {
    addEventListener("pagehide", () => this.#replaceAddress());
    addEventListener("popstate", () => {
      this.#forgetRest();
      this.follow();
    });
    $("alert-close").addEventListener("click", settle);
    $("model").addEventListener("change", () => {
      history.pushState(null, "", `#model=${encodeURIComponent($("model").value)}`);
      this.follow();
    });
    $("map-color").addEventListener("change", () => {
      this.update({ color: $("map-color").value }, { push: true });
      this.run(() => this.map.color(this.view.color));
    });
    $("map-kinds").addEventListener("change", (event) => {
      this.update({ map: event.target.value }, { push: true });
      this.run(() => this.map.place(this.view.map));
    });
    TABS.forEach((name, i) => {
      $(`tab-${name}`).addEventListener("click", () => this.#tab(name));
      $(`tab-${name}`).addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const next = TABS[(i + step + TABS.length) % TABS.length];
        $(`tab-${next}`).focus();
        this.#tab(next);
      });
    });
  }

  #tab(name) {
    this.update({ tab: name }, { push: true });
    this.run(() => this.panel());
  }
}

addEventListener("error", (event) => complain(event.error ?? event.message));
addEventListener("unhandledrejection", (event) => complain(event.reason));
const page = new Page();
safely(async () => {
  await page.follow();
  announce("The page is ready.");
  document.documentElement.dataset.ready = "yes";
})();
