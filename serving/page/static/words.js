// Numbers and facts of the model card as text.

const SPACE = "\u00a0"; // does not break a line

/** Return a probability as a percentage; values that are not 0 or 1 are not rounded to them. */
export function percent(probability) {
  const value = 100 * probability;
  if (value > 99.9 && value < 100) return `>${SPACE}99.9${SPACE}%`;
  if (value < 0.1 && value > 0) return `<${SPACE}0.1${SPACE}%`;
  return `${value.toFixed(value === 100 || value === 0 ? 0 : 1)}${SPACE}%`;
}

/** Return a share as a number of 100; shares that are not 0 or 1 are not rounded to them. */
export function ofHundred(share) {
  if (share > 0.995 && share < 1) return "more than 99 of 100";
  if (share < 0.005 && share > 0) return "fewer than 1 of 100";
  return `${Math.round(100 * share)} of 100`;
}

/** Return a number with its noun: "1 image", "1,073 images". */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** Return a name in quotation marks; classes may have names such as "all". */
export const quoted = (name) => `“${name}”`;

/** Return names joined with commas and "and". */
export const listed = (names) =>
  new Intl.ListFormat("en", { type: "conjunction" }).format(names);

/** Return the sensitivity and specificity at the threshold on test images, or null. */
export function rates(card) {
  const { threshold, scores = {} } = card;
  // Before thresholds were chosen, the scores of the card are those of the most probable class.
  const known = threshold.rule === "0.5" ? scores : {};
  const sensitivity = threshold.sensitivity ?? known.sensitivity;
  const specificity = threshold.specificity ?? known.specificity;
  if (!sensitivity || !specificity) return null;
  const alarms = {
    value: 1 - specificity.value,
    low: typeof specificity.high === "number" ? 1 - specificity.high : null,
    high: typeof specificity.low === "number" ? 1 - specificity.low : null,
  };
  return { found: sensitivity, alarms };
}

/** Return the name of all classes other than the positive one, for "images of ...". */
export function otherClasses(card) {
  const others = card.class_names.filter((name) => name !== card.positive_class);
  return others.length === 1 ? quoted(others[0]) : "other classes";
}

/** Return the text of an interval of a rate, such as "95 % interval 75 to 89", or "". */
export function interval({ low, high }) {
  if (typeof low !== "number" || typeof high !== "number") return "";
  return `95${SPACE}% interval ${Math.round(100 * low)} to ${Math.round(100 * high)}`;
}

/** Return on which images the model was tested. */
export function testedOn(card) {
  const { parts, unit } = card.data;
  const { images, units } = parts.test ?? {};
  if (!images) return "images that were not used in training";
  const owners = units ? ` of ${count(units, unit)}` : "";
  return `${count(images, "image")}${owners} that were not used in training`;
}

/** Return how the threshold was chosen. */
export function ruleOf({ rule }, classes) {
  if (rule === "0.5") {
    return classes > 2 ? "The decision is the most probable class." : "The threshold was not tuned.";
  }
  const [name, target] = rule.split("=");
  const reason = {
    youden: "so that the sum of sensitivity and specificity is largest (Youden’s index)",
    sensitivity: `for a sensitivity of ${target}`,
    specificity: `for a specificity of ${target}`,
  }[name];
  return `The threshold was chosen on the validation images ${reason ?? `by the rule ${quoted(rule)}`}.`;
}

/** Return the class at the decision threshold; the same rule as in models/decision.py. */
export function decide(probabilities, card) {
  const names = card.class_names;
  const highest = (some) => some.reduce((a, b) => (probabilities[b] > probabilities[a] ? b : a));
  if (card.threshold.value === 0.5) return highest(names);
  const positive = card.positive_class;
  if (probabilities[positive] >= card.threshold.value) return positive;
  return highest(names.filter((name) => name !== positive));
}

/** Return the classes of which tables show the probability: of two, the other one is its rest. */
export function shownClasses(card, most) {
  const names = card.class_names;
  return names.length > most || names.length === 2 ? [card.positive_class] : names;
}
