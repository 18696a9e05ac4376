// One image: picture with heat map, decision, probabilities and warnings.

import { bar, element } from "./dom.js";
import { drawHeat } from "./heat.js";
import * as service from "./service.js";
import { percent, quoted } from "./words.js";

/** Time before a heat map is requested, so that moving through the table does not request many. */
const DELAY_MS = 300;

const WITHOUT_EFFECT = (name) =>
  `No part of this image lowers the probability of ${quoted(name)} when it is covered.`;

/** View of one image; keeps the settings of the heat map from one image to the next. */
export class Detail {
  /**
   * `section` is filled by `show`; `onKeyNeeded` is called if the service asks for an API key.
   */
  constructor(section, onKeyNeeded) {
    this.section = section;
    this.onKeyNeeded = onKeyNeeded;
    this.isHeatShown = true;
    this.opacity = 70;
    this.item = null;
    this.maps = new Map(); // item id and class -> answer of the service
    this.pending = null;
  }

  /** Show an item, or hide the section if it is null; do nothing if it is shown as it is. */
  update(item, card) {
    const outcome = item?.result ?? item?.error ?? null;
    if (item === this.item && outcome === this.outcome) return;
    this.outcome = outcome;
    this.#cancel();
    this.item = item;
    this.card = card;
    this.section.hidden = !item;
    if (!item) {
      this.maps.clear();
      return;
    }
    this.frame = element("div", { class: "frame" }, preview(item));
    this.message = element("p", { class: "hint", role: "status", "aria-live": "polite" });
    this.section.replaceChildren(
      element("h2", { id: "detail-heading", class: "file-name", text: item.path }),
      element(
        "div",
        { class: "detail-body" },
        element("div", { class: "verdict" }, ...this.#verdict()),
        this.frame,
        element("div", { class: "heat-controls" }, ...this.#controls()),
      ),
    );
    this.#requestHeat();
  }

  #verdict() {
    const { result, error } = this.item;
    if (error) {
      return [element("p", { class: "notice error", text: error })];
    }
    if (!result) return [element("p", { class: "hint", text: "Not classified yet." })];
    return [
      element("p", { class: "eyebrow", text: "Decision" }),
      element("p", {
        class: `decision${result.decision === this.card.positive_class ? " positive" : ""}`,
        text: result.decision,
      }),
      ...this.#reason(),
      this.#bars(),
      ...warningsOf(result),
    ];
  }

  #reason() {
    const { result } = this.item;
    const { positive_class: positive, threshold } = this.card;
    if (result.class === result.decision) return [];
    const text =
      `The most probable class is ${quoted(result.class)}, but the probability of ` +
      `${quoted(positive)} is ` +
      (result.decision === positive ? "at least" : "below") +
      ` the threshold of ${percent(threshold.value)}.`;
    return [element("p", { class: "reason", text })];
  }

