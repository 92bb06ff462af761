// Imports a Worker's entry as the platform does when it is deployed, and takes the memory snapshot that every isolate
// then starts from.
//
//   node snapshot.mjs WORKER_FOLDER
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { loadPyodide } from "pyodide";

const HOME = "/session/metadata";

// What the runtime's SDK makes of JavaScript is the SDK's business; only what the Worker's own modules hold is looked at.
const IMPORT = `
import sys, types
sys.path.insert(0, "${HOME}")
sdk = types.ModuleType("workers")
sdk.DurableObject = sdk.WorkerEntrypoint = type("Base", (), {})
sdk.import_from_javascript = lambda name: types.SimpleNamespace(env=None)
sys.modules["workers"] = sdk
import entry
`;

const pyodide = await loadPyodide({ _makeSnapshot: true });
copy(path.resolve(process.argv[2]), HOME);
pyodide.runPython(IMPORT);
try {
  process.stdout.write(`${pyodide.makeMemorySnapshot().length}\n`);
} catch (error) {
  process.stderr.write(`${error.message}\n`); // the stack has the whole of Pyodide in it
  process.exit(1);
}

function copy(folder, target) {
  pyodide.FS.mkdirTree(target);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const [from, to] = [path.join(folder, entry.name), `${target}/${entry.name}`];
    if (entry.isDirectory()) copy(from, to);
    else if (entry.name.endsWith(".py")) pyodide.FS.writeFile(to, readFileSync(from));
  }
}
