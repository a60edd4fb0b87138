/** The server's interface: requests that end in words when they fail, and the stream of states with its reconnect. */

/** @typedef {{id: number, name: string, color: string}} ClassInfo */
/**
 * @typedef {object} ImageInfo
 * @property {string} id
 * @property {string} name
 * @property {number} width
 * @property {number} height
 * @property {number} painted - Share of pixels, 0 to 1.
 * @property {number} labelRevision - Grows with each stroke.
 * @property {number | null} predictionVersion - Of the weights that have predicted all of it; 0 while parts are missing.
 * @property {number | null} predictionNumber - Grows with each prediction, of a large image with each part.
 * @property {number | null} doubt - Mean, 0 to 1.
 */
/**
 * @typedef {object} Training
 * @property {"waiting" | "compiling" | "training" | "paused" | "failed"} state
 * @property {string} detail
 * @property {number} step
 * @property {number} seconds
 * @property {number | null} loss
 * @property {number} version - Of the predictions: 0 while there is none.
 * @property {number | null} agreement - Share of painted pixels that are predicted as painted.
 */
/**
 * @typedef {object} State
 * @property {string} folder
 * @property {number} revision
 * @property {ClassInfo[]} classes
 * @property {ImageInfo[]} images
 * @property {string | null} suggestion
 * @property {Training} training
 */

/** The server answered, and the answer is no. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }

  /** Whether the same request may be answered later. */
  get passing() {
    return this.status >= 500 || [401, 403, 408, 425, 429].includes(this.status);
  }
}

/** No answer came. */
export class Unreachable extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

/**
 * Whether the same may succeed later.
 *
 * @param {unknown} error
 */
export const isPassing = (error) => error instanceof Unreachable || (error instanceof Refusal && error.passing);

/** @param {unknown} error */
export const inWords = (error) => (error instanceof Error ? error.message : String(error));

/**
 * @param {string} path
 * @param {RequestInit & {limit?: number}} [options] - `limit`: patience in seconds.
 * @returns {Promise<Response>}
 */
export async function request(path, { limit = 60, ...options } = {}) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(1000 * limit) });
  } catch {
    throw new Unreachable();
  }
  if (response.ok) return response;
  let detail = `The server answered ${response.status}.`;
  try {
    const body = await response.json();
    if (typeof body.detail === "string") detail = body.detail;
  } catch {
    // The status alone has to do.
  }
  throw new Refusal(response.status, detail);
}

/**
 * @param {string} path
 * @param {unknown} body
 * @param {string} [method]
 */
export const send = (path, body, method = "POST") =>
  request(path, { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

/**
 * @param {string} id
 * @param {string} [rest]
 */
export const imagePath = (id, rest = "") => `api/images/${encodeURIComponent(id)}${rest}`;

/**
 * The body of an answer, and a number in one of its headers.
 *
 * @param {string} path
 * @param {string} header
 */
export async function numbered(path, header) {
  const response = await request(path);
  const number = Number(response.headers.get(header) ?? NaN);
  return { bytes: new Uint8Array(await response.arrayBuffer()), number };
}

/**
 * Has the browser keep what a request answers as a file.
 *
 * @param {string} path
 * @param {RequestInit} options
 * @param {string} fallback - The file's name, if the answer has none.
 */
export async function download(path, options, fallback) {
  const response = await request(path, { ...options, limit: 600 });
  const named = /filename="?([^";]+)"?/.exec(response.headers.get("Content-Disposition") ?? "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = named?.[1] ?? fallback;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @typedef {"connecting" | "open" | "gone" | "locked"} Link - `locked`: the server is another one, with a new token. */

const PATIENCE = [250, 500, 1000, 2000, 3000];

/**
 * Follows the server's state for as long as the page lives, and through every restart of the server.
 *
 * @param {(state: State) => void} onState
 * @param {(link: Link) => void} onLink
 */
export function follow(onState, onLink) {
  let tries = 0;
  const open = () => {
    const source = new EventSource("api/events");
    source.addEventListener("open", () => {
      tries = 0;
      onLink("open");
    });
    source.addEventListener("state", (event) => onState(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      source.close();
      retry();
    });
  };
  const retry = async () => {
    try {
      // An EventSource does not tell why it failed; a plain request does.
      const response = await request("api/state", { limit: 10 });
      onState(await response.json());
      // Answering, yet no longer streaming: no reason to hurry.
      setTimeout(open, PATIENCE[Math.min(tries++, PATIENCE.length - 1)]);
    } catch (error) {
      onLink(error instanceof Refusal && [401, 403].includes(error.status) ? "locked" : "gone");
      setTimeout(retry, PATIENCE[Math.min(tries++, PATIENCE.length - 1)]);
    }
  };
  open();
}
