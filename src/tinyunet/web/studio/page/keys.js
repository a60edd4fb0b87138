/** The keyboard, and the page that explains it. */

import { byId, icon, make } from "./dom.js";

/** @typedef {import("./shortcuts.js").Shortcut} Shortcut */

/**
 * @param {KeyboardEvent} event
 */
function nameOf(event) {
  const ctrl = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  const shift = event.shiftKey && (ctrl || event.key.startsWith("Arrow")) ? "Shift+" : "";
  return ctrl + shift + (event.key.length === 1 ? event.key.toUpperCase() : event.key);
}

/**
 * Whether the element uses this key itself: text is typed, a slider moves, a button is pressed.
 *
 * @param {EventTarget | null} target
 * @param {string} key
 */
function takesItself(target, key) {
  if (!(target instanceof Element)) return false;
  if (target.closest("dialog, [role=menu], form")) return true;
  if (target instanceof HTMLInputElement) {
    if (target.type === "text" || target.type === "color") return true;
    return key.startsWith("Arrow") || key === " " || /^(Home|End|Page)/.test(key);
  }
  return target.closest("button, a, summary") !== null && [" ", "Enter"].includes(key);
}

/**
 * @param {Shortcut[]} shortcuts
 * @param {(held: boolean) => void} onSpace - The space bar goes down or up.
 */
export function connectKeys(shortcuts, onSpace) {
  const table = new Map(shortcuts.flatMap((shortcut) => shortcut.keys.map((key) => [key, shortcut])));
  window.addEventListener("keydown", (event) => {
    const key = nameOf(event);
    if (event.altKey || event.isComposing || takesItself(event.target, event.key)) return;
    if (key === " ") {
      event.preventDefault();
      return onSpace(true);
    }
    const shortcut = table.get(key);
    if (!shortcut) return;
    event.preventDefault();
    shortcut.run(key);
  });
  window.addEventListener("keyup", (event) => {
    if (event.key === " ") onSpace(false);
  });
  window.addEventListener("blur", () => onSpace(false));
}

/**
 * Fills the help dialog from the same list, so that it cannot say anything else.
 *
 * @param {Shortcut[]} shortcuts
 */
export function connectHelp(shortcuts) {
  const dialog = byId("help", HTMLDialogElement);
  const close = make("button", { type: "button", class: "plain", "aria-label": "Close" }, icon("close"));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  const pointer = [
    { label: ["Wheel"], about: "zoom (or pinch)" },
    { label: ["right button"], about: "erase (or the other end of a pen)" },
    { label: ["Space", "drag"], about: "move the picture (or middle button, two fingers)" },
  ];
  const list = make("dl", { class: "keys" });
  for (const { about, label } of [...shortcuts, ...pointer]) {
    const keys = label.flatMap((name, i) => [i ? " " : "", make("kbd", {}, name)]);
    list.append(make("div", {}, make("dt", {}, about), make("dd", {}, ...keys)));
  }
  dialog.append(
    make(
      "div",
      { class: "help-body" },
      make("div", { class: "title" }, make("h2", { id: "help-title" }, "How this works"), close),
      make(
        "p",
        {},
        "Paint a little of each class; pixels without paint say nothing. A model trains on your strokes in the background, " +
          "and shows what it thinks of the whole image. Paint over what is wrong. Everything is saved as you go, in ordinary " +
          "folders of images and masks.",
      ),
      list,
    ),
  );
  const open = () => {
    if (!dialog.open) dialog.showModal();
  };
  byId("help-open", HTMLElement).addEventListener("click", open);
  return open;
}
