"""Reconciling: what a provider says becomes transfers, by its own ids, and what does not match becomes none."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane import ledger
from control_plane.fees import Fees
from control_plane.ledger import Transfer
from control_plane.payment_provider import Capture, Dispute, Money, ProviderState, Refund, TopUp
from control_plane.payments import find_mismatch, lapsed, reconcile
from gateway.money import NANO_PER_USD, NOTHING, NanoUsd

USD = NANO_PER_USD
OWN = ledger.balance_of("acct_alice")

TOPUP = TopUp(
    id="topup_1",
    account_id="acct_alice",
    provider="rail",
    amount_nano_usd=NanoUsd(10 * USD),
    fee_policy="absorb",
    fee_nano_usd=NOTHING,
    state="created",
    payment_ref="P1",
    payee="us",
    created_at_ms=0,
    updated_at_ms=0,
    observed_at_ms=0,
)
ASKED = ProviderState(status="created", amount=Money.usd(TOPUP.amount_nano_usd), reference="topup_1", payee="us")
CAPTURE = Capture(
    id="C1", gross=Money.usd(TOPUP.amount_nano_usd), fee=NanoUsd(USD // 2), status="settled", created_at_ms=100
)
PAID = replace(ASKED, status="completed", captures=(CAPTURE,))


def refund(id_: str, dollars: int, *, at_ms: int = 200, **changes: Any) -> Refund:
    amount = Money.usd(NanoUsd(dollars * USD))
    return replace(Refund(id=id_, capture_id="C1", kind="refund", amount=amount, created_at_ms=at_ms), **changes)


def dispute(id_: str, dollars: int, *, lost: int | None = None, at_ms: int = 300) -> Dispute:
    """Open, or resolved 100 ms later with this much lost."""
    return Dispute(
        id=id_,
        capture_id="C1",
        amount=Money.usd(NanoUsd(dollars * USD)),
        status="open" if lost is None else "lost" if lost else "won",
        lost=Money.usd(NanoUsd((lost or 0) * USD)),
        opened_at_ms=at_ms,
        resolved_at_ms=None if lost is None else at_ms + 100,
    )


def effects(state: ProviderState, topup: TopUp = TOPUP) -> dict[str, int]:
    """What each transfer does to the account."""
    moved: dict[str, int] = {}
    for transfer in reconcile(topup, state, now_ms=1).transfers:
        for side, amount in transfer.sides:
            if side == OWN:
                moved[transfer.id] = amount // USD
    return moved


def balances(transfers: list[Transfer]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for transfer in transfers:
        for side, amount in transfer.sides:
            total[side] += amount
    return dict(total)


def test_a_capture_credits_and_books_the_providers_fee() -> None:
    outcome = reconcile(TOPUP, PAID, now_ms=7)

    assert outcome.transfers == [
        Transfer(
            id="rail:capture:C1",
            debit="external:rail",
            credit=OWN,
            amount_nano_usd=NanoUsd(10 * USD),
            kind="top_up",
            reference="topup_1",
            created_at_ms=7,
        ),
        Transfer(
            id="rail:capture:C1:fee",
            debit="fee:rail",
            credit="external:rail",
            amount_nano_usd=NanoUsd(USD // 2),
            kind="fee",
            reference="topup_1",
            created_at_ms=7,
        ),
    ]
    assert (outcome.topup.state, outcome.topup.capture_id) == ("captured", "C1")


def test_the_same_word_gives_the_same_transfers_whatever_the_top_up_is_by_then() -> None:
    state = replace(PAID, refunds=(refund("R1", 2),), disputes=(dispute("D1", 3, lost=1),))
    first = reconcile(TOPUP, state, now_ms=1)
    again = reconcile(first.topup, state, now_ms=2)

    assert again.transfers == first.transfers
    assert again.topup == first.topup


@pytest.mark.parametrize(
    "changed",
    [
        {"reference": None},
        {"reference": "topup_2"},
        {"payee": None},
        {"payee": "them"},
        {"amount": Money.usd(NanoUsd(9 * USD))},
        {"amount": Money(currency="EUR", nano=10 * USD)},
        {"amount": None},
        {"captures": (replace(CAPTURE, gross=Money.usd(NanoUsd(9 * USD))),)},
        {"captures": (replace(CAPTURE, gross=Money(currency="EUR", nano=10 * USD)),)},
        {"captures": (replace(CAPTURE, reference="topup_2"),)},
        {"refunds": (refund("R1", 1, amount=Money(currency="EUR", nano=USD)),)},
    ],
)
def test_what_does_not_match_is_an_alert_and_moves_nothing(changed: dict[str, Any]) -> None:
    outcome = reconcile(TOPUP, replace(PAID, **changed), now_ms=1)

    assert outcome.groups == ()
    assert outcome.topup.alert is not None
    assert outcome.topup.state == "created"


def test_a_top_up_without_a_payee_matches_no_payment() -> None:
    assert find_mismatch(replace(TOPUP, payee=None), replace(PAID, payee=None)) is not None


def test_a_payment_that_the_provider_has_forgotten_mismatches_nothing() -> None:
    outcome = reconcile(TOPUP, ProviderState(status="lapsed"), now_ms=1)

    assert (outcome.topup.state, outcome.topup.alert) == ("lapsed", None)


@pytest.mark.parametrize(
    ("refunds", "disputes", "expected", "state"),
    [
        ([], [], {}, "captured"),
        ([refund("R1", 4)], [], {"refund:R1": -4}, "partly_refunded"),
        ([refund("R1", 4), refund("R2", 6)], [], {"refund:R1": -4, "refund:R2": -6}, "refunded"),
        ([refund("R1", 10, kind="reversal")], [], {"reversal:R1": -10}, "reversed"),
        ([], [dispute("D1", 10)], {"dispute:D1": -10}, "disputed"),
        ([], [dispute("D1", 10, lost=0)], {"dispute:D1": -10, "dispute:D1:released": 10}, "won"),
        ([], [dispute("D1", 10, lost=10)], {"dispute:D1": -10}, "lost"),
        ([], [dispute("D1", 10, lost=4)], {"dispute:D1": -10, "dispute:D1:released": 6}, "lost"),
        # The reversal that a lost dispute brings is the same money.
        (
            [refund("R1", 10, at_ms=400, kind="reversal")],
            [dispute("D1", 10, lost=10)],
            {"reversal:R1": -10, "dispute:D1": -10, "dispute:D1:covered:R1": 10},
            "lost",
        ),
        # A reversal that came just before its dispute leaves nothing to hold.
        ([refund("R1", 10, at_ms=299, kind="reversal")], [dispute("D1", 10)], {"reversal:R1": -10}, "disputed"),
        # Only what is left of a payment can be disputed.
        ([refund("R1", 3)], [dispute("D1", 10)], {"refund:R1": -3, "dispute:D1": -7}, "disputed"),
        # A refund that ended the dispute is the same money; one after a dispute was won is not.
        (
            [refund("R1", 4, at_ms=350)],
            [dispute("D1", 10, lost=0)],
            {"refund:R1": -4, "dispute:D1": -10, "dispute:D1:covered:R1": 4, "dispute:D1:released": 6},
            "partly_refunded",
        ),
        (
            [refund("R1", 4, at_ms=401)],
            [dispute("D1", 10, lost=0)],
            {"refund:R1": -4, "dispute:D1": -10, "dispute:D1:released": 10},
            "partly_refunded",
        ),
        # Two disputes do not take the same refund for their own.
        (
            [refund("R1", 4, at_ms=390)],
            [dispute("D1", 4), dispute("D2", 4, at_ms=301)],
            {"refund:R1": -4, "dispute:D1": -4, "dispute:D2": -4, "dispute:D1:covered:R1": 4},
            "disputed",
        ),
    ],
)
def test_what_goes_back_is_debited_once(
    refunds: list[Refund], disputes: list[Dispute], expected: dict[str, int], state: str
) -> None:
    seen = replace(PAID, refunds=tuple(refunds), disputes=tuple(disputes))

    assert effects(seen) == {"rail:capture:C1": 10} | {f"rail:{id_}": amount for id_, amount in expected.items()}
    assert reconcile(TOPUP, seen, now_ms=1).topup.state == state


@pytest.mark.parametrize("lost", [0, 3, 10])
def test_of_a_refund_and_a_resolution_at_the_very_same_time_either_may_be_booked_first(lost: int) -> None:
    both = replace(PAID, refunds=(refund("R1", 4, at_ms=400),), disputes=(dispute("D1", 10, lost=lost),))
    resolved_first, refunded_first = replace(both, refunds=()), replace(both, disputes=(dispute("D1", 10),))

    assert effects(resolved_first).items() <= effects(both).items()
    assert effects(refunded_first).items() <= effects(both).items()
    assert sum(effects(both).values()) == 10 - max(4, lost)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (ASKED, "created"),
        (replace(ASKED, status="approved"), "approved"),
        (replace(ASKED, status="declined"), "declined"),
        (replace(ASKED, status="lapsed"), "lapsed"),
        (replace(ASKED, status="completed"), "pending"),
        (replace(PAID, captures=(replace(CAPTURE, status="pending"),)), "pending"),
        (replace(PAID, captures=(replace(CAPTURE, status="declined"),)), "declined"),
    ],
)
def test_before_the_money_is_there_the_state_is_told_and_nothing_moves(state: ProviderState, expected: str) -> None:
    outcome = reconcile(TOPUP, state, now_ms=1)

    assert (outcome.topup.state, outcome.groups) == (expected, ())


@pytest.mark.parametrize(
    ("old", "seen", "new"),
    [
        ("approved", ASKED, "approved"),
        ("declined", replace(ASKED, status="approved"), "declined"),
        ("pending", ASKED, "pending"),
        ("lapsed", replace(ASKED, status="approved"), "lapsed"),
        ("captured", ASKED, "captured"),
        ("refunded", ProviderState(status="lapsed"), "refunded"),
        ("lapsed", PAID, "captured"),
        ("declined", PAID, "captured"),
        ("pending", replace(PAID, captures=(replace(CAPTURE, status="declined"),)), "declined"),
    ],
)
def test_a_state_does_not_go_back(old: Any, seen: ProviderState, new: str) -> None:
    assert reconcile(replace(TOPUP, state=old), seen, now_ms=1).topup.state == new


def test_a_second_capture_is_not_credited_and_is_an_alert() -> None:
    second = replace(CAPTURE, id="C0", created_at_ms=101)

    outcome = reconcile(TOPUP, replace(PAID, captures=(second, CAPTURE)), now_ms=1)

    assert [transfer.id for transfer in outcome.transfers] == ["rail:capture:C1", "rail:capture:C1:fee"]
    assert outcome.topup.alert == "the payer was charged more than once"


def test_a_fee_that_is_to_be_deducted_is_waited_for() -> None:
    topup = replace(TOPUP, fee_policy="deduct", fee_nano_usd=NanoUsd(USD))
    silent = replace(PAID, captures=(replace(CAPTURE, fee=None),))
    waiting = reconcile(topup, silent, now_ms=1)
    told = reconcile(waiting.topup, PAID, now_ms=1)

    assert (waiting.topup.state, waiting.groups) == ("pending", ())
    assert waiting.topup.alert is not None
    assert (told.topup.state, told.topup.fee_nano_usd, told.topup.alert) == ("captured", USD // 2, None)


def test_a_fee_above_the_payment_credits_nothing() -> None:
    topup = replace(TOPUP, fee_policy="deduct")
    dear = replace(PAID, captures=(replace(CAPTURE, fee=NanoUsd(11 * USD)),))

    assert effects(dear, topup) == {}


def test_a_payment_lapses_unless_it_was_made() -> None:
    assert lapsed(ASKED).status == "lapsed"
    assert lapsed(PAID) == PAID


@st.composite
def histories(draw: st.DrawFn) -> ProviderState:
    """A payment of $10 of which things were refunded and disputed, never more than there is."""
    left = 10
    refunds = []
    for number in range(draw(st.integers(0, 3))):
        dollars = draw(st.integers(0, left))
        left -= dollars
        kind = draw(st.sampled_from(["refund", "reversal"]))
        if dollars:
            refunds.append(refund(f"R{number}", dollars, at_ms=draw(st.integers(100, 600)), kind=kind))
    disputes = []
    if draw(st.booleans()):
        dollars = draw(st.integers(1, 10))
        lost = draw(st.none() | st.integers(0, dollars))
        disputes.append(dispute("D1", dollars, lost=lost, at_ms=draw(st.integers(100, 600))))
    return replace(PAID, refunds=tuple(draw(st.permutations(refunds))), disputes=tuple(disputes))


@given(state=histories(), fee=st.integers(0, 3 * USD))
def test_the_account_is_never_debited_more_than_it_was_credited(state: ProviderState, fee: int) -> None:
    topup = replace(TOPUP, fee_policy="uniform_fee", fee_nano_usd=NanoUsd(fee))
    moved = balances(reconcile(topup, state, now_ms=1).transfers)

    assert sum(moved.values()) == 0
    assert 0 <= moved.get(OWN, 0) <= topup.credited_nano_usd
    gone = sum(item.amount.nano for item in state.refunds)
    if not state.disputes:
        kept = topup.credited_nano_usd * (topup.amount_nano_usd - gone) // topup.amount_nano_usd
        assert abs(moved.get(OWN, 0) - kept) <= len(state.refunds)


@given(state=histories(), data=st.data())
def test_the_order_in_which_the_provider_lists_things_does_not_matter(
    state: ProviderState, data: st.DataObject
) -> None:
    shuffled = replace(state, refunds=tuple(data.draw(st.permutations(state.refunds))))

    assert reconcile(TOPUP, shuffled, now_ms=1).transfers == reconcile(TOPUP, state, now_ms=1).transfers


@pytest.mark.parametrize(("dollars", "cents"), [(1, 52), (10, 84), (20, 119), (100, 398)])
def test_a_deducted_fee_is_estimated_by_the_published_rate_to_the_cent(dollars: int, cents: int) -> None:
    fees = Fees(policy="deduct", uniform_fee=NOTHING, estimate_basis_points=349, estimate_fixed=NanoUsd(490_000_000))

    assert fees.expected(NanoUsd(dollars * USD)) == cents * USD // 100
