// An answer as it is written, and the usage at its end.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.HAOTOKAI_BASE_URL, apiKey: process.env.HAOTOKAI_API_KEY });

const stream = await client.chat.completions.create({
  model: "kimi-k2",
  messages: [{ role: "user", content: "Name three uses of bamboo." }],
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? "");
  if (chunk.usage) console.log(`\n${chunk.usage.prompt_tokens} tokens in, ${chunk.usage.completion_tokens} out`);
}
