// Cloudflare's KV REST endpoints over Miniflare's KV, so that the control plane's real client has something to talk to.
//
// Paths, limits and error codes are those of the API reference (api/resources/kv) and of KV's and the API's limits pages:
// a call that would be refused there is refused here.
import { createServer } from "node:http";

const ROUTE = /^\/client\/v4\/accounts\/([^/]+)\/storage\/kv\/namespaces\/([^/]+)\/(bulk|bulk\/delete|bulk\/get|keys|(values|metadata)\/(.+))$/;
const MIB = 1024 * 1024;
const BULK_PAIRS_LIMIT = 10_000;
const BULK_GET_LIMIT = 100;
const BULK_BYTES_LIMIT = 100_000_000;
const KEY_BYTES_LIMIT = 512;
const VALUE_BYTES_LIMIT = 25 * MIB;
const METADATA_BYTES_LIMIT = 1024;
const FORM_BYTES_LIMIT = VALUE_BYTES_LIMIT + MIB; // a value at its limit, metadata and the form around them
const EXPIRATION_TTL_MINIMUM_S = 60;
const LIST_MINIMUM = 10;
const LIST_LIMIT = 1000;
const RATE_WINDOW_MS = 300_000; // the window, and then the penalty
const PARALLEL_OPERATIONS = 50;

/** A refusal as Cloudflare words it. */
class ApiError extends Error {
  constructor(status, code, message, headers = {}) {
    super(message);
    Object.assign(this, { status, code, headers });
  }
}
const invalid = (message) => new ApiError(400, 10030, message);
const tooLarge = (message) => new ApiError(413, 10030, message);
const keyNotFound = () => new ApiError(404, 10009, "get: 'key not found'");

/**
 * Serves on `port` (0: a free one) until `close()`. `namespaces` maps an id to a function that finds its KVNamespace.
 * Keys that match `failKeys` are reported by the bulk calls as unsuccessful, as Cloudflare may report any key.
 */
