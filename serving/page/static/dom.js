// Creation of elements. Text is always set as text, never parsed as HTML.

/**
 * Return a new element.
 *
 * `properties` are attributes, except that `text` is the text content, functions are listeners of
 * the event with that name, and false, null and undefined are left out.
 */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "text") node.textContent = value;
    else if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Return the element with an id. */
export const byId = (id) => document.getElementById(id);

/**
 * Return a horizontal bar of a probability. The number beside it is the accessible text. The length
 * is set through the CSSOM, because the content security policy forbids style attributes.
 */
export function bar(probability, { positive = false, threshold = null } = {}) {
  const node = element("span", { class: `bar${positive ? " positive" : ""}`, "aria-hidden": "true" });
  const fill = element("span", { class: "fill" });
  fill.style.setProperty("width", `${100 * probability}%`);
  node.append(fill);
  if (threshold !== null) {
    const mark = element("span", { class: "mark" });
    mark.style.setProperty("left", `${100 * threshold}%`);
    node.append(mark);
  }
  return node;
}

/** Return a path as nodes that break into lines after separators. */
export function breakable(path) {
  const parts = path.split(/(?<=[_\-/ ])/);
  return parts.flatMap((part) => [part, document.createElement("wbr")]).slice(0, -1);
}

/** Offer a text as a file to download. */
export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: name }).click();
  // The browser reads the blob after this function has returned.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
