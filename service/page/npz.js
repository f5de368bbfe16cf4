// NumPy's npz files: a zip of npy files. Little-endian, C order, the types that the service writes.

import { readZip } from "./zip.js";

const TYPES = {
  "<f4": Float32Array, "<f8": Float64Array, "|u1": Uint8Array, "|b1": Uint8Array, "|i1": Int8Array,
  "<u2": Uint16Array, "<i2": Int16Array, "<u4": Uint32Array, "<i4": Int32Array,
};

/**
 * @param {ArrayBuffer} buffer the npz file
 * @returns {Promise<Object<string, {shape: number[], data: TypedArray|string}>>} arrays by key; a 0-d unicode array gives a string
 */
export async function readNpz(buffer) {
  const arrays = {};
  for (const [name, bytes] of await readZip(buffer)) {
    if (name.endsWith(".npy")) arrays[name.slice(0, -4)] = readNpy(bytes, name);
  }
  return arrays;
}

/**
 * @param {Uint8Array} bytes one npy file
 * @param {string} name for error messages
 * @returns {{shape: number[], data: TypedArray|string}}
 */
export function readNpy(bytes, name = "array") {
  if (String.fromCharCode(...bytes.slice(1, 6)) !== "NUMPY") throw new Error(`${name} is not an npy file.`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = bytes[6] >= 2;
  const start = long ? 12 : 10;
  const end = start + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(bytes.subarray(start, end));
  const type = /'descr':\s*'([^']+)'/.exec(header)?.[1];
  const shape = (/'shape':\s*\(([^)]*)\)/.exec(header)?.[1] ?? "").split(",").map((s) => s.trim()).filter(Boolean).map(Number);
  const count = shape.reduce((a, b) => a * b, 1);
  if (/'fortran_order':\s*True/.test(header) && shape.length > 1) throw new Error(`${name} is stored in Fortran order; C order is read here.`);
  if (type?.startsWith("<U") && count === 1) return { shape, data: text(view, end, Number(type.slice(2))) };
  const Typed = TYPES[type];
  if (!Typed) throw new Error(`${name} has the type ${type}; known are ${Object.keys(TYPES).join(", ")}.`);
  // slice copies, so that the typed array starts on a boundary of its own element size
  return { shape, data: new Typed(bytes.slice(end, end + count * Typed.BYTES_PER_ELEMENT).buffer) };
}

function text(view, at, length) {
  const parts = [];
  for (let i = 0; i < length; i++) {
    const point = view.getUint32(at + 4 * i, true);
    if (point) parts.push(String.fromCodePoint(point));
  }
  return parts.join("");
}
