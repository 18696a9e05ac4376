// The table of all images and the table of patients.

import { preview } from "./detail.js";
import { bar, breakable, element } from "./dom.js";
import { percent, quoted, shownClasses } from "./words.js";

/** Largest number of classes of which each has a column. */
const MOST_COLUMNS = 4;

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Sortable table of the images. */
export class ImageTable {
  /** `onSelect` is called with the item whose button was pressed. */
  constructor(table, onSelect) {
    this.head = table.tHead;
    this.body = table.tBodies[0];
    this.onSelect = onSelect;
    this.sorting = { column: null, isDescending: false };
    this.items = [];
    this.rows = new Map(); // item -> { row, shown }: the row, and what it was made from
  }

  /** Show items; `selected` is the one in the detail view. Rows that do not change are kept. */
  show(items, card, selected) {
    const hasPatients = items.some((item) => item.patient !== null);
    if (card !== this.card || hasPatients !== this.hasPatients) {
      Object.assign(this, { card, hasPatients, columns: columnsOf(card, hasPatients) });
      this.rows.clear();
      this.#showHead();
    }
    // A row that is replaced or moved takes the focus from its button.
    const focused = this.items.find((item) => {
      return this.rows.get(item)?.row.contains(document.activeElement);
    });
    this.items = items;
    for (const item of items) {
      const shown = [item.result, item.error, item.patient];
      const known = this.rows.get(item)?.shown;
      if (!known || shown.some((value, index) => value !== known[index])) {
        this.rows.set(item, { row: this.#row(item), shown });
      }
    }
    this.#order();
    this.select(selected);
    if (focused) this.rows.get(focused)?.row.querySelector("button").focus({ preventScroll: true });
  }

  /** Forget all items. */
  clear() {
    this.items = [];
    this.rows.clear();
    this.body.replaceChildren();
  }

  /** Mark the row of the item in the detail view. */
  select(selected) {
    for (const item of this.items) {
      const { row } = this.rows.get(item);
      row.classList.toggle("selected", item === selected);
      row.querySelector("button").setAttribute("aria-pressed", item === selected);
    }
  }

  /** Return the items in the order of the rows. */
  sorted() {
    const { column, isDescending } = this.sorting;
    const chosen = this.columns?.find(({ key }) => key === column);
    if (!chosen) return [...this.items];
    return [...this.items].sort((a, b) => {
      const [x, y] = [chosen.valueOf(a), chosen.valueOf(b)];
      // Images without a value come last in both directions.
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "number" ? x - y : collator.compare(x, y);
      return isDescending ? -order : order;
    });
  }

  #showHead() {
    const cells = this.columns.map((column) => {
      const button = element(
        "button",
        { type: "button", "data-key": column.key, click: () => this.#sortBy(column) },
        column.title,
        element("span", { class: "arrow", "aria-hidden": "true" }),
      );
      return element("th", { scope: "col", class: column.kind }, button);
    });
    this.head.replaceChildren(element("tr", {}, ...cells));
    this.#markSorting();
  }

  #sortBy(column) {
    const isSame = this.sorting.column === column.key;
    this.sorting = {
      column: column.key,
      // The first press shows the largest probabilities, or the first names.
      isDescending: isSame ? !this.sorting.isDescending : column.kind === "number",
    };
    this.#markSorting();
    this.#order();
  }

  #markSorting() {
    for (const cell of this.head.querySelectorAll("th")) {
      const isSorted = cell.firstChild.dataset.key === this.sorting.column;
      if (!isSorted) cell.removeAttribute("aria-sort");
      else {
        const direction = this.sorting.isDescending ? "descending" : "ascending";
        cell.setAttribute("aria-sort", direction);
      }
    }
  }

