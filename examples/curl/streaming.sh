#!/bin/sh
# One answer as server-sent events, the last of which carries usage and cost.
set -eu

curl --silent --show-error --fail-with-body --no-buffer "$HAOTOKAI_BASE_URL/chat/completions" \
  --header "authorization: Bearer $HAOTOKAI_API_KEY" \
  --header "content-type: application/json" \
  --data '{
    "model": "deepseek-chat",
    "messages": [{"role": "user", "content": "Name three uses of bamboo."}],
    "stream": true,
    "stream_options": {"include_usage": true}
  }'
