"""The text of an API key: made of 256 random bits, and told from a mistyped one without a look-up."""

import hashlib
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.credentials import API_KEY_PREFIX, SHOWN_CHARS, hash_api_key, is_api_key, make_api_key

BASE62 = string.ascii_letters + string.digits
KEY = make_api_key(bytes(range(32)))

randomness = st.binary(min_size=32, max_size=32)


@given(randomness)
def test_a_made_key_has_the_form_of_a_key(random_bytes: bytes) -> None:
    key = make_api_key(random_bytes)

    assert is_api_key(key)
    assert len(key) == 53
    assert key.startswith(API_KEY_PREFIX)
    assert set(key.removeprefix(API_KEY_PREFIX)) <= set(BASE62)


@pytest.mark.parametrize("random_bytes", [bytes(32), b"\xff" * 32], ids=["least", "greatest"])
def test_the_least_and_the_greatest_randomness_make_keys_of_the_same_length(random_bytes: bytes) -> None:
    assert len(make_api_key(random_bytes)) == 53


@given(randomness, randomness)
def test_different_randomness_makes_different_keys(one: bytes, other: bytes) -> None:
    assert (make_api_key(one) == make_api_key(other)) == (one == other)


@given(st.integers(0, len(KEY) - 1), st.sampled_from(BASE62))
def test_one_mistyped_character_is_noticed(position: int, char: str) -> None:
    mistyped = KEY[:position] + char + KEY[position + 1 :]

    assert is_api_key(mistyped) == (mistyped == KEY)


@given(st.integers(len(API_KEY_PREFIX), len(KEY) - 2))
def test_two_swapped_characters_are_noticed(position: int) -> None:
    swapped = KEY[:position] + KEY[position + 1] + KEY[position] + KEY[position + 2 :]

    assert is_api_key(swapped) == (swapped == KEY)


@pytest.mark.parametrize("text", ["", "htk_", KEY[:-1], KEY + "0", KEY.upper(), "x" + KEY[1:], KEY + "\n", " " + KEY])
def test_other_texts_are_no_keys(text: str) -> None:
    assert not is_api_key(text)


@given(st.text(max_size=60))
def test_any_text_may_be_asked_about(text: str) -> None:
    assert not is_api_key(text)


@pytest.mark.parametrize("char", ["-", "_", " ", "é", "٣"])
def test_a_character_outside_of_the_alphabet_makes_no_key_whatever_its_checksum(char: str) -> None:
    body = API_KEY_PREFIX + char * 43

    assert not any(is_api_key(body + checksum) for checksum in ("000000", checksum_of(body)))


def checksum_of(body: str) -> str:
    """The six characters that a key with this body would end with."""
    number, digits = zlib.crc32(body.encode()), ""
    alphabet = string.digits + string.ascii_uppercase + string.ascii_lowercase
    while number:
        number, digit = divmod(number, 62)
        digits = alphabet[digit] + digits
    return digits.rjust(6, "0")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_is_made_of_exactly_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        make_api_key(bytes(length))


def test_a_key_is_stored_as_the_hex_of_its_sha256() -> None:
    assert hash_api_key(KEY) == hashlib.sha256(KEY.encode()).hexdigest()


def test_what_is_shown_of_a_key_is_its_prefix_and_eight_characters() -> None:
    assert KEY[:SHOWN_CHARS] == "htk_" + KEY[4:12]
