// Reading zip archives in the browser: the central directory, stored and deflated entries, no zip64 archives.

const END = 0x06054b50, CENTRAL = 0x02014b50, LOCAL = 0x04034b50;

/**
 * Read every file of a zip archive.
 * @param {ArrayBuffer} buffer the whole archive
 * @returns {Promise<Map<string, Uint8Array>>} file name -> bytes, in the archive's order
 * @throws {Error} where the bytes are no archive that this reader knows
 */
export async function readZip(buffer) {
  const view = new DataView(buffer);
  let end = buffer.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end--;
  if (end < 0) throw new Error("The answer is not a zip archive.");
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  const files = new Map();
  for (let i = 0; i < count; i++) {
    if (view.getUint32(at, true) !== CENTRAL) throw new Error("The archive's directory is damaged.");
    const method = view.getUint16(at + 10, true), size = view.getUint32(at + 20, true);
    const nameLength = view.getUint16(at + 28, true), start = view.getUint32(at + 42, true);
    if (size === 0xffffffff || start === 0xffffffff) throw new Error("Archives over 4 GB are not read here.");
    const name = new TextDecoder().decode(new Uint8Array(buffer, at + 46, nameLength));
    if (view.getUint32(start, true) !== LOCAL) throw new Error(`The archive's entry ${name} is damaged.`);
    const data = start + 30 + view.getUint16(start + 26, true) + view.getUint16(start + 28, true);
    files.set(name, await unpack(new Uint8Array(buffer, data, size), method, name));
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return files;
}

async function unpack(bytes, method, name) {
  if (method === 0) return bytes;
  if (method !== 8) throw new Error(`The archive's entry ${name} is packed by method ${method}; 0 and 8 are known.`);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
