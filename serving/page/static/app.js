// The page: takes images, sends them to the service and shows the results.

import { showCard, showHeading, showMeaning } from "./card.js";
import { csv, imageRows, patientRows } from "./csv.js";
import { Detail } from "./detail.js";
import { byId, download, element } from "./dom.js";
import { droppedFiles, named, nextBatch, pastedFiles, refusal } from "./files.js";
import { meansByPatient, patientOf } from "./patients.js";
import * as service from "./service.js";
import { ImageTable, showPatients, tally } from "./table.js";
import { count, percent, quoted } from "./words.js";

/** State of the page. An item is one image: id, file, path, url, patient, and result or error. */
const state = { card: null, items: [], selected: null, running: null };
let lastId = 0;
let pasted = 0;

const detail = new Detail(byId("detail"), askForKey);
const table = new ImageTable(byId("image-table"), openItem);

// ---- Model -------------------------------------------------------------------------------------

async function loadModel() {
  try {
    state.card = await service.fetchModel();
  } catch (error) {
    if (error instanceof service.KeyNeeded) askForKey(error);
    else report(`The model card cannot be loaded. ${error.message}`, loadModel);
    return;
  }
  showHeading(state.card, byId("model-name"), byId("model-summary"));
  showMeaning(state.card, byId("meaning"));
  showCard(state.card, byId("card"));
  byId("about").hidden = false;
  showExamples(await service.fetchExamples());
  await classifyWaiting();
}

function showExamples(examples) {
  byId("examples").hidden = examples.length === 0;
  const items = examples.map((example) => {
    const label = example.name.replace(/\.\w+$/, "").replaceAll("-", " ");
    const picture = element("img", { src: example.url, alt: "", width: 72, height: 72 });
    const add = async () => {
      try {
        await addFiles([named(await service.fetchExample(example))]);
      } catch (error) {
        report(error.message);
      }
    };
    return element("li", {}, element("button", { type: "button", click: add }, picture, label));
  });
  byId("example-list").replaceChildren(...items);
}

// ---- Images ------------------------------------------------------------------------------------

async function addFiles(found) {
  clearReport();
  if (found.length === 0) return;
  const toPatient = patientOf(byId("pattern").value);
  const added = found.map(({ file, path }) => ({
    id: (lastId += 1),
    file,
    path,
    url: URL.createObjectURL(file),
    patient: toPatient(path),
    error: refusal(file),
  }));
  state.items.push(...added);
  state.selected = added[0];
  show();
  await classifyWaiting();
}

const waiting = () => state.items.filter((item) => !item.result && !item.error);

/** Classify the images that wait, in requests of bounded size, one after the other. */
async function classifyWaiting() {
  if (state.running) return;
  if (waiting().length === 0 || !state.card) {
    announce();
    return;
  }
  state.running = new AbortController();
  const total = waiting().length;
  try {
    while (waiting().length) {
      showProgress(total - waiting().length, Math.max(total, waiting().length));
      await classify(nextBatch(waiting()), state.running.signal);
      show();
      bringIntoView();
    }
  } catch (error) {
    if (error instanceof service.KeyNeeded) askForKey(error);
    else if (error.name === "AbortError") stopped();
    else report(error.message, classifyWaiting);
  } finally {
    state.running = null;
    byId("progress").hidden = true;
    announce();
  }
}

async function classify(batch, signal) {
  let answer;
  try {
    answer = await service.predict(batch.map((item) => item.file), signal);
  } catch (error) {
    if (!(error instanceof service.Refused)) throw error;
    // One image that the service refuses must not take the others of its request with it.
    if (batch.length > 1) for (const item of batch) await classify([item], signal);
    else batch[0].error = error.message;
    return;
  }
  answer.images.forEach((result, index) => {
    const item = batch[index];
    if (result.error) item.error = service.sentence(result.error);
    else item.result = { ...result, version: answer.model.version };
  });
}

function stopped() {
  const left = waiting();
  for (const item of left) item.error = "The classification was stopped.";
  show();
}

function removeAll() {
  state.running?.abort();
  for (const item of state.items) URL.revokeObjectURL(item.url);
  state.items = [];
  state.selected = null;
  table.clear();
  clearReport();
  show();
  announce();
  byId("choose").focus();
}

// ---- Views -------------------------------------------------------------------------------------

function show() {
  const { items, card, selected } = state;
  if (!card) return;
  const isMany = items.length > 1;
  byId("results").classList.toggle("with-table", isMany);
  byId("many").hidden = !isMany;
  if (isMany) {
    table.show(items, card, selected);
    showPatientPart();
  }
  detail.update(selected, card);
}

/** On a narrow screen, the results are below the part for choosing images. */
function bringIntoView() {
  const { top } = byId("results").getBoundingClientRect();
  if (top > 0.6 * window.innerHeight) byId("results").scrollIntoView({ block: "start" });
}

function openItem(item) {
  state.selected = item;
  table.select(item);
  detail.update(item, state.card);
  // On a narrow screen the image is below the table.
  if (!isInView(byId("detail"))) {
    byId("detail").scrollIntoView({ block: "start" });
    byId("detail").focus({ preventScroll: true });
  }
}