export async function startKvRest({ port, token, accountId, namespaces, failKeys, requestLimit }) {
  const limiter = rateLimiter(requestLimit);
  const server = createServer(async (request, response) => {
    try {
      authenticate(request, token);
      limiter(Date.now());
      const { kv, operation, key, query } = await route(request, accountId, namespaces);
      send(response, await operation({ kv, key, query, request, failKeys }));
    } catch (error) {
      sendError(response, error);
    }
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}/client/v4`;
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url, close };
}

function authenticate({ headers }, token) {
  if (!headers.authorization) {
    throw new ApiError(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers");
  }
  if (!headers.authorization.startsWith("Bearer ")) throw new ApiError(400, 6003, "Invalid request headers");
  if (headers.authorization.slice("Bearer ".length) !== token) throw new ApiError(401, 10000, "Authentication error");
}

// After too many requests in a window, everything is refused for as long as the window is.
function rateLimiter(limit) {
  let [windowEnd, count, blockedUntil] = [0, 0, 0];
  return (now) => {
    if (now >= windowEnd) [windowEnd, count] = [now + RATE_WINDOW_MS, 0];
    if (now >= blockedUntil && ++count > limit) blockedUntil = now + RATE_WINDOW_MS;
    if (now >= blockedUntil) return;
    const seconds = Math.ceil((blockedUntil - now) / 1000);
    throw new ApiError(429, 971, "Please wait and consider throttling your request speed", { "retry-after": seconds });
  };
}

async function route({ method, url }, accountId, namespaces) {
  const [path, search = ""] = url.split("?"); // not new URL(): it would take keys such as `a/../b` apart
  const match = ROUTE.exec(path);
  const operation = match && OPERATIONS[`${method} ${match[4] ?? match[3]}`];
  if (!operation) throw new ApiError(404, 7003, `Could not route to ${path}, perhaps your object identifier is invalid?`);
  const [, account, namespace, , , key] = match;
  if (account !== accountId) throw new ApiError(403, 10000, "Authentication error");
  if (!namespaces.has(namespace)) throw new ApiError(404, 10013, "get namespace: 'namespace not found'");
  const kv = await namespaces.get(namespace)();
  return { kv, operation, key: key && checkedKey(decodeURIComponent(key)), query: new URLSearchParams(search) };
}

const OPERATIONS = {
  "PUT bulk": bulkPut,
  "POST bulk/delete": bulkDelete,
  "POST bulk/get": bulkGet,
  "PUT values": putValue,
  "GET values": getValue,
  "DELETE values": deleteValue,
  "GET metadata": getMetadata,
  "GET keys": listKeys,
};

// --- operations: each returns {result, info?} for the envelope, or {value, headers} for a raw body ---

async function bulkPut({ kv, request, failKeys }) {
  const pairs = await readList(request, BULK_PAIRS_LIMIT);
  const writes = pairs.map((pair) => [checkedKey(pair?.key), pairValue(pair), putOptions(pair)]);
  return bulkResult(writes, failKeys, ([key, value, options]) => kv.put(key, value, options));
}

async function bulkDelete({ kv, request, failKeys }) {
  const keys = await readList(request, BULK_PAIRS_LIMIT);
  return bulkResult(keys.map((key) => [checkedKey(key)]), failKeys, ([key]) => kv.delete(key));
}

// A bulk call is not atomic: it answers 200 and names the keys to send again.
async function bulkResult(entries, failKeys, apply) {
  const unsuccessful = [];
  for (let start = 0; start < entries.length; start += PARALLEL_OPERATIONS) {
    const batch = entries.slice(start, start + PARALLEL_OPERATIONS);
    const outcomes = await Promise.allSettled(batch.map((entry) => (failKeys?.test(entry[0]) ? Promise.reject() : apply(entry))));
    outcomes.forEach(({ status }, index) => status === "rejected" && unsuccessful.push(batch[index][0]));
  }
  return { result: { successful_key_count: entries.length - unsuccessful.length, unsuccessful_keys: unsuccessful } };
}

async function bulkGet({ kv, request }) {
  const { keys, type = "text", withMetadata = false } = await readJson(request);
  if (!Array.isArray(keys) || keys.length > BULK_GET_LIMIT) throw invalid(`keys must be a list of at most ${BULK_GET_LIMIT}`);
  if (type !== "text" && type !== "json") throw invalid("type must be text or json");
  keys.forEach(checkedKey);
  if (!keys.length) return { result: { values: {} } };
  const found = withMetadata ? await kv.getWithMetadata(keys, type) : await kv.get(keys, type);
  const shown = (entry) => (withMetadata ? entry?.value != null && { value: entry.value, metadata: entry.metadata } : entry);
  return { result: { values: Object.fromEntries([...found].map(([key, entry]) => [key, shown(entry) || null])) } };
}

async function putValue({ kv, key, query, request }) {
  const expiry = { expiration: numberOf(query, "expiration"), expiration_ttl: numberOf(query, "expiration_ttl") };
  const { value, metadata } = await readValue(request);
  if (value.byteLength > VALUE_BYTES_LIMIT) throw tooLarge(`value exceeds the limit of ${VALUE_BYTES_LIMIT} bytes`);
  await kv.put(key, value, putOptions({ ...expiry, metadata }));
  return { result: {} };
}

async function getValue({ kv, key }) {
  const value = await kv.get(key, "arrayBuffer");
  if (value === null) throw keyNotFound();
  return { value: Buffer.from(value) };
}

async function deleteValue({ kv, key }) {
  await kv.delete(key);
  return { result: {} };
}

async function getMetadata({ kv, key }) {
  const { value, metadata } = await kv.getWithMetadata(key, "arrayBuffer");
  if (value === null) throw keyNotFound();
  return { result: metadata };
}

async function listKeys({ kv, query }) {
  const limit = numberOf(query, "limit") ?? LIST_LIMIT;
  if (limit < LIST_MINIMUM || limit > LIST_LIMIT) throw invalid(`limit must be ${LIST_MINIMUM} to ${LIST_LIMIT}`);
  const list = await kv.list({ limit, prefix: query.get("prefix") ?? undefined, cursor: query.get("cursor") || undefined });
  return { result: list.keys, info: { count: list.keys.length, cursor: list.list_complete ? "" : list.cursor } };
}

// --- what is read from a request ---

function checkedKey(key) {
  if (typeof key !== "string" || key === "" || key === "." || key === "..") throw invalid("invalid key name");
  if (Buffer.byteLength(key) > KEY_BYTES_LIMIT) throw invalid(`key name exceeds the limit of ${KEY_BYTES_LIMIT} bytes`);
  return key;
}

function pairValue({ value, base64 = false }) {
  if (typeof value !== "string") throw invalid("value must be a string");
  const bytes = Buffer.from(value, base64 ? "base64" : "utf8");
  if (bytes.byteLength > VALUE_BYTES_LIMIT) throw invalid(`value exceeds the limit of ${VALUE_BYTES_LIMIT} bytes`);
  return toArrayBuffer(bytes);
}

// Where both are set, `expiration_ttl` counts.
function putOptions({ expiration, expiration_ttl: expirationTtl, metadata }) {
  if (expirationTtl != null && !(expirationTtl >= EXPIRATION_TTL_MINIMUM_S)) {
    throw invalid(`expiration_ttl must be at least ${EXPIRATION_TTL_MINIMUM_S}`);
  }
  if (expiration != null && !(expiration >= Date.now() / 1000 + EXPIRATION_TTL_MINIMUM_S)) {
    throw invalid(`expiration must be at least ${EXPIRATION_TTL_MINIMUM_S} seconds in the future`);
  }
  if (metadata != null && Buffer.byteLength(JSON.stringify(metadata)) > METADATA_BYTES_LIMIT) {
    throw invalid(`metadata exceeds the limit of ${METADATA_BYTES_LIMIT} bytes`);
  }
  return expirationTtl != null ? { expirationTtl, metadata } : { expiration: expiration ?? undefined, metadata };
}

function numberOf(query, name) {
  const text = query.get(name);
  if (text === null) return undefined;
  if (!/^\d+$/.test(text)) throw invalid(`${name} must be a number`);
  return Number(text);
}

// The body itself, or a form of `value` and `metadata`, which is JSON.
async function readValue(request) {
  const body = await readBody(request, FORM_BYTES_LIMIT);
  const contentType = request.headers["content-type"] ?? "";
  if (!contentType.startsWith("multipart/form-data")) return { value: toArrayBuffer(body) };
  const form = await new Response(body, { headers: { "content-type": contentType } }).formData().catch(() => null);
  const value = form?.get("value");
  if (value == null) throw invalid("the form has no value");
  const metadata = form.get("metadata");
  return { value: await new Response(value).arrayBuffer(), metadata: metadata === null ? undefined : parseJson(metadata) };
}

async function readList(request, limit) {
  const list = await readJson(request);
  if (!Array.isArray(list)) throw invalid("the body must be a list");
  if (list.length > limit) throw invalid(`at most ${limit} keys in one request`);
  return list;
}

const readJson = async (request) => parseJson((await readBody(request, BULK_BYTES_LIMIT)).toString());

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid("could not parse JSON");
  }
}

async function readBody(request, limit) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk); // what is too much is still read, so that the client can read the refusal
  }
  if (size > limit) throw tooLarge(`the request exceeds ${limit} bytes`);
  return Buffer.concat(chunks);
}

const toArrayBuffer = (bytes) => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);

// --- answers ---

function send(response, { value, result, info }) {
  if (value) return response.writeHead(200, { "content-type": "application/octet-stream" }).end(value);
  const envelope = { result, success: true, errors: [], messages: [], ...(info && { result_info: info }) };
  return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(envelope));
}

function sendError(response, error) {
  const known = error instanceof ApiError;
  if (!known) process.stderr.write(`kv rest: ${String(error.message).split("\n", 1)[0]}\n`);
  const { status, code, message, headers } = known ? error : new ApiError(500, 10001, "internal server error");
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ result: null, success: false, errors: [{ code, message }], messages: [] }));
}
