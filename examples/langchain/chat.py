"""LangChain: a streamed answer, and the usage that LangChain adds up from it."""

import os

from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

model = ChatOpenAI(
    model="glm-4.6",
    base_url=os.environ["HAOTOKAI_BASE_URL"],
    api_key=SecretStr(os.environ["HAOTOKAI_API_KEY"]),
    stream_usage=True,
)

answer = AIMessageChunk(content="")
for chunk in model.stream("Name three uses of bamboo."):
    print(chunk.text, end="", flush=True)
    answer += chunk
print(f"\n{answer.usage_metadata}")
