// The JavaScript half of the local runtime: imports the Python entry and wraps each of its classes in the workerd class
// of its kind. On the platform workerd's built-in entrypoint does this; the SDK finds the same helper modules here.
import * as cloudflareSockets from "cloudflare:sockets";
import * as cloudflareWorkers from "cloudflare:workers";
import { boot } from "./boot.mjs";
import bundle from "./bundle.json"; // text: {main, sitePackages, workerFiles, pythonModules}

const { main, ...files } = JSON.parse(bundle);
const { python, importPython, endStartup } = await boot(files);

// `promising` lets Python code suspend (JSPI `run_sync`), as it may on the platform.
const CALL = { relaxed: false, promising: true };

python.registerJsModule("_pyodide_entrypoint_helper", {
  doAnImport: (name) => import(name),
  cloudflareWorkersModule: cloudflareWorkers,
  cloudflareSocketsModule: cloudflareSockets,
  workerEntrypoint: cloudflareWorkers.WorkerEntrypoint,
  patchWaitUntil,
});
// What the platform switches on by our compatibility date.
python.registerJsModule("_cloudflare_compat_flags", {
  python_workflows_implicit_dependencies: true,
  python_request_headers_preserve_commas: true,
});

const shim = await importPython("shim");
shim.refuse_randomness();
const entry = await importPython(main);
shim.allow_randomness();

export const entrypoints = {};
for (const { name, kind, methods } of shim.describe(entry)) {
  const wrap = kind === "durable" ? durableObject : workerEntrypoint;
  entrypoints[name] = wrap(entry[name], methods);
}
endStartup();

// workerd makes one of these for each event, so the Python object is made in the same call as the event is handled.
function workerEntrypoint(pythonClass, methods) {
  const Entrypoint = class extends cloudflareWorkers.WorkerEntrypoint {};
  for (const method of methods) {
    const handle = shim.event_handler(pythonClass, method);
    Entrypoint.prototype[method] = async function (...args) {
      return await handle.callWithOptions(CALL, this.ctx, this.env, ...args);
    };
  }
  return Entrypoint;
}

// A Durable Object lives on between its events, and so does its Python object.
function durableObject(pythonClass, methods) {
  const construct = shim.constructor_of(pythonClass);
  const instances = new WeakMap();
  const Durable = class extends cloudflareWorkers.DurableObject {
    constructor(ctx, env) {
      super(ctx, env);
      const instance = construct.callWithOptions(CALL, ctx, env);
      instance.catch(() => {}); // every call awaits it and meets the error
      instances.set(this, instance);
    }
  };
  for (const method of methods) {
    const handle = shim.object_handler(pythonClass, method);
    Durable.prototype[method] = async function (...args) {
      return await handle.callWithOptions(CALL, await instances.get(this), ...args);
    };
  }
  return Durable;
}

// Python passes coroutines to `ctx.waitUntil`: hold them until they settle, then let them go.
const patched = new WeakSet();
function patchWaitUntil(ctx) {
  if (Object.prototype.toString.call(ctx) !== "[object ExecutionContext]" || patched.has(ctx)) return;
  patched.add(ctx);
  const waitUntil = ctx.waitUntil.bind(ctx);
  ctx.waitUntil = (awaitable) => {
    const held = awaitable?.copy?.() ?? awaitable;
    const settle = async () => {
      try {
        await held;
      } finally {
        held?.destroy?.();
      }
    };
    waitUntil(settle());
  };
}
