// Reading a photograph as the service does: turned as its EXIF says.

const ORIENTATION = 0x0112;
// Where x and y of a picture point once it stands upright: [x to the right, x down, y to the right, y down].
const AXES = {
  2: [-1, 0, 0, 1], 3: [-1, 0, 0, -1], 4: [1, 0, 0, -1],
  5: [0, 1, 1, 0], 6: [0, 1, -1, 0], 7: [0, -1, -1, 0], 8: [0, -1, 1, 0],
};

/**
 * @param {Blob} file
 * @returns {Promise<CanvasImageSource|null>} the upright photograph; null where the browser cannot read it (TIFF, damaged files)
 */
export async function readPicture(file) {
  try {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const orientation = takeOrientation(bytes);
    return turned(await createImageBitmap(new Blob([bytes], { type: file.type })), AXES[orientation]);
  } catch {
    return null;
  }
}

/**
 * The EXIF orientation of a WebP file, set to 1 in its bytes: Chromium does not turn WebP by it, and none shall twice.
 * 1 for files of other formats, which browsers turn themselves.
 */
function takeOrientation(bytes) {
  const view = new DataView(bytes.buffer), name = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  const hasExif = name(0) === "RIFF" && name(8) === "WEBP" && name(12) === "VP8X" && bytes[20] & 8;
  if (!hasExif) return 1;
  try {
    let at = 12;
    while (name(at) !== "EXIF") at += 8 + 2 * Math.ceil(view.getUint32(at + 4, true) / 2);
    const start = at + (name(at + 8) === "Exif" ? 14 : 8), little = name(start) === "II*\0";
    let entry = start + view.getUint32(start + 4, little) + 2;
    for (let left = view.getUint16(entry - 2, little); left > 0; left--, entry += 12) {
      if (view.getUint16(entry, little) !== ORIENTATION) continue;
      const orientation = view.getUint16(entry + 8, little);
      view.setUint16(entry + 8, 1, little);
      return orientation;
    }
  } catch {
    // a place outside the file: damaged EXIF counts as none
  }
  return 1;
}

/** The picture, stood upright. */
function turned(picture, axes) {
  if (!axes) return picture;
  const [a, b, c, d] = axes, [width, height] = a ? [picture.width, picture.height] : [picture.height, picture.width];
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  context.setTransform(a, b, c, d, Math.min(a, c) < 0 ? width : 0, Math.min(b, d) < 0 ? height : 0);
  context.drawImage(picture, 0, 0);
  return canvas;
}
