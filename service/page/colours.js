// Colours of the maps. Depth uses a ramp that is even in OKLab lightness (Ottosson 2020): near is light yellow, far is dark blue.

/** OKLCH -> sRGB bytes; chroma is reduced until the colour exists. */
function oklch(lightness, chroma, degrees) {
  const h = (degrees * Math.PI) / 180;
  for (let c = chroma; ; c -= 0.004) {
    const a = Math.max(c, 0) * Math.cos(h), b = Math.max(c, 0) * Math.sin(h);
    const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
    const linear = [
      4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
      -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
      -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    ];
    if (c > 0 && linear.some((v) => v < -0.0005 || v > 1.0005)) continue;
    return linear.map((v) => {
      const x = Math.min(Math.max(v, 0), 1);
      return Math.round(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055));
    });
  }
}

/** 256 RGB triples, near (index 0) to far (index 255). */
export const RAMP = ramp();

function ramp() {
  const table = new Uint8Array(768);
  for (let i = 0; i < 256; i++) {
    const t = i / 255;
    table.set(oklch(0.94 - 0.7 * t, 0.17 - 0.05 * Math.abs(2 * t - 1), 105 - 195 * t), 3 * i);
  }
  return table;
}

/**
 * Colour a depth map; zero, the mark of "no depth", stays transparent.
 * @param {Float32Array} depth metres, row-major
 * @returns {{pixels: Uint8ClampedArray, near: number, far: number}} RGBA and the 2nd and 98th percentile in metres, the ends of the logarithmic scale
 */
export function colourDepth(depth) {
  const step = Math.max(1, Math.floor(depth.length / 20000)), sample = [];
  for (let i = 0; i < depth.length; i += step) if (depth[i] > 0) sample.push(depth[i]);
  sample.sort((a, b) => a - b);
  const near = sample[Math.floor(0.02 * (sample.length - 1))] ?? 1;
  const far = Math.max(sample[Math.ceil(0.98 * (sample.length - 1))] ?? 1, near * 1.001);
  const scale = 255 / Math.log(far / near), pixels = new Uint8ClampedArray(4 * depth.length);
  for (let i = 0; i < depth.length; i++) {
    if (!(depth[i] > 0)) continue;
    const k = 3 * Math.min(255, Math.max(0, Math.round(scale * Math.log(depth[i] / near))));
    pixels[4 * i] = RAMP[k]; pixels[4 * i + 1] = RAMP[k + 1]; pixels[4 * i + 2] = RAMP[k + 2]; pixels[4 * i + 3] = 255;
  }
  return { pixels, near, far };
}

/** RGB of a normal (camera frame: x right, y down, z forward): red = right, green = up, blue = towards the camera. */
export function normalColour(x, y, z) {
  return [127.5 * (1 + x), 127.5 * (1 - y), 127.5 * (1 - z)];
}

/** RGBA pixels of a normal map [H,W,3]; a zero vector stays transparent. */
export function colourNormals(normals) {
  const count = normals.length / 3, pixels = new Uint8ClampedArray(4 * count);
  for (let i = 0; i < count; i++) {
    const x = normals[3 * i], y = normals[3 * i + 1], z = normals[3 * i + 2];
    if (x === 0 && y === 0 && z === 0) continue;
    pixels[4 * i] = 127.5 * (1 + x); pixels[4 * i + 1] = 127.5 * (1 - y); pixels[4 * i + 2] = 127.5 * (1 - z); pixels[4 * i + 3] = 255;
  }
  return pixels;
}

/** RGBA pixels of a class map; `only` fades every other class, `valid` (depth, or null) leaves pixels with depth 0 out. */
export function colourClasses(labels, palette, only = null, valid = null) {
  const pixels = new Uint8ClampedArray(4 * labels.length);
  for (let i = 0; i < labels.length; i++) {
    if (valid && !(valid[i] > 0)) continue;
    const [r, g, b] = palette[labels[i]] ?? [128, 128, 128];
    pixels[4 * i] = r; pixels[4 * i + 1] = g; pixels[4 * i + 2] = b;
    pixels[4 * i + 3] = only === null || only === labels[i] ? 255 : 40;
  }
  return pixels;
}

/** RGBA pixels of probabilities, black at 0 and white at 1; `valid` (depth, or null) leaves pixels with depth 0 out. */
export function colourProbability(values, valid = null) {
  const pixels = new Uint8ClampedArray(4 * values.length);
  for (let i = 0; i < values.length; i++) {
    if (valid && !(valid[i] > 0)) continue;
    pixels.fill(Math.round(255 * values[i]), 4 * i, 4 * i + 3);
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

/** A palette of well separated hues, for a bundle that names none. */
export function defaultPalette(count) {
  return Array.from({ length: count }, (_, i) => oklch(0.55 + 0.25 * (i % 2), 0.14, (i * 360) / count));
}
