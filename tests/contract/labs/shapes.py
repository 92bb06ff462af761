"""The recorded shapes of the labs' wires: which fields stand where, in which order, and of which kind.

Values are ours; an empty text, null and a filled text are different kinds. In a stream each line stands for one or
more chunks of that shape.
"""

import json
from itertools import groupby
from typing import Any


def shape(value: Any) -> Any:
    """The kinds of a JSON value, with fields in their order."""
    match value:
        case dict():
            return [(key, shape(inner)) for key, inner in value.items()]
        case list():
            return ["list", *(shape(inner) for inner in value)]
        case str():
            return "text" if value else "empty text"
        case None:
            return "null"
    return type(value).__name__


def stream_shape(events: list[Any]) -> list[Any]:
    """The shapes of chunks, one for each run of the same."""
    return [kind for kind, _ in groupby(shape(event) for event in events)]


def _stream(text: str) -> list[Any]:
    return [json.loads(line) for line in text.split("\n") if line.strip()]


DEEPSEEK_TEXT = _stream("""
{"id":"u","object":"c","created":1,"model":"m","system_fingerprint":"f","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}
{"id":"u","object":"c","created":1,"model":"m","system_fingerprint":"f","choices":[{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}],"usage":null}
{"id":"u","object":"c","created":1,"model":"m","system_fingerprint":"f","choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":0},"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":1}}
""")
DEEPSEEK_TOOLS = _stream("""
{"id":"u","object":"c","created":1,"model":"m","system_fingerprint":"f","choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":""},"logprobs":null,"finish_reason":null}],"usage":null}
{"id":"u","object":"c","created":1,"model":"m","system_fingerprint":"f","choices":[{"index":0,"delta":{"content":null,"reasoning_content":"a"},"logprobs":null,"finish_reason":null}],"usage":null}
{"id":"u","object":"c","created":1,"model":"m","system_fingerprint":"f","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"i","type":"function","function":{"name":"n","arguments":""}}]},"logprobs":null,"finish_reason":null}],"usage":null}
{"id":"u","object":"c","created":1,"model":"m","system_fingerprint":"f","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]},"logprobs":null,"finish_reason":null}],"usage":null}
{"id":"u","object":"c","created":1,"model":"m","system_fingerprint":"f","choices":[{"index":0,"delta":{"content":"","reasoning_content":null},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1},"prompt_cache_hit_tokens":2,"prompt_cache_miss_tokens":1}}
""")
DEEPSEEK_JSON_TEXT, DEEPSEEK_JSON_REASONING, DEEPSEEK_JSON_TOOLS = _stream("""
{"id":"u","object":"c","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":0},"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":1},"system_fingerprint":"f"}
{"id":"u","object":"c","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a","reasoning_content":"b"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":1},"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":1},"system_fingerprint":"f"}
{"id":"u","object":"c","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"","reasoning_content":"b","tool_calls":[{"index":0,"id":"i","type":"function","function":{"name":"n","arguments":"{}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":1},"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":1},"system_fingerprint":"f"}
""")

MOONSHOT_TEXT = _stream("""
{"id":"c","object":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
{"id":"c","object":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}
{"id":"c","object":"c","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10,"cached_tokens":2}}
""")
MOONSHOT_USAGE_IN_CHOICE = _stream("""
{"id":"c","object":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
{"id":"c","object":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}
{"id":"c","object":"c","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}]}
""")
MOONSHOT_USAGE_ON_TEXT = _stream("""
{"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"a"},"finish_reason":null}]}
{"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"reasoning_content":"b"},"finish_reason":null}]}
{"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"c"},"finish_reason":null}]}
{"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"d"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10,"completion_tokens_details":{"reasoning_tokens":2}}}
""")
MOONSHOT_JSON_TEXT, MOONSHOT_JSON_REASONING, MOONSHOT_JSON_TOOLS = _stream("""
{"id":"c","object":"c","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}
{"id":"c","object":"c","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a","reasoning_content":"b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"cached_tokens":1,"completion_tokens_details":{"reasoning_tokens":1}}}
{"id":"c","object":"c","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"i","type":"function","function":{"name":"n","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}
""")

