// Draws the widget of isthmus.widgets.explore: sliders on one side, the picked and the decoded example on the other.
// A code is sent when the one before was decoded, so that fast sliding leaves no queue.

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in node && key !== "list") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

const bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const floats = (view) => new Float32Array(bytes(view).slice().buffer); // a copy begins at a multiple of four

function imageFigure(drawing, caption) {
  const { width, height, channels } = drawing;
  const canvas = element("canvas", { width, height, className: "pixels", role: "img" });
  canvas.setAttribute("aria-label", `${caption}, an image of ${height} x ${width} pixels`);
  const context = canvas.getContext("2d");
  const draw = (view) => {
    const from = bytes(view), image = context.createImageData(width, height);
    for (let pixel = 0; pixel < width * height; pixel++) {
      for (let color = 0; color < 3; color++) image.data[4 * pixel + color] = from[channels * pixel + (channels === 3 ? color : 0)];
      image.data[4 * pixel + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  };
  return [element("figure", {}, canvas, element("figcaption", {}, caption)), draw];
}

function seriesFigure(drawing, caption) {
  const { steps, channels, ranges } = drawing;
  const width = 720, band = Math.max(60, Math.min(180, 720 / channels)), height = Math.ceil(band * channels); // sharp on any screen
  const canvas = element("canvas", { width, height, role: "img" });
  canvas.setAttribute("aria-label", `${caption}, ${channels} curves of ${steps} steps`);
  const context = canvas.getContext("2d");
  const draw = (view) => {
    const values = floats(view);
    context.clearRect(0, 0, width, height);
    context.strokeStyle = getComputedStyle(canvas).color;
    context.lineWidth = 3;
    for (let channel = 0; channel < channels; channel++) {
      const [low, high] = ranges[channel], spread = high > low ? high - low : 1;
      context.beginPath();
      for (let step = 0; step < steps; step++) {
        const value = values[channels * step + channel];
        const x = ((step + 0.5) / steps) * width, y = band * (channel + 0.9 - (0.8 * (value - low)) / spread);
        context[step ? "lineTo" : "moveTo"](x, y);
      }
      context.stroke();
    }
  };
  return [element("figure", {}, canvas, element("figcaption", {}, caption)), draw];
}

function tableFigure(drawing) {
  const rows = drawing.names.map((name) => {
    const cells = [0, 1].map(() => {
      const meter = element("meter", { min: 0, max: 1 }), text = element("span");
      return { cell: element("td", {}, meter, " ", text), meter, text, name };
    });
    return { row: element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((each) => each.cell)), cells };
  });
  const head = element("tr", {}, ...["column", "example", "decoded"].map((name) => element("th", { scope: "col" }, name)));
  const more = drawing.more ? [element("caption", {}, `and ${drawing.more} more columns`)] : [];
  const table = element("table", {}, ...more, element("thead", {}, head), element("tbody", {}, ...rows.map((each) => each.row)));
  const draws = [0, 1].map((side) => (view, texts) => {
    const fractions = floats(view);
    rows.forEach(({ cells }, place) => {
      const { meter, text, name } = cells[side];
      meter.hidden = Number.isNaN(fractions[place]);
      if (!meter.hidden) meter.value = fractions[place];
      meter.setAttribute("aria-label", `${name}, share of the range`);
      text.textContent = texts[place] === "" ? "missing" : texts[place];
    });
  });
  return [[table], draws];
}

function figures(drawing) {
  if (drawing.kind === "table") return tableFigure(drawing);
  const make = drawing.kind === "image" ? imageFigure : seriesFigure;
  const pairs = ["example", "decoded"].map((caption) => make(drawing, caption));
  return [pairs.map((pair) => pair[0]), pairs.map((pair) => pair[1])];
}

function sliders(model, send) {
  const shown = model.get("units").map(({ unit, low, high }, rank) => {
    const input = element("input", { type: "range" }), output = element("output");
    input.addEventListener("input", () => {
      output.textContent = Number(input.value).toPrecision(3);
      send(unit, Number(input.value));
    });
    const label = element("label", { title: `rank ${rank + 1} by variance` }, `dimension ${unit}`, input, output);
    return { unit, low, high, input, output, label };
  });
  const place = () => {
    const code = model.get("code");
    for (const { unit, low, high, input, output } of shown) {
      const least = Math.min(low, code[unit]), largest = Math.max(high, code[unit]); // an example may be outside of the range
      Object.assign(input, { min: least, max: largest, step: "any", value: code[unit] });
      output.textContent = Number(code[unit]).toPrecision(3);
    }
  };
  return [shown.map((each) => each.label), place];
}

function picker(model) {
  const last = model.get("n_examples") - 1;
  const input = element("input", { type: "number", min: 0, max: last, value: model.get("example") });
  const pick = (row) => {
    if (!Number.isInteger(row)) return;
    model.set("example", Math.min(Math.max(row, 0), last));
    model.save_changes();
  };
  input.addEventListener("change", () => pick(input.valueAsNumber));
  const button = (text, row) => {
    const made = element("button", { type: "button" }, text);
    made.addEventListener("click", () => pick(row()));
    return made;
  };
  const follow = () => (input.value = model.get("example"));
  const buttons = [button("Previous", () => model.get("example") - 1), button("Next", () => model.get("example") + 1)];
  return [element("div", { className: "pick" }, element("label", {}, "Example ", input), ...buttons), follow];
}

function render({ model, el }) {
  let code = null, waiting = false, next = false;
  const flush = () => {
    if (waiting || !next) return;
    [waiting, next] = [true, false];
    model.set("code", code);
    model.save_changes();
  };
  const send = (unit, value) => {
    code = [...(code ?? model.get("code"))];
    code[unit] = value;
    next = true;
    flush();
  };
  const [labels, place] = sliders(model, send);
  const [pick, follow] = picker(model);
  const [drawn, [drawOriginal, drawDecoded]] = figures(model.get("drawing"));
  const original = () => drawOriginal(model.get("original"), model.get("original_texts"));
  const decoded = () => drawDecoded(model.get("decoded"), model.get("texts"));
  const back = element("button", { type: "button" }, "Back to the example");
  back.addEventListener("click", () => {
    [code, next] = [[...model.get("own_code")], true];
    flush();
  });
  const note = model.get("note") ? [element("p", { className: "note" }, model.get("note"))] : [];
  pick.append(back);
  el.append(
    element("div", { className: "isthmus-explore" },
      element("div", { role: "group", ariaLabel: "Dimensions of the code" }, pick, ...labels),
      element("div", { className: "drawn" }, ...drawn),
      ...note));
  const answer = () => {
    waiting = false;
    decoded();
    if (!next) [code] = [null, place()];
    flush();
  };
  const picked = () => {
    original();
    follow();
    if (!next) place();
  };
  const listeners = { "change:answered": answer };
  for (const name of ["original", "original_texts", "example"]) listeners[`change:${name}`] = picked;
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  original();
  decoded();
  place();
  return () => Object.entries(listeners).forEach(([event, listener]) => model.off(event, listener));
}

export default { render };
