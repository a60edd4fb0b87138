/** What the page asks of the server, and what went wrong, in words. */

/**
 * @typedef {{name: string, value: number, color: string}} ClassInfo
 * @typedef {object} Model
 * @property {string} name
 * @property {"semantic" | "foreground" | "instances"} task
 * @property {number} dimensions
 * @property {ClassInfo[]} classes
 * @property {string[]} probabilities
 * @property {{used: number}} channels
 * @property {string} engine
 * @property {string[]} results
 * @property {{max_bytes: number, max_pixels: number}} limits
 */

/** A refusal: its message is for people. */
export class Refusal extends Error {
  /**
   * @param {string} message
   * @param {number} retryAfter seconds after which to try again; 0 where that does not help
   */
  constructor(message, retryAfter = 0) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

/**
 * One request.
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>} an answer that is none of an error
 */
async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer. Is the command that started it still running?");
  }
  if (answer.ok) return answer;
  if (answer.status === 401) {
    throw new Refusal("The server was started anew: open the address that its command printed.");
  }
  const { detail } = await answer.json().catch(() => ({ detail: `The server answered with status ${answer.status}.` }));
  throw new Refusal(detail, answer.status === 503 ? Number(answer.headers.get("retry-after")) || 1 : 0);
}

/** @returns {Promise<Model>} what the network is */
export async function model() {
  return (await ask("/api/model")).json();
}

/**
 * A prediction.
 * @param {Blob} image
 * @param {string} result what is wanted of it
 * @param {AbortSignal} [signal]
 * @returns {Promise<Blob>}
 */
export async function predict(image, result, signal) {
  const body = new FormData();
  body.append("image", image, "image"); // the name stays here
  return (await ask(`/api/predict?result=${encodeURIComponent(result)}`, { method: "POST", body, signal })).blob();
}
