// Patients from file names, and the means of their images.

import { decide } from "./words.js";

const PLACE = "{patient}";

/**
 * Return a function from a path to the patient, or null where the path does not match.
 *
 * `pattern` stands for the whole file name, with or without its extension; if it contains "/", for
 * the whole path. "*" matches anything. Without "{patient}", all images belong to one patient.
 */
export function patientOf(pattern) {
  const text = pattern.trim();
  if (!text) return () => null;
  if (!text.includes(PLACE)) return () => text;
  const [before, ...after] = text.split(PLACE).map(expression);
  const whole = new RegExp(`^${before}(.+?)${after.join("\\1")}(?:\\.[A-Za-z0-9]+)?$`);
  return (path) => whole.exec(text.includes("/") ? path : path.split("/").at(-1))?.[1] ?? null;
}

function expression(text) {
  return text
    .split("*")
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join(".*");
}

/** Return the patients of classified items with their mean probabilities, sorted by name. */
export function meansByPatient(items, card) {
  const groups = new Map();
  for (const item of items) {
    if (!groups.has(item.patient)) groups.set(item.patient, []);
    groups.get(item.patient).push(item);
  }
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  return [...groups]
    .sort(([a], [b]) => compare(a, b))
    .map(([patient, own]) => {
      const means = Object.fromEntries(
        card.class_names.map((name) => [name, mean(own.map((i) => i.result.probabilities[name]))]),
      );
      return { patient, images: own.length, means, decision: decide(means, card) };
    });
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
