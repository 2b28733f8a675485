// What the page asks of the server.

/** An error that a user can understand, one sentence. */
export class Problem extends Error {
  name = "Problem";
}

/** The float32 values of base64. @param {string} text @returns {Float32Array} */
export function floats(text) {
  return new Float32Array(Uint8Array.from(atob(text), (each) => each.charCodeAt(0)).buffer);
}

/** float64 values as base64. @param {Float64Array} values @returns {string} */
export function base64(values) {
  const bytes = new Uint8Array(values.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

/** The names of the models. @returns {Promise<string[]>} */
export async function modelNames() {
  return (await answered(() => fetch("explore/models"))).models;
}

/**
 * Asks something of a model.
 * @param {string} model its name
 * @param {string} what the end of the address
 * @param {object} [given]
 * @returns {Promise<any>}
 */
export function ask(model, what, given = {}) {
  return answered(() => fetch(`explore/models/${encodeURIComponent(model)}/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(given),
  }));
}

/** The answer of a request; a `Problem` says what went wrong. @param {() => Promise<Response>} send */
async function answered(send) {
  let response;
  try {
    response = await send();
  } catch {
    throw Object.assign(new Problem("The server does not answer: start it again, then go on here."), { lost: true });
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  throw new Problem(answer?.error ?? `The server answered with status ${response.status}: look at its log.`);
}
