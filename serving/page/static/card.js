// The model card: what the threshold means, and the facts of the model.

import { element } from "./dom.js";
import {
  count, interval, listed, ofHundred, otherClasses, percent, quoted, rates, ruleOf, testedOn,
} from "./words.js"; // prettier-ignore

const SVG = "http://www.w3.org/2000/svg";

/** Fill the heading of the page. */
export function showHeading(card, title, summary) {
  title.textContent = card.name;
  const { train } = card.data.parts;
  const owners = train?.units ? ` of ${count(train.units, card.data.unit)}` : "";
  summary.textContent =
    `Distinguishes ${listed(card.class_names.map(quoted))}` +
    (train ? `; trained on ${count(train.images, "image")}${owners} (${card.data.name}).` : ".");
  document.title = `${card.name} – image classification`;
}

/** Fill the section that explains the threshold. */
export function showMeaning(card, section) {
  const { threshold, positive_class: positive } = card;
  const heading = element("h2", { id: "meaning-heading", text: "What the decision means" });
  const rule = element("p", {}, ...ruleSentence(card));
  const known = rates(card);
  section.hidden = false;
  if (!known) {
    const unknown = element("p", {
      text: "How often the decision is right is not stated for this threshold.",
    });
    section.replaceChildren(heading, rule, unknown);
    return;
  }
  const found = element(
    "p", {},
    "finds ", element("strong", { text: ofHundred(known.found.value) }),
    ` images of ${quoted(positive)}`, range(known.found),
  ); // prettier-ignore
  const alarms = element(
    "p", {},
    "false alarm for ", element("strong", { text: ofHundred(known.alarms.value) }),
    ` images of ${otherClasses(card)}`, range(known.alarms),
  ); // prettier-ignore
  section.replaceChildren(
    heading,
    rule,
    element(
      "div",
      { class: "rates" },
      element("div", { class: "rate found" }, hundred(known.found.value), found),
      element("div", { class: "rate alarms" }, hundred(known.alarms.value), alarms),
    ),
    element("p", { class: "hint", text: `Measured on ${testedOn(card)}.` }),
    ...(card.data.synthetic ? [element("p", { class: "hint", text: SYNTHETIC })] : []),
  );
  section.dataset.threshold = threshold.value;
}

const SYNTHETIC =
  "The images of training and test were drawn by a program. These figures are not evidence about " +
  "any disease.";

function ruleSentence(card) {
  const { threshold, class_names: names, positive_class: positive } = card;
  if (names.length > 2 && threshold.value === 0.5) return [ruleOf(threshold, names.length)];
  return [
    `An image is decided as ${quoted(positive)} if its probability is at least `,
    element("strong", { text: percent(threshold.value) }),
    `. ${ruleOf(threshold, names.length)}`,
  ];
}

function range(score) {
  const text = interval(score);
  return element("span", { class: "interval", text });
}

/** Return a picture of 100 dots, of which a share is filled; the text beside it says the same. */
function hundred(share) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "0 0 100 100");
  picture.setAttribute("aria-hidden", "true");
  picture.setAttribute("class", "hundred");
  const filled = Math.round(100 * share);
  for (let n = 0; n < 100; n += 1) {
    const dot = document.createElementNS(SVG, "circle");
    dot.setAttribute("cx", 5 + 10 * (n % 10));
    dot.setAttribute("cy", 5 + 10 * Math.floor(n / 10));
    dot.setAttribute("r", 3.6);
    if (n < filled) dot.setAttribute("class", "filled");
    picture.append(dot);
  }
  return picture;
}

/** Names of the metrics on the card. */
const METRICS = {
  f1: "F1", sensitivity: "Sensitivity", specificity: "Specificity", roc_auc: "Area under ROC curve",
}; // prettier-ignore

const DATE = new Intl.DateTimeFormat("en", { dateStyle: "long", timeZone: "UTC" });

/** Fill the section with the facts of the model. */
export function showCard(card, container) {
  const { image, data } = card;
  const facts = [
    ["Classes", `${listed(card.class_names.map(quoted))}; positive: ${quoted(card.positive_class)}`],
    ["Version", card.version],
    ["Network", card.network],
    ["Input", `${image.height} × ${image.width} pixels, ${image.color === "rgb" ? "color" : "gray"}`],
    ["Data set", data.synthetic ? `${data.name} (drawn by a program)` : data.name],
    ...Object.entries(data.parts).map(([part, size]) => [
      { train: "Training", validation: "Validation", test: "Test" }[part] ?? part,
      count(size.images, "image") + (size.units ? ` of ${count(size.units, data.unit)}` : ""),
    ]),
    ...Object.entries(card.scores ?? {}).map(([name, score]) => [
      `${METRICS[name] ?? name} (test)`,
      score.value.toFixed(3) + bounds(score),
    ]),
    ["Trained", `${DATE.format(new Date(card.trained_at))}; ${count(card.epochs, "epoch")} with ${card.backend}`],
    ["Run", card.run_id],
  ].filter(([, value]) => value);
  container.replaceChildren(
    element("dl", { class: "facts" }, ...facts.map(([term, value]) => fact(term, value))),
    ...limitsOf(card),
  );
}

function fact(term, value) {
  return element("div", {}, element("dt", { text: term }), element("dd", { text: value }));
}

function bounds({ low, high }) {
  if (typeof low !== "number" || typeof high !== "number") return "";
  return ` (95\u00a0% interval ${low.toFixed(3)} to ${high.toFixed(3)})`;
}

function limitsOf(card) {
  if (!card.limits?.length) return [];
  const items = card.limits.map((limit) => element("li", { text: limit }));
  return [element("h3", { text: "Limits" }), element("ul", { class: "limits" }, ...items)];
}
