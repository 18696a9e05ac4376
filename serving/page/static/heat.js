// Drawing of heat maps.

/**
 * Colors from low to high values: the upper part of matplotlib's "viridis". Teal, green and yellow
 * differ from the usual stains and from skin, and their order is also visible without color vision.
 */
const COLORS = [
  [38, 130, 142], [31, 158, 137], [74, 193, 109], [160, 218, 57], [253, 231, 37],
]; // prettier-ignore

/**
 * Draw a heat map and return whether any of its values is above 0.
 *
 * `heatmap` is a PNG image in base64, whose opacity is the value; its color is not used.
 */
export async function drawHeat(canvas, heatmap) {
  const picture = new Image();
  picture.src = `data:image/png;base64,${heatmap}`;
  await picture.decode();
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  let largest = 0;
  for (let at = 0; at < image.data.length; at += 4) {
    const value = image.data[at + 3];
    largest = Math.max(largest, value);
    image.data.set(colorOf(value / 255), at);
  }
  context.putImageData(image, 0, 0);
  return largest > 0;
}

function colorOf(value) {
  const place = value * (COLORS.length - 1);
  const index = Math.min(Math.floor(place), COLORS.length - 2);
  const part = place - index;
  return COLORS[index].map((low, band) => low + part * (COLORS[index + 1][band] - low));
}