  #bars() {
    const { probabilities } = this.item.result;
    const { positive_class: positive, threshold, class_names: names } = this.card;
    const hasMark = names.length === 2 || threshold.value !== 0.5;
    const rows = names.map((name) => {
      const isPositive = name === positive;
      const label = element("dt", { text: name });
      if (isPositive && hasMark) {
        label.append(
          element("span", { class: "threshold", text: `threshold ${percent(threshold.value)}` }),
        );
      }
      const options = {
        positive: isPositive,
        threshold: isPositive && hasMark ? threshold.value : null,
      };
      return element(
        "div", {}, label,
        element(
          "dd", {}, bar(probabilities[name], options),
          element("span", { class: "value", text: percent(probabilities[name]) }),
        ),
      ); // prettier-ignore
    });
    return element("dl", { class: "bars", "aria-label": "Probability of each class" }, ...rows);
  }

  #controls() {
    if (!this.#isExplainable()) return [];
    const toggle = element("input", {
      type: "checkbox",
      id: "heat-shown",
      checked: this.isHeatShown,
      change: (event) => {
        this.isHeatShown = event.target.checked;
        this.#requestHeat();
      },
    });
    const output = element("output", { for: "opacity", text: `${this.opacity} %` });
    const slider = element("input", {
      type: "range", id: "opacity", min: 0, max: 100, step: 5, value: this.opacity,
      input: (event) => {
        this.opacity = Number(event.target.value);
        output.textContent = `${this.opacity} %`;
        this.#setOpacity();
      },
    }); // prettier-ignore
    this.choice = element(
      "select",
      { id: "heat-class", change: () => this.#requestHeat() },
      ...this.card.class_names.map((name) =>
        element("option", { value: name, text: name, selected: name === this.item.result.decision }),
      ),
    );
    this.settings = element(
      "div",
      { class: "heat-settings" },
      element("label", { for: "heat-class", text: "For the class" }),
      this.choice,
      element("label", { for: "opacity", text: "Opacity" }),
      element("span", { class: "slider" }, slider, output),
      element("span", { class: "legend-label", "aria-hidden": "true", text: "Effect" }),
      element(
        "span",
        { class: "legend", "aria-hidden": "true" },
        "none",
        element("span", { class: "scale" }),
        "largest",
      ),
    );
    return [
      element(
        "label",
        { class: "switch", for: "heat-shown" },
        toggle,
        "Show where the network looked",
      ),
      this.settings,
      this.message,
    ];
  }

  #requestHeat() {
    this.#cancel();
    this.frame.querySelector(".heat")?.remove();
    if (!this.#isExplainable()) return;
    this.settings.hidden = !this.isHeatShown;
    this.message.textContent = "";
    if (!this.isHeatShown) return;
    const className = this.choice.value;
    const known = this.maps.get(`${this.item.id} ${className}`);
    if (known) {
      this.#showHeat(known, className);
      return;
    }
    this.message.textContent = "The heat map is being computed.";
    this.pending = new AbortController();
    const { signal } = this.pending;
    this.timer = setTimeout(() => this.#fetchHeat(this.item, className, signal), DELAY_MS);
  }

  async #fetchHeat(item, className, signal) {
    try {
      const answer = await service.explain(item.file, className, signal);
      this.maps.set(`${item.id} ${className}`, answer);
      if (!signal.aborted) this.#showHeat(answer, className);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof service.KeyNeeded) this.onKeyNeeded(error);
      this.message.textContent = `There is no heat map. ${error.message}`;
    }
  }

  async #showHeat({ heatmap, description }, className) {
    const picture = element("canvas", {
      class: "heat",
      role: "img",
      "aria-label": `Heat map of the parts on which the probability of ${quoted(className)} depends`,
    });
    const { item } = this;
    const hasEffect = await drawHeat(picture, heatmap);
    if (this.item !== item || this.choice.value !== className || !this.isHeatShown) return;
    this.frame.querySelector(".heat")?.remove();
    this.frame.append(picture);
    this.#setOpacity();
    this.message.textContent = hasEffect ? description : WITHOUT_EFFECT(className);
  }

  /** An endpoint gives no heat maps. */
  #isExplainable() {
    return Boolean(this.item.result) && this.card.explains !== false;
  }

  #setOpacity() {
    this.frame.querySelector(".heat")?.style.setProperty("opacity", this.opacity / 100);
  }

  #cancel() {
    clearTimeout(this.timer);
    this.pending?.abort();
    this.pending = null;
  }
}

/** Return the picture of an item, which becomes a placeholder if the browser cannot show it. */
export function preview(item, { small = false } = {}) {
  const picture = element("img", {
    class: "original",
    src: item.url,
    alt: small ? "" : item.path,
    decoding: "async",
    loading: small ? "lazy" : null,
    error: () => {
      const ending = item.path.split(".").at(-1).toUpperCase().slice(0, 5);
      const placeholder = element("span", { class: "no-preview" }, element("b", { text: ending }));
      if (small) placeholder.setAttribute("aria-hidden", "true");
      else placeholder.append("This browser shows no preview of the file.");
      picture.replaceWith(placeholder);
    },
  });
  return picture;
}

function warningsOf({ warnings = [] }) {
  if (!warnings.length) return [];
  return [
    element(
      "div",
      { class: "notice warning" },
      element("p", {}, element("strong", { text: "This image is unlike the training images." })),
      element("ul", {}, ...warnings.map((text) => element("li", { text }))),
    ),
  ];
}