QWEN_TEXT = _stream("""
{"choices":[{"delta":{"content":"","role":"assistant"},"index":0,"logprobs":null,"finish_reason":null}],"object":"c","usage":null,"created":1,"system_fingerprint":null,"model":"m","id":"c"}
{"choices":[{"finish_reason":null,"logprobs":null,"delta":{"content":"a"},"index":0}],"object":"c","usage":null,"created":1,"system_fingerprint":null,"model":"m","id":"c"}
{"choices":[{"delta":{"content":"b"},"finish_reason":null,"index":0,"logprobs":null}],"object":"c","usage":null,"created":1,"system_fingerprint":null,"model":"m","id":"c"}
{"choices":[{"finish_reason":"stop","delta":{"content":""},"index":0,"logprobs":null}],"object":"c","usage":null,"created":1,"system_fingerprint":null,"model":"m","id":"c"}
{"choices":[],"object":"c","usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":0}},"created":1,"system_fingerprint":null,"model":"m","id":"c"}
""")
QWEN_REASONING = _stream("""
{"choices":[{"delta":{"content":null,"role":"assistant","reasoning_content":""},"index":0,"logprobs":null,"finish_reason":null}],"object":"c","usage":null,"created":1,"system_fingerprint":null,"model":"m","id":"c"}
{"choices":[{"finish_reason":null,"logprobs":null,"delta":{"content":null,"reasoning_content":"a"},"index":0}],"object":"c","usage":null,"created":1,"system_fingerprint":null,"model":"m","id":"c"}
{"choices":[{"delta":{"content":null,"reasoning_content":"b"},"finish_reason":null,"index":0,"logprobs":null}],"object":"c","usage":null,"created":1,"system_fingerprint":null,"model":"m","id":"c"}
{"choices":[{"delta":{"content":"c","reasoning_content":null},"finish_reason":null,"index":0,"logprobs":null}],"object":"c","usage":null,"created":1,"system_fingerprint":null,"model":"m","id":"c"}
{"choices":[{"finish_reason":"stop","delta":{"content":"","reasoning_content":null},"index":0,"logprobs":null}],"object":"c","usage":null,"created":1,"system_fingerprint":null,"model":"m","id":"c"}
{"choices":[],"object":"c","usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"completion_tokens_details":{"reasoning_tokens":1},"prompt_tokens_details":{"cached_tokens":0}},"created":1,"system_fingerprint":null,"model":"m","id":"c"}
""")
QWEN_JSON_REASONING, QWEN_JSON_TOOLS = _stream("""
{"choices":[{"message":{"content":"a","reasoning_content":"b","role":"assistant"},"finish_reason":"stop","index":0,"logprobs":null}],"object":"c","usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"completion_tokens_details":{"reasoning_tokens":1},"prompt_tokens_details":{"cached_tokens":0}},"created":1,"system_fingerprint":null,"model":"m","id":"c"}
{"choices":[{"message":{"content":"","role":"assistant","tool_calls":[{"function":{"arguments":"{}","name":"n"},"id":"i","index":0,"type":"function"}]},"finish_reason":"tool_calls","index":0,"logprobs":null}],"object":"c","usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":0}},"created":1,"system_fingerprint":null,"model":"m","id":"c"}
""")

GLM_REASONING = _stream("""
{"id":"2","created":1,"object":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"a"}}]}
{"id":"2","created":1,"object":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"b"}}]}
{"id":"2","created":1,"object":"c","model":"m","choices":[{"index":0,"finish_reason":"stop","delta":{"role":"assistant","content":""}}]}
{"id":"2","created":1,"model":"m","choices":[],"usage":{"completion_tokens":1,"prompt_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":0}},"object":"c"}
""")
GLM_DOCUMENTED = _stream("""
{"id":"1","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}
{"id":"1","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","delta":{"role":"assistant","content":""}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":0}}}
""")

SPARK_TEXT = _stream("""
{"code":0,"message":"Success","sid":"s","id":"s","created":1,"choices":[{"delta":{"role":"assistant","content":"a"},"index":0}]}
{"code":0,"message":"Success","sid":"s","id":"s","created":1,"choices":[{"delta":{"role":"assistant","content":""},"index":0}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}
""")