  #order() {
    const rows = this.sorted().map((item) => this.rows.get(item).row);
    const isSame =
      rows.length === this.body.rows.length &&
      rows.every((row, index) => row === this.body.rows[index]);
    if (!isSame) this.body.replaceChildren(...rows);
  }

  #row(item) {
    const [name, ...others] = this.columns;
    const cells = item.error
      ? [element("td", { class: "failure", colspan: others.length, text: item.error })]
      : others.map((column) => element("td", { class: column.kind }, ...column.cell(item)));
    const first = element("th", { scope: "row", class: "text" }, ...name.cell(item, this));
    return element("tr", {}, first, ...cells);
  }
}

function columnsOf(card, hasPatients) {
  const names = card.class_names;
  return [
    {
      key: "name", title: "Image", kind: "text",
      valueOf: (item) => item.path,
      cell: (item, table) => [
        element(
          "button", { type: "button", class: "open", click: () => table.onSelect(item) },
          element("span", { class: "thumb" }, preview(item, { small: true })),
          element("span", { class: "name" }, ...breakable(item.path)),
        ),
      ],
    },
    {
      key: "decision", title: "Decision", kind: "text",
      valueOf: (item) => item.result?.decision ?? null,
      cell: (item) => decisionCell(item, card),
    },
    names.length > MOST_COLUMNS && {
      key: "highest", title: "Most probable", kind: "number",
      valueOf: (item) => item.result?.probabilities[item.result.class] ?? null,
      cell: ({ result }) =>
        result ? [`${result.class} `, ...share(result.probabilities[result.class], false)] : ["–"],
    },
    ...shownClasses(card, MOST_COLUMNS).map((name) => ({
      key: `probability ${name}`, title: `P(${name})`, kind: "number",
      valueOf: (item) => item.result?.probabilities[name] ?? null,
      cell: ({ result }) =>
        result ? share(result.probabilities[name], name === card.positive_class) : ["–"],
    })),
    hasPatients && {
      key: "patient", title: "Patient", kind: "text",
      valueOf: (item) => item.patient,
      cell: (item) => [item.patient ?? "–"],
    },
    {
      key: "warnings", title: "Warnings", kind: "number",
      valueOf: (item) => item.result?.warnings?.length ?? null,
      cell: ({ result }) => warningCell(result?.warnings ?? []),
    },
  ].filter(Boolean); // prettier-ignore
}

function decisionCell({ result }, card) {
  if (!result) return ["waiting"];
  const isPositive = result.decision === card.positive_class;
  return [element("span", { class: `tag${isPositive ? " positive" : ""}`, text: result.decision })];
}

function warningCell(warnings) {
  if (!warnings.length) return ["–"];
  return [
    element("span", { "aria-hidden": "true", title: warnings.join("\n"), text: `⚠ ${warnings.length}` }),
    element("span", { class: "unseen", text: warnings.join("; ") }),
  ]; // prettier-ignore
}

function share(probability, positive) {
  return [bar(probability, { positive }), element("span", { class: "value", text: percent(probability) })];
}

/** Fill the table of patients. */
export function showPatients(table, patients, card) {
  const shown = shownClasses(card, MOST_COLUMNS);
  const titles = ["Patient", "Images", "Decision", ...shown.map((name) => `Mean P(${name})`)];
  const head = titles.map((text, index) =>
    element("th", { scope: "col", class: index === 1 || index > 2 ? "number" : "text", text }),
  );
  table.tHead.replaceChildren(element("tr", {}, ...head));
  const rows = patients.map(({ patient, images, decision, means }) =>
    element(
      "tr", {},
      element("th", { scope: "row", class: "text", text: patient }),
      element("td", { class: "number", text: images }),
      element("td", { class: "text" }, ...decisionCell({ result: { decision } }, card)),
      ...shown.map((name) =>
        element("td", { class: "number" }, ...share(means[name], name === card.positive_class)),
      ),
    ),
  ); // prettier-ignore
  table.tBodies[0].replaceChildren(...rows);
}

/** Return the number of images by decision as text: "6 “all”, 7 “hem”, 1 not classified". */
export function tally(items) {
  const counts = new Map();
  for (const { result, error } of items) {
    const name = result ? quoted(result.decision) : error ? "not classified" : "waiting";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, number]) => `${number} ${name}`).join(", ");
}
