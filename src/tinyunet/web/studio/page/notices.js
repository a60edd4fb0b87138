/** What went wrong or is worth knowing, in words, in one calm place: errors stay until they are closed. */

import { inWords } from "./api.js";
import { byId, icon, make } from "./dom.js";

const MOST = 3;
const SECONDS = 9;

/**
 * @typedef {object} Told
 * @property {boolean} [error]
 * @property {{label: string, run: () => void}} [action]
 */

/**
 * @param {string} text
 * @param {Told} [options]
 */
export function tell(text, { error = false, action } = {}) {
  const place = byId("notices", HTMLElement);
  for (const old of [...place.children]) if (old.querySelector("p")?.textContent === text) old.remove();
  const notice = make("div", { class: error ? "card notice error" : "card notice" }, make("p", {}, text));
  if (action) {
    const button = make("button", { type: "button", class: "link" }, action.label);
    button.addEventListener("click", () => {
      notice.remove();
      action.run();
    });
    notice.append(button);
  }
  const close = make("button", { type: "button", class: "plain", "aria-label": "Close this message" }, icon("close"));
  close.addEventListener("click", () => notice.remove());
  notice.append(close);
  place.append(notice);
  while (place.children.length > MOST) place.firstElementChild?.remove();
  const seconds = action ? 3 * SECONDS : SECONDS;
  if (!error) setTimeout(() => notice.remove(), 1000 * seconds);
}

/** @param {unknown} error */
export const tellError = (error) => tell(inWords(error), { error: true });
