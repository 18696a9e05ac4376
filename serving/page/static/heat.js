// Drawing of heat maps.

/**
 * Draw a heat map, a PNG image in base64, and return whether any part of it is visible.
 */
export async function drawHeat(canvas, heatmap) {
  const picture = new Image();
  picture.src = `data:image/png;base64,${heatmap}`;
  await picture.decode();
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value, index) => index % 4 === 3 && value > 0);
}
