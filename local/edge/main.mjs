// The local edge: runs the Worker of a wrangler.toml in workerd on this machine, with Cloudflare's KV REST endpoints
// beside it. Writes one JSON line to stdout when it is ready and after each reload; all else goes to stderr.
//
//   node local/edge/main.mjs [wrangler.toml]
import { execFileSync } from "node:child_process";
import { watch } from "node:fs";
import path from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { readProject } from "./config.mjs";
import { startCrons } from "./crons.mjs";
import { startKvRest } from "./kv_rest.mjs";
import { pythonWorkerModules } from "./modules.mjs";

const PROJECT = path.resolve(process.argv[2] ?? path.join(import.meta.dirname, "../../wrangler.toml"));
const HOST = "127.0.0.1";
const RELOAD_DELAY_MS = 100; // editors write a file in several steps
const STOP_LIMIT_MS = 1500;

const { env } = process;
const dataFolder = path.resolve(env.HAOTOKAI_DATA ?? ".local", "edge");
const sdk = env.WORKERS_SDK ?? locateSdk();
const bindings = JSON.parse(env.EDGE_BINDINGS ?? "{}");
let edgePort = Number(env.EDGE_PORT ?? 8787);
let kvRest;

class StderrLog extends Log {
  log(message) {
    process.stderr.write(`${message}\n`);
  }
}

const project = readProject(PROJECT, bindings);
const miniflare = new Miniflare(options());
replaceSignalHandlers();
// It listens before the Worker runs: a call that comes early waits for its namespace.
kvRest = await startKvRest({
  port: Number(env.KV_REST_PORT ?? 0),
  token: required("CLOUDFLARE_API_TOKEN"),
  accountId: required("CLOUDFLARE_ACCOUNT_ID"),
  namespaces: new Map(project.kvNamespaces.map(({ id, binding }) => [id, () => miniflare.getKVNamespace(binding)])),
  failKeys: env.KV_REST_FAIL_KEYS && new RegExp(env.KV_REST_FAIL_KEYS),
  requestLimit: Number(env.KV_REST_REQUEST_LIMIT ?? 1200),
});
edgePort = Number((await miniflare.unsafeGetDirectURL().catch(failToStart)).port);
startCrons(project.crons, fireCron);
watchWorker();
await announce();

function options() {
  return convertV4MiniflareOptions({
    ...project.worker,
    modules: pythonWorkerModules({ ...project, sdk }),
    // The Worker's own socket; Miniflare's stands before its entry Worker, which costs each request a hop.
    unsafeDirectSockets: [{ host: HOST, port: edgePort }],
    host: HOST,
    port: 0,
    cf: false,
    unsafeTriggerHandlers: true,
    resourcePersistencePath: dataFolder,
    log: new StderrLog(LogLevel.WARN),
    handleStructuredLogs: ({ level, message }) => process.stderr.write(`${level}: ${message}\n`),
  });
}

// workerd has said why on stderr, and the error repeats it.
function failToStart(error) {
  process.stderr.write(`the edge could not start: ${firstLine(error)}\n`);
  process.exit(1);
}

function firstLine(error) {
  return String(error.message).split("\n", 1)[0];
}

async function announce() {
  const ready = {
    event: "ready",
    edge_url: `http://${HOST}:${edgePort}`,
    cloudflare_url: kvRest.url,
    scheduled_url: new URL("/cdn-cgi/local/scheduled", await miniflare.ready).href, // GET runs the crons' handler now
  };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

function watchWorker() {
  let timer;
  let reloading = Promise.resolve();
  watch(project.workerRoot, { recursive: true }, (_, file) => {
    if (!file?.endsWith(".py")) return;
    clearTimeout(timer);
    timer = setTimeout(() => (reloading = reloading.then(reload)), RELOAD_DELAY_MS);
  });
}

async function reload() {
  try {
    await miniflare.setOptions(options());
    await announce();
  } catch (error) {
    // The error is shown, and the next edit tries again.
    process.stderr.write(`reload failed: ${firstLine(error)}\n`);
  }
}

async function fireCron(cron, scheduledTime) {
  try {
    const worker = await miniflare.getWorker();
    await worker.scheduled({ cron, scheduledTime });
  } catch (error) {
    process.stderr.write(`cron ${cron} failed: ${firstLine(error)}\n`);
  }
}

// Miniflare's handlers kill workerd and exit at once with 143; a stop that was asked for is not a failure.
function replaceSignalHandlers() {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.removeAllListeners(signal);
    process.on(signal, stop);
  }
}

async function stop() {
  setTimeout(() => process.exit(0), STOP_LIMIT_MS).unref();
  kvRest?.close();
  await miniflare.dispose().catch(() => {});
  process.exit(0);
}

function locateSdk() {
  const find = "import importlib.util as u; print(u.find_spec('workers').submodule_search_locations[0])";
  return execFileSync("python", ["-c", find], { encoding: "utf8" }).trim();
}

function required(name) {
  if (!env[name]) throw new Error(`${name} must be set`);
  return env[name];
}
