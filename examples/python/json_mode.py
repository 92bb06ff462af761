"""An answer that is a JSON object. The prompt must ask for JSON, too: several labs refuse the parameter alone."""

import json
import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["HAOTOKAI_BASE_URL"], api_key=os.environ["HAOTOKAI_API_KEY"])

completion = client.chat.completions.create(
    model="qwen3-max",
    messages=[{"role": "user", "content": "Name three uses of bamboo, as a JSON object."}],
    response_format={"type": "json_object"},
)
answer = json.loads(completion.choices[0].message.content or "")
print(json.dumps(answer, indent=2, ensure_ascii=False))
