// Python's standard library as bytecode. Pyodide's package brings it as source, and to compile what a Worker imports
// of it takes half of the edge's start; so all of it is compiled once, by the same Pyodide, beside the packages.
//
//   node local/edge/library.mjs TARGET     compiles it, for `compiledLibrary`
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const PACKAGE = createRequire(import.meta.url).resolve("pyodide/package.json");
const PYODIDE = path.dirname(PACKAGE);
const SOURCE = path.join(PYODIDE, "python_stdlib.zip");

// A module whose source is not beside it has no time or size that its bytecode could be older than.
const COMPILE = `
import importlib._bootstrap_external as importing, sys, zipfile

library = f"/lib/python{sys.version_info.major}{sys.version_info.minor}.zip"
with zipfile.ZipFile("/source.zip") as source, zipfile.ZipFile("/compiled.zip", "w", zipfile.ZIP_DEFLATED) as compiled:
    for name in source.namelist():
        content = source.read(name)
        if name.endswith(".py"):
            code = compile(content, f"{library}/{name}", "exec", dont_inherit=True)
            name, content = f"{name}c", bytes(importing._code_to_timestamp_pyc(code))
        compiled.writestr(name, content)
`;

/** The path of a zip file of the compiled library, which is made if it is not there yet. */
export function compiledLibrary() {
  const { version } = JSON.parse(readFileSync(PACKAGE, "utf8"));
  const target = path.join(PYODIDE, "..", ".cache", "haotokai", `python_stdlib-${version}.zip`);
  if (!existsSync(target)) {
    process.stderr.write("compiling Python's standard library, once\n");
    // In a process of its own, which takes Pyodide's memory away with it.
    execFileSync(process.execPath, [import.meta.filename, target], { stdio: ["ignore", "ignore", "inherit"] });
  }
  return target;
}

async function compile(target) {
  const { loadPyodide } = await import("pyodide");
  const python = await loadPyodide();
  python.FS.writeFile("/source.zip", readFileSync(SOURCE));
  python.runPython(COMPILE);
  mkdirSync(path.dirname(target), { recursive: true });
  const ownName = `${target}.${process.pid}`; // another edge may be starting, too
  writeFileSync(ownName, python.FS.readFile("/compiled.zip"));
  renameSync(ownName, target);
}

if (process.argv[1] === import.meta.filename) await compile(process.argv[2]);
