// Passes through, and reads the usage from a copy of the answer: the least that a gateway which bills can do in JavaScript.
export default {
  async fetch(request, { UPSTREAM }, ctx) {
    const init = { method: "POST", headers: request.headers, body: request.body };
    const answer = await fetch(`${UPSTREAM}/chat/completions`, init);
    const [toCaller, copy] = answer.body.tee();
    const isStream = answer.headers.get("content-type").startsWith("text/event-stream");
    ctx.waitUntil(isStream ? usageOfStream(copy) : usageOfDocument(copy));
    return new Response(toCaller, answer);
  },
};

async function usageOfDocument(copy) {
  return (await new Response(copy).json()).usage;
}

async function usageOfStream(copy) {
  const decoder = new TextDecoder();
  let usage;
  let rest = "";
  for await (const piece of copy) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: {")) continue;
      usage = JSON.parse(line.slice("data: ".length)).usage ?? usage;
    }
  }
  return usage;
}
