"""The check of a chain: it finds any one changed digit, and whatever was left out, put in or moved."""

import asyncio
import functools
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane import receipt_chain
from control_plane.receipt_chain import ChainBroken
from control_plane.receipt_document import Receipt, SignedReceipt, Standing, canonical
from gateway.fields import Fields
from gateway.money import NanoUsd
from tests.unit.control_plane.books import FREE_RECORD, open_books, record_of
from tests.unit.control_plane.chains import (
    FAILED_OVER,
    KEY,
    OTHER_KEY,
    book,
    chain,
    credit,
    forge,
    give_trial,
    pay,
)


@functools.cache
def four() -> tuple[bytes, ...]:
    """A short chain with everything in it: trial, credit, a free request, a failover, a refund."""
    return asyncio.run(_make_four())


async def _make_four() -> tuple[bytes, ...]:
    async with open_books() as store:
        await give_trial(store, 5_000)
        await book(store, FREE_RECORD, FAILED_OVER)
        await credit(store, 2_000_000_000)
        await book(store, record_of("req_3", units=7))
        await pay(store, "refund", -1_000_000_000, "r")
        await book(store, record_of("req_4", units=123))
        return tuple(await chain(store))


def documents() -> list[dict[str, Any]]:
    return [json.loads(line)["receipt"] for line in four()]


def broken(lines: list[bytes], **options: Any) -> tuple[int, str]:
    with pytest.raises(ChainBroken) as error:
        receipt_chain.verify(lines, **options)
    return error.value.line_number, error.value.reason


def test_a_chain_as_it_was_made_is_right_with_the_published_key_and_with_its_own() -> None:
    for public_key in (KEY.public, None):
        last = receipt_chain.verify(four(), public_key=public_key)

        assert last.receipt.number == 4
        assert last.receipt.standing == Standing(
            received_nano_usd=NanoUsd(2_000_005_000),
            returned_nano_usd=NanoUsd(1_000_000_000),
            spent_nano_usd=NanoUsd(1_954_000),
        )
        assert last.public_key.text == KEY.public.text


def test_every_digit_of_a_chain_matters() -> None:
    """Each digit of each line is changed once, and the line is named."""
    for index, line in enumerate(four()):
        for position, byte in enumerate(line):
            if chr(byte) in string.digits:
                digit = b"%d" % ((byte - ord("0") + 1) % 10)
                changed = line[:position] + digit + line[position + 1 :]
                assert broken([*four()[:index], changed, *four()[index + 1 :]])[0] == index + 1


@given(data=st.data())
def test_any_one_changed_byte_is_found_in_its_line(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, 3))
    line = four()[index].removesuffix(b"\n")
    position = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (line[position], ord("\n"))))
    changed = line[:position] + bytes([byte]) + line[position + 1 :] + b"\n"

    assert broken([*four()[:index], changed, *four()[index + 1 :]])[0] == index + 1


def test_ten_thousand_receipts_are_right_and_one_changed_digit_among_them_is_found() -> None:
    lines = asyncio.run(_make_ten_thousand())
    assert receipt_chain.verify(lines, public_key=KEY.public).receipt.number == 10_000

    lines[7_654] = lines[7_654].replace(b'"amount_usd":"0.000004"', b'"amount_usd":"0.000003"', 1)

    assert broken(lines) == (7_655, "the hash is not the receipt's")


async def _make_ten_thousand() -> list[bytes]:
    async with open_books() as store:
        await credit(store, 10**9)
        for batch in range(100):
            await book(store, *(record_of(f"req_{batch}_{index}") for index in range(100)))
        return await chain(store)


ARRANGEMENTS = {
    "nothing": ([], 1),
    "first left out": ([1, 2, 3], 1),
    "one left out": ([0, 2, 3], 2),
    "two swapped": ([0, 2, 1, 3], 2),
    "one twice": ([0, 1, 1, 2, 3], 3),
}


@pytest.mark.parametrize(("order", "line"), ARRANGEMENTS.values(), ids=ARRANGEMENTS.keys())
def test_lines_left_out_moved_or_repeated_are_found(order: list[int], line: int) -> None:
    assert broken([four()[index] for index in order])[0] == line


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        four()[1][:-40],
        four()[1].replace(b"\n", b"\r\n"),
        four()[1].replace(b'{"hash"', b'{ "hash"'),
        four()[1].replace(b'"version":1', b'"version":1.0'),
        four()[1].replace(b'"version":1', b'"version":NaN'),
        four()[1].replace(b'"version":1', b'"version":%d' % 10**30),
        four()[1].replace(b'"version":1', b'"version":"\\ud800"'),
        four()[1].replace(b'"version":1', b'"version":' + b"[" * 500 + b"]" * 500),
        four()[1].replace(b'{"hash":', b'{"extra":"","hash":'),
        four()[1].replace(b'{"hash":', b'{"hash":"0","hash":'),
        four()[1].replace(b"=", b"", 1),
    ],
)
def test_a_line_in_any_other_form_is_refused(line: bytes) -> None:
    assert broken([four()[0], line, *four()[2:]])[0] == 2


