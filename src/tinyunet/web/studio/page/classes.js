/** The classes: choose what to paint, add, rename, recolour. */

import { send } from "./api.js";
import { byId, icon, make } from "./dom.js";
import { tellError } from "./notices.js";
import { freshColor } from "./palette.js";
import { choose, settings } from "./settings.js";

/** @typedef {import("./api.js").ClassInfo} ClassInfo */

const LONGEST_NAME = 60;

/** What is shown now, so that nothing is built anew without need. */
let shown = "";
/** The class whose name is being written; -1 for a new one. @type {number | null} */
let editing = null;
/** @type {ClassInfo[]} */
let known = [];

/**
 * @param {ClassInfo[]} classes
 */
export function showClasses(classes) {
  known = classes;
  if (classes.length && !classes.some(({ id }) => id === settings.value.label)) choose({ label: classes[0].id });
  const wanted = JSON.stringify([classes, editing]);
  if (wanted !== shown) {
    const list = byId("classes", HTMLElement);
    const typed = list.querySelector("form");
    // A change from elsewhere does not take away what is being typed.
    if (typed && editing !== null && shown.endsWith(`,${editing}]`)) return;
    shown = wanted;
    const rows = classes.map((info, index) => (info.id === editing ? formOf(info) : rowOf(info, index)));
    if (editing === -1) rows.push(formOf({ id: -1, name: "", color: freshColor(classes) }));
    list.replaceChildren(...rows);
    const name = list.querySelector("input[type=text]");
    if (name instanceof HTMLInputElement) name.select();
  }
  for (const radio of byId("classes", HTMLElement).querySelectorAll("input[type=radio]")) {
    if (radio instanceof HTMLInputElement) radio.checked = Number(radio.value) === settings.value.label;
  }
}

/**
 * @param {ClassInfo} info
 * @param {number} index
 */
function rowOf(info, index) {
  const radio = make("input", { type: "radio", name: "class", value: String(info.id) });
  radio.addEventListener("change", () => choose({ label: info.id }));
  const swatch = make("span", { class: "swatch" });
  swatch.style.backgroundColor = info.color;
  const label = make("label", {}, radio, swatch, make("span", { class: "name", title: info.name }, info.name));
  if (index < 9) label.append(make("kbd", { "aria-hidden": "true" }, String(index + 1)));
  const edit = make(
    "button",
    { type: "button", class: "plain edit", "aria-label": `Change ${info.name}`, title: "Name and colour" },
    icon("edit"),
  );
  edit.addEventListener("click", () => edited(info.id));
  label.addEventListener("dblclick", () => edited(info.id));
  return make("li", {}, label, edit);
}

/** @param {ClassInfo} info */
function formOf(info) {
  const name = make("input", {
    type: "text",
    value: info.name,
    maxlength: String(LONGEST_NAME),
    "aria-label": "Name of the class",
    placeholder: "name",
    required: true,
    autocomplete: "off",
  });
  const color = make("input", { type: "color", value: info.color, "aria-label": "Colour of the class" });
  const done = make("button", { class: "small" }, info.id < 0 ? "Add" : "Done");
  const form = make("form", {}, color, name, done);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = { name: name.value.trim(), color: color.value };
    try {
      if (info.id < 0) await send("api/classes", body);
      else if (body.name !== info.name || body.color !== info.color) await send(`api/classes/${info.id}`, body, "PATCH");
      edited(null);
    } catch (error) {
      tellError(error);
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") edited(null);
  });
  form.addEventListener("focusout", (event) => {
    // Whoever turns away without having changed anything needs no form.
    const inside = event.relatedTarget instanceof Node && form.contains(event.relatedTarget);
    const untouched = name.value.trim() === info.name && color.value === info.color;
    if (!inside && untouched && document.hasFocus() && editing === info.id) edited(null, false);
  });
  return make("li", {}, form);
}

/**
 * @param {number | null} id
 * @param {boolean} [focus] - Whether the class that was edited is to have the focus afterwards.
 */
function edited(id, focus = true) {
  const back = editing;
  editing = id;
  shown = "";
  showClasses(known);
  const radio = byId("classes", HTMLElement).querySelector(`input[value="${back}"]`);
  if (focus && id === null && radio instanceof HTMLElement) radio.focus();
}

/**
 * @param {ClassInfo[]} classes
 * @param {number} label
 */
export const nameOf = (classes, label) => classes.find(({ id }) => id === label)?.name ?? "";

/** Makes the button that adds a class work. */
export function connectClasses() {
  const add = byId("class-add", HTMLButtonElement);
  add.addEventListener("click", () => edited(editing === -1 ? null : -1));
  settings.watch(() => showClasses(known));
}
