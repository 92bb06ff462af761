"""A signed call proves who made it, what it says and when; every refusal of ``verify`` is here."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signing import (
    FRESH_FOR_S,
    NONCE_HEADER,
    NONCE_MAX_CHARS,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    SignatureRefused,
    SignedCall,
    sign,
    verify,
)

SECRET, NONCE, NOW_S = "secret of both programs", "nonce-0123456789", 1_795_500_000
CALL = SignedCall(method="POST", path="/internal/usage", body=b'{"records":[]}')


def signed(call: SignedCall = CALL, *, nonce: str = NONCE) -> dict[str, str]:
    return sign(call, secret=SECRET, now_s=NOW_S, nonce=nonce)


@given(st.binary(max_size=200), st.integers(0, 2**40), st.text("abc-_09", min_size=16, max_size=NONCE_MAX_CHARS))
def test_a_genuine_call_gives_its_nonce(body: bytes, now_s: int, nonce: str) -> None:
    call = replace(CALL, body=body)
    headers = sign(call, secret=SECRET, now_s=now_s, nonce=nonce)

    assert verify(call, headers, secret=SECRET, now_s=now_s) == nonce


@pytest.mark.parametrize(
    "other",
    [
        replace(CALL, method="PUT"),
        replace(CALL, path="/internal/heartbeat"),
        replace(CALL, path="/internal/usage/"),
        replace(CALL, body=b'{"records":[ ]}'),
        replace(CALL, body=b""),
    ],
    ids=["method", "path", "slash", "body", "no body"],
)
def test_a_signature_is_good_for_its_own_call_only(other: SignedCall) -> None:
    with pytest.raises(SignatureRefused, match="does not match"):
        verify(other, signed(), secret=SECRET, now_s=NOW_S)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (TIMESTAMP_HEADER, str(NOW_S + 1)),
        (TIMESTAMP_HEADER, f"0{NOW_S}"),
        (NONCE_HEADER, "nonce-0123456780"),
        (SIGNATURE_HEADER, ""),
        (SIGNATURE_HEADER, "v1=" + "0" * 64),
        (SIGNATURE_HEADER, "ü"),
        (SIGNATURE_HEADER, signed()[SIGNATURE_HEADER].removeprefix("v1=")),
        (SIGNATURE_HEADER, signed()[SIGNATURE_HEADER].upper()),
    ],
)
def test_a_changed_header_is_refused(header: str, value: str) -> None:
    with pytest.raises(SignatureRefused, match="does not match"):
        verify(CALL, signed() | {header: value}, secret=SECRET, now_s=NOW_S)


@pytest.mark.parametrize("header", [TIMESTAMP_HEADER, NONCE_HEADER])
def test_a_call_without_its_headers_is_not_signed(header: str) -> None:
    headers = signed()
    del headers[header]

    with pytest.raises(SignatureRefused, match="not signed"):
        verify(CALL, headers, secret=SECRET, now_s=NOW_S)


def test_a_call_without_a_signature_does_not_match() -> None:
    headers = signed()
    del headers[SIGNATURE_HEADER]

    with pytest.raises(SignatureRefused, match="does not match"):
        verify(CALL, headers, secret=SECRET, now_s=NOW_S)


@pytest.mark.parametrize("timestamp", ["", "now", "-5", "1.5", "+5", " 5"])
def test_a_timestamp_is_a_number(timestamp: str) -> None:
    with pytest.raises(SignatureRefused, match="not signed"):
        verify(CALL, signed() | {TIMESTAMP_HEADER: timestamp}, secret=SECRET, now_s=NOW_S)


@pytest.mark.parametrize("length", [16, NONCE_MAX_CHARS])
def test_a_nonce_may_be_as_short_and_as_long_as_that(length: int) -> None:
    assert verify(CALL, signed(nonce="n" * length), secret=SECRET, now_s=NOW_S) == "n" * length


@pytest.mark.parametrize("length", [0, 15, NONCE_MAX_CHARS + 1])
def test_a_nonce_may_be_no_shorter_and_no_longer(length: int) -> None:
    with pytest.raises(SignatureRefused, match="not signed"):
        verify(CALL, signed(nonce="n" * length), secret=SECRET, now_s=NOW_S)


@pytest.mark.parametrize("skew_s", [-FRESH_FOR_S, 0, FRESH_FOR_S])
def test_a_call_is_fresh_for_five_minutes_either_way(skew_s: int) -> None:
    assert verify(CALL, signed(), secret=SECRET, now_s=NOW_S + skew_s) == NONCE


@pytest.mark.parametrize("skew_s", [-FRESH_FOR_S - 1, FRESH_FOR_S + 1])
def test_a_call_is_stale_a_second_later_or_earlier(skew_s: int) -> None:
    with pytest.raises(SignatureRefused, match="stale"):
        verify(CALL, signed(), secret=SECRET, now_s=NOW_S + skew_s)


def test_another_secret_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="does not match"):
        verify(CALL, signed(), secret="another", now_s=NOW_S)


def test_nothing_is_signed_or_verified_with_an_empty_secret() -> None:
    with pytest.raises(ValueError, match="empty"):
        sign(CALL, secret="", now_s=NOW_S, nonce=NONCE)
    with pytest.raises(SignatureRefused):
        verify(CALL, signed(), secret="", now_s=NOW_S)


def test_a_refusal_tells_no_secret() -> None:
    with pytest.raises(SignatureRefused) as refused:
        verify(replace(CALL, body=b"other"), signed(), secret=SECRET, now_s=NOW_S)

    assert SECRET not in str(refused.value)
    assert signed()[SIGNATURE_HEADER] not in str(refused.value)
