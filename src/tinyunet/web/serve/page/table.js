/** The table of objects, one row for each, with a button that shows where it lies. */

/** @typedef {Record<string, number | null>} Row */

const MOST = 500;
/** @type {[string, string, number][]} a column, what stands above it, and digits after the point */
const COLUMNS = [
  ["pixels", "Pixels", 0],
  ["diameter", "Diameter", 1],
  ["centroid_y", "Row", 1],
  ["centroid_x", "Column", 1],
  ["eccentricity", "Eccentricity", 2],
  ["intensity_mean", "Mean grey", 1],
];

/**
 * Fills the table.
 * @param {HTMLTableElement} table
 * @param {Row[]} rows
 * @param {(row: Row | null) => void} chosen told which object is to be shown; null for none
 * @returns {string} what is to be said about it
 */
export function fillTable(table, rows, chosen) {
  const columns = COLUMNS.filter(([name]) => rows.length > 0 && name in rows[0]);
  const head = document.createElement("tr");
  for (const words of ["Object", ...columns.map(([, title]) => title)]) head.append(cell("th", words));
  head.querySelectorAll("th").forEach((th) => th.setAttribute("scope", "col"));
  table.tHead?.replaceChildren(head);
  const lines = rows.slice(0, MOST).map((row) => {
    const line = document.createElement("tr");
    const name = cell("th", "");
    name.setAttribute("scope", "row");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = String(row.id);
    button.setAttribute("aria-label", `Show object ${row.id} in the image`);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") === "true";
      table.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", "false"));
      button.setAttribute("aria-pressed", String(!pressed));
      chosen(pressed ? null : row);
    });
    name.append(button);
    line.append(name, ...columns.map(([column, , digits]) => cell("td", row[column]?.toFixed(digits) ?? "–")));
    return line;
  });
  table.tBodies[0].replaceChildren(...lines);
  if (rows.length > MOST) return `The first ${MOST} of ${rows.length}; the file has all of them, and more columns.`;
  return "Lengths in pixels. The file has more columns.";
}

/**
 * @param {"th" | "td"} kind
 * @param {string} text
 */
function cell(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}
