"""An answer as it is written, and the usage at its end."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["HAOTOKAI_BASE_URL"], api_key=os.environ["HAOTOKAI_API_KEY"])

stream = client.chat.completions.create(
    model="kimi-k2",
    messages=[{"role": "user", "content": "Name three uses of bamboo."}],
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
    if chunk.usage:
        print(f"\n{chunk.usage.prompt_tokens} tokens in, {chunk.usage.completion_tokens} out")
