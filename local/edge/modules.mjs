// Turns a folder of Python into the module list of a JavaScript Worker. Nothing is downloaded.
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { compiledLibrary } from "./library.mjs";

const HERE = import.meta.dirname;
const PYODIDE = path.dirname(createRequire(import.meta.url).resolve("pyodide/package.json"));

/**
 * `workerRoot` is the folder that ships, `main` its entry module ("entry.py"), `sdk` the folder of Cloudflare's
 * package `workers`, `classes` the named classes that bindings refer to. A folder `python_modules` beside `workerRoot`,
 * where pywrangler vendors packages, comes along as it does on the platform.
 */
export function pythonWorkerModules({ workerRoot, main, sdk, classes }) {
  const bundle = {
    main: main.replace(/\.py$/, ""),
    sitePackages: {
      ...readTexts(sdk, isPython, "workers/"),
      "shim.py": readFileSync(path.join(HERE, "shim.py"), "utf8"),
    },
    workerFiles: readTexts(workerRoot, isPython),
    pythonModules: readTexts(path.join(workerRoot, "..", "python_modules"), isText),
  };
  return [
    module("ESModule", "worker.mjs", exportsOf(classes)),
    module("ESModule", "runtime.mjs", readFileSync(path.join(HERE, "runtime.mjs"), "utf8")),
    module("ESModule", "boot.mjs", readFileSync(path.join(HERE, "boot.mjs"), "utf8")),
    module("ESModule", "pyodide.asm.mjs", readFileSync(path.join(PYODIDE, "pyodide.asm.mjs"), "utf8")),
    module("CompiledWasm", "pyodide.asm.wasm", readFileSync(path.join(PYODIDE, "pyodide.asm.wasm"))),
    module("Data", "python_stdlib.zip", readFileSync(compiledLibrary())),
    module("Text", "bundle.json", JSON.stringify(bundle)),
  ];
}

const module = (type, path, contents) => ({ type, path, contents });

// workerd reads the names of a Worker's classes from its exports, which in JavaScript are static.
function exportsOf(classes) {
  const named = classes.map((name) => `export const ${name} = entrypoints[${JSON.stringify(name)}];\n`);
  return `import { entrypoints } from "./runtime.mjs";\n${named.join("")}export default entrypoints.Default;\n`;
}

const isPython = (file) => file.endsWith(".py");
const isText = (file) => !/\.(pyc|so|exe)$/.test(file);

function readTexts(root, wanted, prefix = "") {
  const files = listFiles(root).filter(wanted);
  return Object.fromEntries(files.map((file) => [prefix + file, readFileSync(path.join(root, file), "utf8")]));
}

function listFiles(root) {
  try {
    return readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, "/"));
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
}
