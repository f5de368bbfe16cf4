// Talking to the service: one function per endpoint, one error type.

/** What the service (or the network) answered instead of a result. */
export class ServiceError extends Error {
  constructor(message, hint = "", code = "", status = 0) {
    super(message);
    Object.assign(this, { hint, code, status });
  }
}

async function call(path, init, key) {
  // A header takes bytes, one a character.
  const headers = key ? { Authorization: `Bearer ${String.fromCharCode(...new TextEncoder().encode(key))}` } : {};
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), { ...init, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("The service cannot be reached.", "Check that it is still running, then run again.", "unreachable");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  const { message, hint, code } = body?.error ?? {};
  throw new ServiceError(message ?? `The service answered with status ${response.status}.`, hint ?? "", code ?? "", response.status);
}

function form(fields) {
  const data = new FormData();
  for (const [name, value] of fields) if (value !== "" && value !== null && value !== undefined) data.append(name, value);
  return data;
}

/** @returns {Promise<Array>} the loaded bundles, as GET /v1/models tells them */
export async function listModels(key) {
  return (await (await call("v1/models", {}, key)).json()).models;
}

/** POST /v1/perceive; `options`: {format, resolution, model, focal_px}. */
export function perceive(file, options, { key, signal } = {}) {
  return call("v1/perceive", { method: "POST", body: form([["image", file], ...Object.entries(options)]), signal }, key);
}

/**
 * POST /v1/stitch; two files go as reference and target, more as images.
 * @param {File[]} files in the order of choice
 * @param {number|null} reference index of the reference, null for the service's own choice
 */
export function stitch(files, reference, options, { key, signal } = {}) {
  const first = reference ?? 0;
  const named = files.length === 2
    ? [["reference", files[first]], ["target", files[1 - first]]]
    : [...files.map((file) => ["images", file]), ["reference_index", reference === null ? null : String(reference)]];
  return call("v1/stitch", { method: "POST", body: form([...named, ...Object.entries(options)]), signal }, key);
}
