// Boots the npm build of Pyodide inside workerd, at module top level, without a fetch.
//
// Pyodide's own loader (`pyodide.mjs`) expects a browser or Node, so this calls the Emscripten factory directly and then
// the private steps that the loader would have taken: `finalizeBootstrap`, `initializeStreams`, `_Py_Version` and the two
// imports that tell a JavaScript error from a value. They are private: `pyodide` and `workerd` are pinned exactly.
import createPyodide from "./pyodide.asm.mjs";
import pyodideWasm from "./pyodide.asm.wasm"; // a WebAssembly.Module
import standardLibrary from "./python_stdlib.zip"; // an ArrayBuffer

export const WORKER_ROOT = "/session/metadata"; // where the platform, too, puts a Worker's files

// workerd is none of the surroundings that Emscripten knows: it is told that it is a browser without a document.
const RUNTIME = {
  IN_WORKERD: true,
  IN_BROWSER: true,
  IN_BROWSER_MAIN_THREAD: false,
  IN_BROWSER_WEB_WORKER: false,
  IN_NODE: false,
  IN_NODE_COMMONJS: false,
  IN_NODE_ESM: false,
  IN_DENO: false,
  IN_BUN: false,
  IN_SHELL: false,
  IN_SAFARI: false,
};

// MessageChannel is hidden because Pyodide would make a port at start-up for all requests to share, and in workerd a port
// belongs to the request that made it.
const HIDDEN_GLOBALS = {
  window: {},
  process: undefined,
  document: undefined,
  importScripts: undefined,
  WorkerGlobalScope: undefined,
  MessageChannel: undefined,
  addEventListener: undefined,
};

/**
 * Starts Python with `sitePackages`, `workerFiles` and `pythonModules` ({path: text}) in place. The caller imports the
 * Worker's entry and then calls `endStartup`: until then there is no real randomness.
 */
export async function boot({ sitePackages, workerFiles, pythonModules }) {
  const endStartup = replaceEntropy();
  const api = { config: { jsglobals: globalThis, enableRunUntilComplete: true, env: environment() }, runtimeEnv: RUNTIME };
  const preRun = (module) => {
    const library = prepareLibrary(module, api);
    writeFiles(module.FS, library, sitePackages);
    writeFiles(module.FS, WORKER_ROOT, workerFiles);
    writeFiles(module.FS, `${WORKER_ROOT}/python_modules`, pythonModules);
    module.FS.chdir(WORKER_ROOT);
  };
  await withGlobals(HIDDEN_GLOBALS, () => createPyodide(emscriptenSettings(api, preRun)));
  api.scheduleCallback = scheduleTurn;
  const python = api.finalizeBootstrap(undefined, undefined);
  api.sys.path.insert(0, WORKER_ROOT);
  api.sys.path.append(`${WORKER_ROOT}/python_modules`);
  api._pyodide.set_excepthook();
  api.initializeStreams();
  const importPython = (name) => api.pyodide_base.pyimport_impl.callPromising(name);
  return { python, importPython, endStartup };
}

// Without a hash seed of its own Python would ask for entropy; the value is the platform's.
function environment() {
  return { HOME: "/session", PYTHONHASHSEED: "111", PYTHONINSPECT: "1" };
}

function emscriptenSettings(api, preRun) {
  const errorMarker = Symbol("JavaScript error");
  return {
    API: api,
    preRun: [preRun],
    print: (text) => console.log(text),
    printErr: (text) => console.error(text),
    noImageDecoding: true,
    noAudioDecoding: true,
    noWasmDecoding: false,
    thisProgram: "/lib/python",
    arguments: [],
    locateFile: (path) => path,
    instantiateWasm(imports, done) {
      imports.env.Jsv_GetError_import = () => errorMarker;
      imports.env.JsvError_Check = (value) => value === errorMarker;
      const instance = new WebAssembly.Instance(pyodideWasm, imports);
      done(instance, pyodideWasm);
      return instance.exports;
    },
  };
}

// Puts the standard library where this build looks for it; returns the folder of site-packages.
function prepareLibrary(module, api) {
  const version = module.HEAPU32[module._Py_Version >>> 2]; // as PY_VERSION_HEX: 0x030e02f0
  const [major, minor, micro] = [version >>> 24, (version >>> 16) & 255, (version >>> 8) & 255];
  api.pyVersionTuple = [major, minor, micro];
  api.sitePackages = `/lib/python${major}.${minor}/site-packages`;
  module.FS.mkdirTree(api.sitePackages);
  module.FS.mkdirTree(`/lib/python${major}.${minor}/lib-dynload`);
  module.FS.writeFile(`/lib/python${major}${minor}.zip`, new Uint8Array(standardLibrary), { canOwn: true });
  Object.assign(module.ENV, api.config.env);
  return api.sitePackages;
}

function writeFiles(fileSystem, root, files) {
  fileSystem.mkdirTree(root);
  for (const [path, text] of Object.entries(files)) {
    const target = `${root}/${path}`;
    fileSystem.mkdirTree(target.slice(0, target.lastIndexOf("/")));
    fileSystem.writeFile(target, text);
  }
}

// The turns of Python's event loop. Pyodide's own way is setTimeout, for which workerd waits 1.1 ms, and a request has some
// eight turns. Yet now and then a turn is a timer, so that a coroutine spinning on `sleep(0)` cannot shut out all I/O.
const TURNS_PER_TIMER = 1000;
let turns = 0;
function scheduleTurn(callback, delayMs = 0) {
  turns += 1;
  if (delayMs > 0 || turns % TURNS_PER_TIMER === 0) setTimeout(callback, delayMs);
  else queueMicrotask(callback);
}

// workerd refuses entropy outside a request. Until the returned function is called, "randomness" is a fixed sequence,
// which only seeds what the shim seeds anew at the first request.
function replaceEntropy() {
  const own = Object.getOwnPropertyDescriptor(crypto, "getRandomValues");
  crypto.getRandomValues = fixedBytes();
  return () => {
    if (own) Object.defineProperty(crypto, "getRandomValues", own);
    else delete crypto.getRandomValues; // the prototype's own method shows again
  };
}

function fixedBytes() {
  let state = 0x9e3779b9; // xorshift32, from any seed but 0
  return (view) => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    for (let i = 0; i < bytes.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      bytes[i] = state;
    }
    return view;
  };
}

// The masks stand only until `action` first yields; the factory looks at its surroundings before that.
function withGlobals(masks, action) {
  const saved = Object.keys(masks).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
  for (const [name, value] of Object.entries(masks)) {
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
  }
  try {
    return action();
  } finally {
    for (const [name, descriptor] of saved) {
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else delete globalThis[name];
    }
  }
}
