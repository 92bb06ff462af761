// The openai package of npm at one task: `node node_client.mjs TASK '{"model": …}'` prints what came of it as JSON.
import OpenAI from "openai";

const [task, fields] = process.argv.slice(2);
const client = new OpenAI({
  baseURL: process.env.HAOTOKAI_BASE_URL,
  apiKey: process.env.HAOTOKAI_API_KEY,
  maxRetries: 0,
});
const body = JSON.parse(fields);

const tasks = {
  plain: () => client.chat.completions.create(body),

  async stream() {
    const chunks = [];
    for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) chunks.push(chunk);
    return chunks;
  },

  // The package's own accumulator, which is strict about indexes, ids and finish reasons.
  accumulated: () => client.chat.completions.stream(body).finalChatCompletion(),

  async tools() {
    const runner = client.chat.completions.runTools({
      ...body,
      tools: body.tools.map(({ type, function: tool }) => ({
        type,
        function: { ...tool, parse: JSON.parse, function: ({ city }) => `22 degrees in ${city}` },
      })),
    });
    return { content: await runner.finalContent(), messages: runner.messages };
  },

  async error() {
    try {
      await client.chat.completions.create(body);
    } catch (error) {
      return { name: error.constructor.name, status: error.status, code: error.code, requestId: error.requestID };
    }
    throw new Error("the request was answered");
  },
};

console.log(JSON.stringify(await tasks[task]()));
