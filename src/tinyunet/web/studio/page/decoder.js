/** Asks the worker. */

/** @typedef {import("./decoding.js").Jobs} Jobs */
/** @typedef {import("./decoding.js").Reply} Reply */
/** @typedef {import("./decoding.js").Picture} Picture */

const worker = new Worker(new URL("./decoding.js", import.meta.url), { type: "module" });

/** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void}>} */
const asked = new Map();
let last = 0;

worker.addEventListener("message", (event) => {
  const { number, answer, error } = /** @type {Reply} */ (event.data);
  const waiting = asked.get(number);
  asked.delete(number);
  if (error === undefined) waiting?.resolve(answer);
  else waiting?.reject(new Error(error));
});

worker.addEventListener("error", () => {
  for (const { reject } of asked.values()) reject(new Error("The part of the page that reads pictures has stopped."));
  asked.clear();
});

/**
 * Has the worker do a job.
 *
 * @template {keyof Jobs} Name
 * @param {Name} job
 * @param {Parameters<Jobs[Name]>} args
 * @returns {ReturnType<Jobs[Name]>}
 */
export function decode(job, ...args) {
  const number = ++last;
  const answer = new Promise((resolve, reject) => {
    asked.set(number, { resolve, reject });
    worker.postMessage({ number, job, args });
  });
  return /** @type {ReturnType<Jobs[Name]>} */ (answer);
}

/** @param {Picture | null} picture */
export function release(picture) {
  for (const level of picture?.levels ?? []) level.close();
}
