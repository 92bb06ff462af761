"""One answer, with what it used."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["HAOTOKAI_BASE_URL"], api_key=os.environ["HAOTOKAI_API_KEY"])

completion = client.chat.completions.create(
    model="deepseek-chat",
    messages=[{"role": "user", "content": "Name three uses of bamboo."}],
)
print(completion.choices[0].message.content)
print(completion.usage)