def test_a_signature_is_accepted_in_one_spelling_only() -> None:
    """The last character before the padding has four bits that mean nothing."""
    text = json.loads(four()[0])["signature"]
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    other = text[:-3] + alphabet[alphabet.index(text[-3]) ^ 1] + "=="

    assert broken([four()[0].replace(text.encode(), other.encode())]) == (1, "the signature is not the key's")


def test_a_chain_signed_by_another_key_is_refused() -> None:
    lines = forge(documents(), OTHER_KEY)

    assert broken(lines, public_key=KEY.public) == (1, "it is signed by another key")
    assert broken([four()[0], *lines[1:]]) == (2, "it is signed by another key")
    assert receipt_chain.verify(lines, public_key=OTHER_KEY.public).receipt.number == 4


# Each is linked, hashed and signed rightly: (which receipt, what is changed in it, why it is wrong).
LIES: dict[str, tuple[int, dict[str, Any], str]] = {
    "amount": (
        2,
        {"cost_nano_usd": 27_000, "amount_usd": "0.000027"},
        "the amount should be 0.000028 USD by its tokens and rates",
    ),
    "two amounts": (2, {"amount_usd": "0.000027"}, "the receipt contradicts itself"),
    "a free request charged": (
        0,
        {"cost_nano_usd": 1, "amount_usd": "0.000000001"},
        "the amount should be 0.00 USD by its tokens and rates",
    ),
    "number": (2, {"number": 4}, "receipt 3 should stand here, not 4"),
    "account": (1, {"account_id": "acct_bob"}, "it is another account's receipt"),
    "spent": (
        3,
        {"spent_usd": "0.001955", "balance_after_usd": "0.99805"},
        "what was spent did not grow by the amount",
    ),
    "received": (
        3,
        {"received_usd": "1.000005", "balance_after_usd": "-0.001949"},
        "what was received became less",
    ),
    "balance": (3, {"balance_after_usd": "0.99"}, "the receipt contradicts itself"),
    "a failed attempt charged": (
        1,
        {"attempts": [dict(line, amount_usd="0.001434") for line in documents()[1]["attempts"]]},
        "the receipt contradicts itself",
    ),
    "a field more": (1, {"discount_usd": "0.00"}, "the receipt contradicts itself"),
    "a version to come": (1, {"version": 2}, "the receipt contradicts itself"),
}


@pytest.mark.parametrize(("index", "changes", "reason"), LIES.values(), ids=LIES.keys())
def test_a_receipt_that_is_wrong_in_itself_or_after_another_is_found_whoever_signed_it(
    index: int, changes: dict[str, Any], reason: str
) -> None:
    told = [document | (changes if number == index else {}) for number, document in enumerate(documents())]

    # An attempt repeats the amount, so that it must be changed with it.
    if "cost_nano_usd" in changes:
        last = told[index]["attempts"][-1] | {"amount_usd": changes["amount_usd"]}
        told[index]["attempts"] = [*told[index]["attempts"][:-1], last]
    assert broken(forge(told)) == (index + 1, reason)


def test_a_chain_may_begin_after_the_account_has_spent_but_not_with_less_than_its_amount() -> None:
    [_, second, third, fourth] = documents()
    told = [document | {"number": number} for number, document in enumerate((second, third, fourth), start=1)]
    assert receipt_chain.verify(forge(told)).receipt.number == 3

    told = [third | {"number": 1, "spent_usd": "0.000027", "balance_after_usd": "1.999978"}]
    told[0]["received_usd"] = "2.000005"

    assert broken(forge(told)) == (1, "less was spent than the amount")


def test_what_is_parsed_is_what_was_written() -> None:
    for line in four():
        signed = SignedReceipt.parse(line.removesuffix(b"\n"))
        receipt = Receipt.from_fields(Fields.parse(signed.body, "receipt"))

        assert canonical(receipt.to_json()) == signed.body
        assert receipt == signed.receipt


def test_the_canonical_text_is_that_of_rfc_8785() -> None:
    value = {"b": [True, None, -1], "a": 'é\u2028€\n\x1f"\\/\x7f', "A": {}}

    assert canonical(value) == '{"A":{},"a":"é\u2028€\\n\\u001f\\"\\\\/\x7f","b":[true,null,-1]}'
