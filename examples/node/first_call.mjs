// One answer, with what it used.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.HAOTOKAI_BASE_URL, apiKey: process.env.HAOTOKAI_API_KEY });

const completion = await client.chat.completions.create({
  model: "deepseek-chat",
  messages: [{ role: "user", content: "Name three uses of bamboo." }],
});
console.log(completion.choices[0].message.content);
console.log(completion.usage);
