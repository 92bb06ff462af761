"""LlamaIndex: one answer, and one as it is written."""

import os

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

llm = OpenAILike(
    model="qwen3-max",
    api_base=os.environ["HAOTOKAI_BASE_URL"],
    api_key=os.environ["HAOTOKAI_API_KEY"],
    context_window=262_144,
    is_chat_model=True,
    is_function_calling_model=True,
)
messages = [ChatMessage(role="user", content="Name three uses of bamboo.")]

print(llm.chat(messages).message.content)
for piece in llm.stream_chat(messages):
    print(piece.delta or "", end="", flush=True)
print()
