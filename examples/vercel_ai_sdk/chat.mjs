// Vercel AI SDK: a streamed answer, and its usage.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";

const haotokai = createOpenAICompatible({
  name: "haotokai",
  baseURL: process.env.HAOTOKAI_BASE_URL,
  apiKey: process.env.HAOTOKAI_API_KEY,
  includeUsage: true,
});

const result = streamText({
  model: haotokai("glm-4.6"),
  prompt: "Name three uses of bamboo.",
  onError: ({ error }) => {
    throw error;
  },
});
for await (const text of result.textStream) process.stdout.write(text);
const { inputTokens, outputTokens } = await result.usage;
console.log(`\n${inputTokens} tokens in, ${outputTokens} out`);
