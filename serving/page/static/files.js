// Files from the file chooser, the clipboard and drag and drop.

/** Formats that the service does not read, with the advice that is given instead of an upload. */
const NOT_READ = [
  [
    /\.(heic|heif|hif)$/i,
    /^image\/hei[cf]/,
    "HEIC is not supported. Save the photo as JPEG; an iPhone takes JPEG photos with Settings, " +
      "Camera, Formats, Most Compatible.",
  ],
  [/\.(avif|avifs)$/i, /^image\/avif/, "AVIF is not supported. Save the image as PNG or JPEG."],
  [/\.svgz?$/i, /^image\/svg/, "SVG is a drawing without pixels. Save it as PNG."],
  [
    /\.(pdf|docx?|xlsx?|pptx?|csv|tsv|txt|md|html?|json|xml|zip|gz|mp4|mov|avi|mp3|wav)$/i,
    /^(video|audio|text)\//,
    "This is not an image. Choose files such as JPEG, PNG, TIFF or DICOM.",
  ],
];

/** Return why a file is not sent to the service, or null if it is. */
export function refusal(file) {
  if (file.size === 0) return "The file is empty.";
  const found = NOT_READ.find(([name, type]) => name.test(file.name) || type.test(file.type));
  return found ? found[2] : null;
}

/** Return the files of a drop, including those in folders, as `{ file, path }`. */
export async function droppedFiles(transfer) {
  // Entries must be taken before the first await: afterwards the transfer is empty.
  const entries = [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry?.() ?? null);
  const files = [...transfer.files];
  const found = [];
  for (const [index, entry] of entries.entries()) {
    if (entry?.isDirectory) found.push(...(await filesBelow(entry)));
    else if (files[index]) found.push(named(files[index]));
  }
  return entries.length ? found : files.map(named);
}

/** Return the images of the clipboard as `{ file, path }`; screenshots all have the same name. */
export function pastedFiles(clipboard, number) {
  return [...clipboard.files].map((file, index) => {
    if (file.name !== "image.png") return named(file);
    const name = `pasted-${number + index}.png`;
    return named(new File([file], name, { type: file.type }));
  });
}

/** Return a file with its path. */
export const named = (file) => ({ file, path: file.webkitRelativePath || file.name });

async function filesBelow(folder) {
  const found = [];
  for (const entry of await entriesOf(folder)) {
    if (entry.name.startsWith(".")) continue; // files of the operating system
    if (entry.isDirectory) {
      found.push(...(await filesBelow(entry)));
    } else {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    }
  }
  return found;
}

async function entriesOf(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    // One call returns at most 100 entries.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

/** Largest number of files, and of bytes, in one request. */
const FILES_PER_REQUEST = 16;
const BYTES_PER_REQUEST = 8_000_000;

/** Return the next items that fit into one request: at least one, as many as the limits allow. */
export function nextBatch(waiting) {
  const batch = [];
  let bytes = 0;
  for (const item of waiting) {
    bytes += item.file.size;
    if (batch.length && (batch.length === FILES_PER_REQUEST || bytes > BYTES_PER_REQUEST)) break;
    batch.push(item);
  }
  return batch;
}
