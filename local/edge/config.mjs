// Reads wrangler.toml, the one place where bindings are named, and derives Miniflare's worker options from it.
import { readFileSync } from "node:fs";
import path from "node:path";
import { kCurrentWorker } from "miniflare";
import { parse } from "smol-toml";

const UNDERSTOOD = [
  "name",
  "main",
  "compatibility_date",
  "compatibility_flags",
  "vars",
  "kv_namespaces",
  "durable_objects",
  "migrations",
  "services",
  "queues",
  "triggers",
];
const WITHOUT_MEANING_HERE = [
  "$schema",
  "account_id",
  "workers_dev",
  "preview_urls",
  "route",
  "routes",
  "limits",
  "placement",
  "logpush",
  "observability",
];

/**
 * What the local edge needs to know of a project: where its Python is, which classes its bindings name, its KV
 * namespaces and crons, and `worker`, Miniflare's options except for modules. `bindings` are texts that stand beside
 * `[vars]` or in place of them: the secrets of this machine.
 */
export function readProject(file, bindings) {
  const config = parse(readFileSync(file, "utf8"));
  refuseUnknown(config);
  const main = path.resolve(path.dirname(file), config.main);
  const durable = config.durable_objects?.bindings ?? [];
  return {
    workerRoot: path.dirname(main),
    main: path.basename(main),
    classes: [...new Set([...durable.map((entry) => entry.class_name), ...ownEntrypoints(config)])],
    kvNamespaces: (config.kv_namespaces ?? []).map(({ binding, id }) => ({ binding, id })),
    crons: config.triggers?.crons ?? [],
    worker: {
      name: config.name,
      compatibilityDate: config.compatibility_date,
      // With this flag workerd would download its own Python and run that.
      compatibilityFlags: (config.compatibility_flags ?? []).filter((flag) => flag !== "python_workers"),
      bindings: { ...config.vars, ...bindings },
      kvNamespaces: byName(config.kv_namespaces, "binding", ({ id }) => id),
      durableObjects: durableObjects(durable, config.migrations ?? []),
      serviceBindings: byName(config.services, "binding", ({ service, entrypoint }) => ownService(config, service, entrypoint)),
      queueProducers: byName(config.queues?.producers, "binding", producer),
      queueConsumers: byName(config.queues?.consumers, "queue", consumer),
    },
  };
}

// A binding that has no stand-in here is an error, not silently absent.
function refuseUnknown(config) {
  const unknown = Object.keys(config).filter((key) => !UNDERSTOOD.includes(key) && !WITHOUT_MEANING_HERE.includes(key));
  if (unknown.length) throw new Error(`wrangler.toml: the local edge does not know ${unknown.join(", ")}`);
}

const byName = (entries, name, value) => Object.fromEntries((entries ?? []).map((entry) => [entry[name], value(entry)]));

function durableObjects(bindings, migrations) {
  const sqlite = new Set(migrations.flatMap((migration) => migration.new_sqlite_classes ?? []));
  return byName(bindings, "name", ({ class_name: className }) => ({ className, useSQLite: sqlite.has(className) }));
}

const ownEntrypoints = ({ services }) => (services ?? []).map(({ entrypoint }) => entrypoint).filter(Boolean);

// There is one Worker on this machine, so a service binding can only lead back to it.
function ownService(config, service, entrypoint) {
  if (service !== config.name) throw new Error(`wrangler.toml: the local edge has no service ${service}`);
  return { name: kCurrentWorker, entrypoint };
}

const producer = ({ queue, delivery_delay: deliveryDelay }) => ({ queueName: queue, deliveryDelay });

const consumer = (entry) => ({
  maxBatchSize: entry.max_batch_size,
  maxBatchTimeout: entry.max_batch_timeout,
  maxRetries: entry.max_retries,
  retryDelay: entry.retry_delay,
  deadLetterQueue: entry.dead_letter_queue,
});
