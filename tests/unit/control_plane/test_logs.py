"""The redaction of log lines."""

import pytest

from control_plane.logs import MASK, redact
from gateway.credentials import make_api_key

KEY = make_api_key(bytes(32))


@pytest.mark.parametrize("name", ["authorization", "Authorization", "token", "api_key", "key", "secret", "email"])
def test_a_value_is_masked_by_its_name(name: str) -> None:
    assert redact(None, "info", {name: "anything"}) == {name: MASK}


@pytest.mark.parametrize("secret", [KEY, "hta_c2VjcmV0LXNlY3JldA", "Bearer abc.def", "dev@example.com"])
def test_a_text_is_masked_by_what_it_looks_like_however_deep(secret: str) -> None:
    event = {"event": f"saw {secret}!", "exception": [{"frames": ({"line": secret},)}]}

    assert secret not in str(redact(None, "info", event))


def test_ids_and_numbers_are_left_alone() -> None:
    event = {"event": "request", "account_id": "acct_k5n3", "key_id": "key_k5n3", "status": 200, "ms": 1.5, "at": None}

    assert redact(None, "info", event) == event
