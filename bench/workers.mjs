// Serves one of workers/*.mjs in workerd, through Miniflare and on the Worker's own socket, as the product's local edge
// does. Writes one JSON line when it is ready.
//
//   node bench/workers.mjs pass_through http://127.0.0.1:9000/v1
import { readFileSync } from "node:fs";
import path from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { parse } from "smol-toml";

const HOST = "127.0.0.1";
const [name, upstream] = process.argv.slice(2);
const project = parse(readFileSync(path.join(import.meta.dirname, "../wrangler.toml"), "utf8"));

const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    name,
    compatibilityDate: project.compatibility_date,
    modules: [
      {
        type: "ESModule",
        path: "worker.mjs",
        contents: readFileSync(path.join(import.meta.dirname, "workers", `${name}.mjs`), "utf8"),
      },
    ],
    bindings: { UPSTREAM: upstream },
    unsafeDirectSockets: [{ host: HOST, port: 0 }],
    host: HOST,
    port: 0,
    cf: false,
    log: new Log(LogLevel.NONE),
  }),
);
const { port } = await miniflare.unsafeGetDirectURL();
process.stdout.write(`${JSON.stringify({ url: `http://${HOST}:${port}/v1` })}\n`);
