// Requests to the service. Addresses are relative, so that the page also works below a path.

let key = "";

/** Error whose message is meant for the user. */
export class ServiceError extends Error {}

/** Error if the service asks for an API key, or refuses the one given. */
export class KeyNeeded extends ServiceError {}

/** Error if the service refuses this request because of its content. */
export class Refused extends ServiceError {}

/** Use an API key for all further requests. */
export function useKey(value) {
  key = value;
}

/** Return whether an API key is in use. */
export const hasKey = () => key !== "";

/** Return the model card. */
export const fetchModel = (signal) => request("model", { signal });

/** Return the example images, or an empty list if the service offers none. */
export async function fetchExamples() {
  try {
    return await request("examples");
  } catch {
    return [];
  }
}

/** Return an example image as a file. */
export async function fetchExample({ name, url }) {
  const response = await answer(url);
  const blob = await response.blob();
  return new File([blob], name, { type: blob.type });
}

/**
 * Return the predictions for several files, in their order, each with `error` if there is none.
 *
 * The answer has the status of an error if no image was classified, and nevertheless an entry for
 * each image.
 */
export async function predict(files, signal) {
  const body = new FormData();
  for (const file of files) body.append("images", file, file.name);
  const response = await answer("predict", { method: "POST", body, signal }, (some) =>
    Array.isArray(some?.images),
  );
  return content(response);
}

/** Return the heat map of an image for a class. */
export function explain(file, className, signal) {
  const body = new FormData();
  body.append("image", file, file.name);
  body.append("class", className);
  return request("explain", { method: "POST", body, signal });
}

/** How often a request is repeated that a busy service or its gateway has refused, and the longest wait. */
const REPEATS = 5;
const LONGEST_WAIT_S = 30;

async function request(path, options = {}) {
  return content(await answer(path, options));
}

async function content(response) {
  try {
    return await response.json();
  } catch {
    throw new ServiceError("The answer of the service cannot be read.");
  }
}

/** Return the response to a request; `isResult` tells whether an error has the results, too. */
async function answer(path, options = {}, isResult = () => false) {
  for (let attempt = 0; ; attempt += 1) {
    const response = await send(path, options);
    if (response.ok) return response;
    const body = await response.clone().json().catch(() => null);
    if ([429, 503].includes(response.status) && attempt < REPEATS) {
      await pause(waitOf(response), options.signal);
    } else if (isResult(body)) {
      return response;
    } else {
      throw errorOf(response.status, body);
    }
  }
}

async function send(path, options) {
  const headers = key ? { "X-API-Key": key } : {};
  try {
    return await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("The service does not answer. Check that it is running, and try again.");
  }
}

function errorOf(status, body) {
  const reason = sentence(body?.error ?? body?.detail);
  if (status === 401) return new KeyNeeded(reason);
  if (status === 413) return new Refused(reason || "The image is larger than the service accepts.");
  if (status === 429 || status === 503) return new ServiceError(reason || "The service is busy. Try again later.");
  const message = reason || `The service answers with the error ${status}.`;
  return [400, 408, 415, 422].includes(status) ? new Refused(message) : new ServiceError(message);
}

/** Return a message of the service as a sentence, or "" if it is none. */
export function sentence(text) {
  if (typeof text !== "string" || !text) return "";
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

function waitOf(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  return Math.min(seconds > 0 ? seconds : 1, LONGEST_WAIT_S);
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}
