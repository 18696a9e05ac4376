// CSV files (RFC 4180) of the predictions.

/** Return rows of values as the text of a CSV file. */
export function csv(rows) {
  const text = rows.map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
  // Excel reads a file without this mark in the code page of the system.
  return /[^\x00-\x7f]/.test(text) ? `\ufeff${text}` : text;
}

function field(value) {
  let text = String(value ?? "");
  // Spreadsheets would execute a file name such as "=HYPERLINK(...)" as a formula.
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Return the rows of all images, with a header. */
export function imageRows(items, card) {
  const names = card.class_names;
  const header = [
    "name", "patient", "class", "decision", ...names.map((name) => `probability_${name}`),
    "warnings", "error", "model", "version", "threshold",
  ]; // prettier-ignore
  const rows = items.map(({ path, patient, result, error }) => [
    path,
    patient,
    result?.class,
    result?.decision,
    ...names.map((name) => result?.probabilities[name]),
    result?.warnings?.join("; "),
    error,
    card.name,
    result?.version,
    card.threshold.value,
  ]);
  return [header, ...rows];
}

/** Return the rows of all patients, with a header. */
export function patientRows(patients, card) {
  const names = card.class_names;
  const header = ["patient", "images", "decision", ...names.map((name) => `mean_${name}`)];
  const rows = patients.map(({ patient, images, decision, means }) => [
    patient, images, decision, ...names.map((name) => means[name]),
  ]); // prettier-ignore
  return [header, ...rows];
}
