// Elements, numbers and messages. Text from data is only ever put in as text.

/** The element of an id. @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

/**
 * A new element. Properties are set on it, those with a dash as attributes.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node|string)} children
 * @returns {any}
 */
export function make(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** A new element of SVG; all of its properties are attributes. @returns {SVGElement} */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

let lastStatus = 0;
let lost = false; // whether the error is that the server does not answer

/** Tells a screen reader. @param {string} text */
export function announce(text) {
  clearTimeout(lastStatus);
  lastStatus = setTimeout(() => { $("status").textContent = text; }, 150);
}

/** Shows an error, one sentence, until it is closed or something works. @param {unknown} error */
export function complain(error) {
  if (error?.name === "AbortError") return;
  const text = error?.name === "Problem" ? error.message : `The page has an error: ${error?.message ?? error}. Reload it.`;
  if (error?.name !== "Problem") console.error(error);
  lost = Boolean(error?.lost);
  $("alert").hidden = false;
  $("alert-text").textContent = text.charAt(0).toUpperCase() + text.slice(1);
}

/** Takes the error away. */
export function settle() {
  lost = false;
  $("alert").hidden = true;
}

/** Takes the error away that the server does not answer, since it does. */
export function recovered() {
  if (lost) settle();
}

/** An event handler whose errors are shown. */
export const safely = (action) => async (event) => {
  try {
    await action(event);
  } catch (error) {
    complain(error);
  }
};

/**
 * A function of which one call runs at a time; while it runs, the latest further call waits, and those before it are dropped.
 * @param {(...args: any[]) => Promise<void>} action
 */
export function latest(action) {
  let running = false;
  let waiting = null;
  return async function call(...args) {
    if (running) {
      waiting = args;
      return;
    }
    running = true;
    try {
      await action(...args);
    } catch (error) {
      complain(error);
    } finally {
      running = false;
    }
    if (waiting) {
      const next = waiting;
      waiting = null;
      await call(...next);
    }
  };
}

/** A number in four digits. @param {number|null} value */
export function digits(value, count = 4) {
  if (value === null || Number.isNaN(value)) return "missing";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return value.toLocaleString("en-US");
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(count - 2);
  return Number(value.toPrecision(count)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}

/** The lowest and the highest of many values; missing ones do not count. @param {Iterable<number>} values */
export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** A value of a table. */
export const shown = (value) => (value === null ? "missing" : typeof value === "number" ? digits(value, 5) : String(value));

/** A share as per cent. */
export const percent = (share) => `${Math.round(share * 100)}%`;

/** A horizontal bar. @param {number} share from 0 to 1 */
export function bar(share, kind = "") {
  const width = Math.max(0, Math.min(1, share)) * 100;
  return svg("svg", { class: `bar ${kind}`, viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width, height: 10, rx: 1 }));
}
