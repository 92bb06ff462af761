"""A full round trip with a tool: the model asks for it, this program runs it, the model answers with what it said."""

import json
import os

from openai import OpenAI
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

MODEL = "deepseek-chat"
TOOLS: list[ChatCompletionFunctionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": "get_temperature",
            "description": "The temperature in a city now, in degrees Celsius.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]


def get_temperature(city: str) -> str:
    return f"{len(city) + 10} °C in {city}"


client = OpenAI(base_url=os.environ["HAOTOKAI_BASE_URL"], api_key=os.environ["HAOTOKAI_API_KEY"])
messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How warm is it in Lisbon?"}]

asked = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS).choices[0].message
messages.append(asked.to_dict())  # type: ignore[arg-type] # an answer's message is one of a prompt, too
for call in asked.tool_calls or []:
    if call.type == "function":
        print(f"the model calls {call.function.name}({call.function.arguments})")
        result = get_temperature(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

told = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS).choices[0].message
print(told.content)
