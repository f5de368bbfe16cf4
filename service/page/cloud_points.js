// A depth map as points in space, and as a PLY file.

// A surface seen so much from the side is, in a depth map, nearly always the soft rim between two things. Floors and
// streets are seen from the side too, but only along the columns.
const STEEPEST_ACROSS = 7, STEEPEST_DOWN = 14;
const WIDEST = 3;

/**
 * Points of a depth map.
 *
 * Convention: camera frame x right, y down, z forward, metres; the centre of pixel (0, 0) is at (0, 0).
 * @param {{depth: Float32Array, width: number, height: number, focal: number, centre: [number, number]}} map depth in
 *   metres, 0 where there is none; focal length in pixels of the map; principal point as fractions of its sides
 * @param {number} most about how many points there may be at most
 * @returns {{positions: Float32Array, spreads: Float32Array, pixels: Uint32Array, step: number, middle: number}} x, y, z
 *   of each point; how much farther off its neighbours are than on a surface that faces the camera, 1 to WIDEST; the
 *   pixel it comes from; pixels between neighbours; median z
 */
export function unproject({ depth, width, height, focal, centre }, most = Infinity) {
  const step = Math.max(1, Math.sqrt((width * height) / most));
  const columns = Math.floor(width / step), rows = Math.floor(height / step);
  const cx = centre[0] * width - 0.5, cy = centre[1] * height - 0.5, reach = Math.max(1, Math.round(width / 320));
  const positions = new Float32Array(3 * columns * rows), spreads = new Float32Array(columns * rows), pixels = new Uint32Array(columns * rows);
  let count = 0;
  for (let row = 0; row < rows; row++) {
    const y = Math.floor((row + 0.5) * step);
    for (let column = 0; column < columns; column++) {
      const x = Math.floor((column + 0.5) * step), i = y * width + x, z = depth[i];
      if (!(z > 0)) continue;
      const right = depth[x + reach < width ? i + reach : i - reach], below = depth[y + reach < height ? i + reach * width : i - reach * width];
      const across = (Math.abs(right - z) * focal) / (reach * z), down = (Math.abs(below - z) * focal) / (reach * z);
      if (across > STEEPEST_ACROSS || down > STEEPEST_DOWN) continue;
      spreads[count] = Math.min(Math.hypot(1, Math.max(across, down)), WIDEST);
      positions[3 * count] = ((x - cx) * z) / focal;
      positions[3 * count + 1] = ((y - cy) * z) / focal;
      positions[3 * count + 2] = z;
      pixels[count++] = i;
    }
  }
  const depths = Float32Array.from({ length: Math.min(count, 4001) }, (_, k) => positions[3 * Math.floor((k * count) / Math.min(count, 4001)) + 2]).sort();
  return { positions: positions.slice(0, 3 * count), spreads: spreads.slice(0, count), pixels: pixels.slice(0, count), step, middle: depths[depths.length >> 1] ?? 1 };
}

/** RGBA bytes of the points from RGBA bytes of the map. */
export function pick(pixels, rgba) {
  const source = new Uint32Array(rgba.buffer, rgba.byteOffset, rgba.length / 4), colours = new Uint32Array(pixels.length);
  for (let k = 0; k < pixels.length; k++) colours[k] = source[pixels[k]];
  return new Uint8Array(colours.buffer);
}

/**
 * Binary PLY of coloured points, metres. Viewers expect y up and look along -z, so y and z change their signs.
 * @returns {Blob}
 */
export function writePly(positions, colours) {
  const count = positions.length / 3;
  const header = ["ply", "format binary_little_endian 1.0", "comment metres: x right, y up, the camera at 0 looks along -z",
    `element vertex ${count}`, "property float x", "property float y", "property float z",
    "property uchar red", "property uchar green", "property uchar blue", "end_header", ""].join("\n");
  const body = new DataView(new ArrayBuffer(15 * count));
  for (let k = 0; k < count; k++) {
    body.setFloat32(15 * k, positions[3 * k], true);
    body.setFloat32(15 * k + 4, -positions[3 * k + 1], true);
    body.setFloat32(15 * k + 8, -positions[3 * k + 2], true);
    for (let c = 0; c < 3; c++) body.setUint8(15 * k + 12 + c, colours[4 * k + c]);
  }
  return new Blob([header, body], { type: "application/octet-stream" });
}
