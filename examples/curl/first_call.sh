#!/bin/sh
# One answer, as JSON.
set -eu

curl --silent --show-error --fail-with-body "$HAOTOKAI_BASE_URL/chat/completions" \
  --header "authorization: Bearer $HAOTOKAI_API_KEY" \
  --header "content-type: application/json" \
  --data '{
    "model": "deepseek-chat",
    "messages": [{"role": "user", "content": "Name three uses of bamboo."}]
  }'
echo
