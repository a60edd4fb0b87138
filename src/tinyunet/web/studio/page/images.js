/** The list of images: choose, add, remove. */

import { imagePath, inWords, request } from "./api.js";
import { byId, icon, make, percent, write } from "./dom.js";
import { tell, tellError } from "./notices.js";

/** @typedef {import("./api.js").ImageInfo} ImageInfo */
/** @typedef {import("./api.js").State} State */

/** Files in one request: enough to be quick, few enough to see that something happens. */
const BATCH = 4;

/** @typedef {{item: HTMLLIElement, pick: HTMLButtonElement, name: HTMLElement, facts: HTMLElement, next: HTMLElement}} Row */

/** @type {Map<string, Row>} */
const rows = new Map();

/**
 * @param {ImageInfo} info
 * @param {(id: string) => void} open
 * @returns {Row}
 */
function rowOf(info, open) {
  const picture = make("img", { src: imagePath(info.id, "/thumbnail.png"), alt: "", loading: "lazy" });
  const name = make("span", { class: "name", title: info.name }, info.name);
  const facts = make("span", { class: "facts-line" });
  const next = make("span", { class: "next", title: "The model is least certain here" }, "next");
  const pick = make("button", { type: "button", class: "pick" }, picture, make("span", { class: "about" }, name, facts, next));
  pick.addEventListener("click", () => open(info.id));
  const remove = make(
    "button",
    { type: "button", class: "remove", "aria-label": `Remove ${info.name}`, title: "Remove" },
    icon("remove"),
  );
  remove.addEventListener("click", () => removeImage(info));
  return { item: make("li", {}, pick, remove), pick, name, facts, next };
}

/**
 * Shows the state's images.
 *
 * @param {State} state
 * @param {string | null} current
 * @param {(id: string) => void} open
 */
export function showImages({ images, suggestion }, current, open) {
  const list = byId("images", HTMLElement);
  const ids = new Set(images.map(({ id }) => id));
  for (const [id, { item }] of rows) {
    if (ids.has(id)) continue;
    item.remove();
    rows.delete(id);
  }
  images.forEach((info, index) => {
    const row = rows.get(info.id) ?? rowOf(info, open);
    rows.set(info.id, row);
    if (list.children[index] !== row.item) list.insertBefore(row.item, list.children[index] ?? null);
    write(row.name, info.name);
    const parts = [info.painted ? `painted ${percent(info.painted)}` : "not painted"];
    if (info.doubt !== null) parts.push(`doubt ${percent(info.doubt)}`);
    write(row.facts, parts.join("\n"));
    row.next.hidden = info.id !== suggestion || info.id === current;
    if (info.id === current) row.pick.setAttribute("aria-current", "true");
    else row.pick.removeAttribute("aria-current");
  });
}

/** @param {string} id */
export function scrollTo(id) {
  rows.get(id)?.item.scrollIntoView({ block: "nearest" });
}

/** @param {ImageInfo} info */
async function removeImage({ id, name }) {
  try {
    await request(imagePath(id), { method: "DELETE" });
  } catch (error) {
    return tellError(error);
  }
  const restore = () => request(imagePath(id, "/restore"), { method: "POST" }).catch(tellError);
  tell(`${name} is removed, with what was painted in it.`, { action: { label: "Bring it back", run: restore } });
}

/**
 * Sends files to the server; answers the ids of what it took.
 *
 * @param {File[]} files
 */
export async function addImages(files) {
  const title = byId("images-title", HTMLElement);
  /** @type {string[]} */
  const added = [];
  /** @type {{name: string, detail: string}[]} */
  const refused = [];
  for (let i = 0; i < files.length; i += BATCH) {
    write(title, files.length > BATCH ? `Adding ${i} of ${files.length} …` : "Adding …");
    const body = new FormData();
    const batch = files.slice(i, i + BATCH);
    for (const file of batch) body.append("files", file);
    try {
      const answer = await (await request("api/images", { method: "POST", body, limit: 600 })).json();
      added.push(...answer.added);
      refused.push(...answer.refused);
    } catch (error) {
      refused.push({ name: batch.map(({ name }) => name).join(", "), detail: inWords(error) });
    }
  }
  write(title, "Images");
  for (const { name, detail } of refused.slice(0, 2)) tell(`${name} was not added: ${detail}`, { error: true });
  if (refused.length > 2) tell(`${refused.length - 2} more files were not added.`, { error: true });
  return added;
}

/**
 * Takes files that are dropped anywhere on the page, pasted, or chosen.
 *
 * @param {(files: File[]) => void} onFiles
 */
export function acceptFiles(onFiles) {
  const curtain = byId("dropping", HTMLElement);
  const input = byId("files", HTMLInputElement);
  /** @param {DragEvent} event */
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files") ?? false;
  /** @param {Iterable<File>} files */
  const take = (files) => {
    const list = [...files];
    if (list.length) onFiles(list);
  };
  window.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    curtain.hidden = false;
  });
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) curtain.hidden = true;
  });
  window.addEventListener("drop", (event) => {
    curtain.hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    take(event.dataTransfer?.files ?? []);
  });
  window.addEventListener("paste", (event) => take(event.clipboardData?.files ?? []));
  input.addEventListener("change", () => {
    take(input.files ?? []);
    input.value = "";
  });
  for (const id of ["add", "empty-add"]) byId(id, HTMLElement).addEventListener("click", () => input.click());
}