function isInView(node) {
  const { top } = node.getBoundingClientRect();
  return top >= 0 && top < window.innerHeight - 160;
}

function showPatientPart() {
  const { items, card } = state;
  const classified = items.filter((item) => item.result && item.patient !== null);
  const patients = meansByPatient(classified, card);
  byId("patient-scroller").hidden = patients.length === 0;
  byId("download-patients").hidden = patients.length === 0;
  showPatients(byId("patient-table"), patients, card);
  const without = items.filter((item) => item.patient === null).length;
  const hasPattern = byId("pattern").value.trim() !== "";
  byId("pattern-result").textContent = hasPattern
    ? `${count(patients.length, "patient")}; ${count(without, "image")} without a patient. The ` +
      `decision applies the threshold of ${percent(card.threshold.value)} to the mean.`
    : "";
}

function changePattern() {
  const toPatient = patientOf(byId("pattern").value);
  for (const item of state.items) item.patient = toPatient(item.path);
  table.show(state.items, state.card, state.selected);
  showPatientPart();
}

function showProgress(done, total) {
  byId("progress").hidden = false;
  byId("progress-text").textContent = `Classifying ${count(total, "image")}: ${done} done`;
  byId("progress-bar").max = total;
  byId("progress-bar").value = done;
}

/** Say the state in the live region. */
function announce() {
  const { items, selected } = state;
  const [only] = items;
  let text = "";
  if (items.length > 1) text = `${count(items.length, "image")}: ${tally(items)}.`;
  else if (only?.error) text = `${only.path} is not classified.`;
  else if (only?.result) {
    const { decision, probabilities } = only.result;
    text = `${only.path}: ${quoted(decision)}, ${percent(probabilities[decision])}.`;
  } else if (selected) text = "1 image is waiting.";
  byId("status").textContent = text;
}

function report(message, again = null) {
  const box = byId("problems");
  box.replaceChildren(element("p", { text: message }));
  if (again) {
    const repeat = () => {
      clearReport();
      again();
    };
    box.append(element("button", { type: "button", text: "Try again", click: repeat }));
  }
  box.hidden = false;
}

function clearReport() {
  byId("problems").hidden = true;
  byId("problems").replaceChildren();
}

function askForKey(error) {
  byId("key-reason").textContent = service.hasKey()
    ? "The service does not accept this key."
    : "This service accepts requests only with an API key.";
  byId("key-form").hidden = false;
  byId("key").focus();
  byId("key-form").dataset.reason = error.message;
}

// ---- Events ------------------------------------------------------------------------------------

const filesOf = (input) => {
  const found = [...input.files].map(named);
  input.value = ""; // so that the same file can be chosen again
  return found;
};

byId("choose").addEventListener("click", () => byId("files").click());
byId("take-photo").addEventListener("click", () => byId("camera").click());
byId("drop-zone").addEventListener("click", (event) => {
  if (!event.target.closest("button, input")) byId("files").click();
});
for (const id of ["files", "camera"]) {
  byId(id).addEventListener("change", (event) => addFiles(filesOf(event.target)));
}

// The whole page accepts a drop: otherwise a browser opens a file that misses the zone.
let depth = 0;
const setOver = (isOver) => byId("drop-zone").classList.toggle("over", isOver);
document.addEventListener("dragenter", (event) => {
  event.preventDefault();
  depth += 1;
  setOver(true);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("dragleave", () => {
  depth = Math.max(0, depth - 1);
  setOver(depth > 0);
});
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  depth = 0;
  setOver(false);
  const found = await droppedFiles(event.dataTransfer);
  if (found.length) await addFiles(found);
  else report("The drop contains no files. Save the image first, and drop the file.");
});

document.addEventListener("paste", async (event) => {
  const found = pastedFiles(event.clipboardData, pasted + 1);
  if (found.length) {
    event.preventDefault();
    pasted += found.length;
    await addFiles(found);
  } else if (!event.target.closest?.("input, textarea")) {
    report("The clipboard contains no image. Copy an image, not its address or text.");
  }
});

byId("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  service.useKey(byId("key").value.trim());
  byId("key").value = "";
  byId("key-form").hidden = true;
  byId("choose").focus();
  await (state.card ? classifyWaiting() : loadModel());
});

byId("pattern").addEventListener("input", changePattern);
byId("stop").addEventListener("click", () => state.running?.abort());
byId("remove").addEventListener("click", removeAll);
byId("download").addEventListener("click", () => {
  const rows = imageRows(table.sorted(), state.card);
  download(`predictions-${state.card.name}.csv`, csv(rows), "text/csv;charset=utf-8");
});
byId("download-patients").addEventListener("click", () => {
  const classified = state.items.filter((item) => item.result && item.patient !== null);
  const rows = patientRows(meansByPatient(classified, state.card), state.card);
  download(`patients-${state.card.name}.csv`, csv(rows), "text/csv;charset=utf-8");
});

loadModel();
