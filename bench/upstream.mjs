// The provider behind every peer: DeepSeek's wire, as fast as this machine allows. Writes one JSON line when it is ready.
//
// The prompt says what to answer: `[[bench events=200 interval_ms=2]]` a stream of so many events, each with the time at
// which it was sent in its content (CLOCK_MONOTONIC, in ns); without it, and for calls that want no stream, one document.
import cluster from "node:cluster";
import { createServer } from "node:http";

const PROCESSES = 2;
const HOST = "127.0.0.1";
const MARK = "[[bench ";
const MARK_MAX_BYTES = 80;
const DEFAULT_EVENTS = 200;

const USAGE = {
  prompt_tokens: 256,
  completion_tokens: 128,
  total_tokens: 384,
  prompt_tokens_details: { cached_tokens: 64 },
  prompt_cache_hit_tokens: 64,
  prompt_cache_miss_tokens: 192,
};
const BASE = { id: "5b1f2c3d-bench", created: 1764000000, model: "deepseek-flash", system_fingerprint: "fp_bench" };
const DOCUMENT = JSON.stringify({
  ...BASE,
  object: "chat.completion",
  choices: [
    {
      index: 0,
      message: { role: "assistant", content: "All work and no play makes a dull benchmark. ".repeat(12) },
      logprobs: null,
      finish_reason: "stop",
    },
  ],
  usage: USAGE,
});
const [HEAD, TAIL] = event({ content: "t@." }).split("@");
const FIRST = event({ role: "assistant", content: "" });
const LAST = `${event({ content: "" }, "stop", USAGE)}data: [DONE]\n\n`;

if (cluster.isPrimary) {
  for (let i = 0; i < PROCESSES; i++) cluster.fork();
  let listening = 0;
  cluster.on("listening", (_, address) => {
    listening += 1;
    if (listening === PROCESSES) process.stdout.write(`${JSON.stringify({ url: `http://${HOST}:${address.port}/v1` })}\n`);
  });
} else {
  createServer(answer).listen({ host: HOST, port: 0, backlog: 4096 });
}

function event(delta, finishReason = null, usage = null) {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finishReason }];
  return `data: ${JSON.stringify({ ...BASE, object: "chat.completion.chunk", choices, usage })}\n\n`;
}

async function answer(request, response) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces);
  if (!/"stream":\s?true/.test(body.subarray(0, 512).toString() + body.subarray(-512).toString())) {
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(DOCUMENT) });
    response.end(DOCUMENT);
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  response.write(FIRST);
  const { events = DEFAULT_EVENTS, interval_ms: intervalMs = 0 } = readMark(body);
  await (intervalMs ? sendInTime(response, events, intervalMs) : sendAtOnce(response, events));
  response.end(LAST);
}

function readMark(body) {
  const at = body.indexOf(MARK);
  if (at < 0) return {};
  const mark = body.subarray(at + MARK.length, at + MARK_MAX_BYTES).toString().split("]]", 1)[0];
  return Object.fromEntries(mark.split(" ").map((pair) => pair.split("=")).map(([name, value]) => [name, Number(value)]));
}

const stamped = () => HEAD + process.hrtime.bigint() + TAIL;

// By a timetable, so that a late timer delays one event and not all that follow.
function sendInTime(response, events, intervalMs) {
  return new Promise((resolve) => {
    const startMs = performance.now();
    let sent = 0;
    const turn = () => {
      const due = Math.min(events, 1 + Math.floor((performance.now() - startMs) / intervalMs));
      while (sent < due) {
        response.write(stamped());
        sent += 1;
      }
      if (sent === events || response.destroyed) resolve();
      else setTimeout(turn, Math.max(0, startMs + sent * intervalMs - performance.now()));
    };
    turn();
  });
}

async function sendAtOnce(response, events) {
  for (let sent = 0; sent < events && !response.destroyed; sent++) {
    if (!response.write(stamped())) await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
  }
}
