"""Payments: how the books follow what a payment provider says.

The provider's word is cumulative, and the transfers that ``reconcile`` makes of it have ids that are made from the
provider's own (``paypal:capture:<id>``), so that the order, the repetition and the delay of whatever made us look
change nothing. A webhook, the payer's return, the sweep and the operator's button all fetch, reconcile and book;
there is no other way to money.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from control_plane import ledger
from control_plane.ledger import Transfer, TransferKind
from control_plane.payment_provider import (
    UNSETTLED,
    Capture,
    Dispute,
    Money,
    ProviderState,
    Refund,
    TopUp,
    TopUpState,
)
from gateway.money import NOTHING, NanoUsd


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What is to be booked, in groups of which each is booked as a whole or not at all, and the top-up after it."""

    groups: tuple[tuple[Transfer, ...], ...]
    topup: TopUp

    @property
    def transfers(self) -> list[Transfer]:
        return [transfer for group in self.groups for transfer in group]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Movement:
    """An amount of the payment that comes to the account (or, negative, leaves it), and the provider's fee in it.

    ``after`` is what came back of the same dispute before: its parts are rounded as one.
    """

    id: str
    kind: Literal["top_up", "refund", "reversal"]
    amount: int
    provider_fee: NanoUsd = NOTHING
    after: int = 0


def reconcile(topup: TopUp, state: ProviderState, *, now_ms: int) -> Reconciliation:
    """What follows from the provider's word. All of it: what is booked already is made again under the same ids."""
    mismatch = find_mismatch(topup, state)
    capture = None if mismatch else _credited_capture(topup, state)
    if capture is None:
        changed = replace(
            topup,
            state=topup.state if mismatch else _unsettled_state(topup.state, state),
            declines=topup.declines + (state.status == "declined"),
            approve_url=None if state.is_final else topup.approve_url,
            alert=mismatch or state.attention or _missing_fee(state),
        )
        return Reconciliation(groups=(), topup=changed)
    refunds = [refund for refund in state.refunds if refund.capture_id == capture.id]
    disputes = [dispute for dispute in state.disputes if dispute.capture_id == capture.id]
    refunded = sum(refund.amount.nano for refund in refunds)
    changed = replace(
        topup,
        state=_settled_state(capture, refunds, disputes),
        fee_nano_usd=_charged_fee(topup, capture),
        capture_id=capture.id,
        captured_nano_usd=NanoUsd(capture.gross.nano),
        refunded_nano_usd=NanoUsd(max(refunded, topup.refunded_nano_usd)),
        alert="the payer was charged more than once" if len(_settled(state)) > 1 else state.attention,
    )
    groups = _movements(topup.provider, capture, refunds, disputes)
    return Reconciliation(
        groups=tuple(
            tuple(item for movement in group for item in _transfers(changed, movement, now_ms)) for group in groups
        ),
        topup=changed,
    )


def find_mismatch(topup: TopUp, state: ProviderState) -> str | None:
    """Why this payment is not the one that was asked for, or None. Checked before money is taken or credited."""
    if state.status == "lapsed" and not state.captures:
        return None
    if state.reference != topup.id:
        return "the payment does not carry the reference of this top-up"
    if state.payee is None or state.payee != topup.payee:
        return "the payment goes to another payee"
    expected = Money.usd(topup.amount_nano_usd)
    for amount in (state.amount, *(capture.gross for capture in state.captures)):
        if amount != expected:
            wrong = "amount" if amount is not None and amount.currency == expected.currency else "currency"
            return f"the payment is of another {wrong}"
    if any(capture.reference not in (None, topup.id) for capture in state.captures):
        return "a capture carries another reference"
    moved = (*(refund.amount for refund in state.refunds), *(dispute.amount for dispute in state.disputes))
    return "money went back in another currency" if any(amount.currency != "USD" for amount in moved) else None


def _movements(
    provider: str, capture: Capture, refunds: Iterable[Refund], disputes: Iterable[Dispute]
) -> list[list[_Movement]]:
    """What the capture did to the account's money. The amounts follow from what the provider says alone."""
    refunds = sorted(refunds, key=lambda refund: (refund.created_at_ms, refund.id))
    uncovered = {refund.id: refund.amount.nano for refund in refunds}
    return [
        [_capture_movement(provider, capture)],
        *([_refund_movement(provider, refund)] for refund in refunds),
        *(
            _dispute_movements(f"{provider}:dispute:{dispute.id}", capture, dispute, refunds, uncovered)
            for dispute in sorted(disputes, key=lambda dispute: (dispute.opened_at_ms, dispute.id))
        ),
    ]


def lapsed(state: ProviderState) -> ProviderState:
    """The state of a payment that nobody will make any more, unless it was made after all."""
    return state if state.captures or state.status == "completed" else replace(state, status="lapsed")


def _credited_capture(topup: TopUp, state: ProviderState) -> Capture | None:
    """The first capture that is settled; where the fee is deducted, it must be known as well."""
    first = min(_settled(state), key=lambda capture: (capture.created_at_ms, capture.id), default=None)
    if first is not None and first.fee is None and topup.fee_policy == "deduct":
        return None
    return first


def _capture_movement(provider: str, capture: Capture) -> _Movement:
    return _Movement(
        id=f"{provider}:capture:{capture.id}",
        kind="top_up",
        amount=capture.gross.nano,
        provider_fee=capture.fee or NOTHING,
    )


def _refund_movement(provider: str, refund: Refund) -> _Movement:
    return _Movement(
        id=f"{provider}:{refund.kind}:{refund.id}",
        kind=refund.kind,
        amount=-refund.amount.nano,
        provider_fee=NanoUsd(-refund.fee_returned),
    )


def _dispute_movements(
    fact: str, capture: Capture, dispute: Dispute, refunds: Collection[Refund], uncovered: dict[str, int]
) -> list[_Movement]:
    """What is disputed leaves when the dispute opens, and what was not lost comes back when it is resolved.

    Money that goes back to the payer because of the dispute shows as a refund or reversal as well, and must not leave
    twice: so much of it as the dispute already took comes back (``covered``). ``uncovered`` is what earlier disputes
    left of each refund. Where a refund bears the very time of the resolution, nobody can say which came first, and
    either may have been booked without the other: it is covered as if it came before, all else is released as if it
    came behind, and the difference leaves again.
    """
    earlier = sum(refund.amount.nano for refund in refunds if refund.created_at_ms < dispute.opened_at_ms)
    disputed = max(0, min(dispute.amount.nano, capture.gross.nano - earlier))
    lost = min(dispute.lost.nano, disputed)
    movements = [_Movement(id=fact, kind="reversal", amount=-disputed)]
    covered = covered_by_resolution = 0
    for refund in refunds:
        if refund.created_at_ms < dispute.opened_at_ms:
            continue
        is_later = dispute.resolved_at_ms is not None and refund.created_at_ms > dispute.resolved_at_ms
        is_level = refund.created_at_ms == dispute.resolved_at_ms
        part, part_if_later = (
            max(0, min(uncovered[refund.id], most - covered)) for most in (lost if is_later else disputed, lost)
        )
        came_back = covered + (disputed - max(lost, covered_by_resolution) if is_later else 0)
        movements.append(_Movement(id=f"{fact}:covered:{refund.id}", kind="reversal", amount=part, after=came_back))
        if is_level and part > part_if_later:
            leaves, came_back = part - part_if_later, came_back + disputed - max(lost, covered_by_resolution)
            movements.append(
                _Movement(id=f"{fact}:leaves:{refund.id}", kind="reversal", amount=-leaves, after=came_back)
            )
            part = part_if_later
        uncovered[refund.id] -= part
        covered += part
        covered_by_resolution += 0 if is_later or is_level else part
    if dispute.status != "open":
        released = disputed - max(lost, covered_by_resolution)
        movements.append(
            _Movement(id=f"{fact}:released", kind="reversal", amount=released, after=covered_by_resolution)
        )
    return movements


def _transfers(topup: TopUp, movement: _Movement, now_ms: int) -> list[Transfer]:
    """A movement as transfers. The account and the fee that it was charged share it in the proportion in which they
    shared the payment, so that a refund of a half takes back a half of each."""
    external, fee = ledger.external_of(topup.provider), movement.provider_fee
    share = _share(topup, movement.after + abs(movement.amount)) - _share(topup, movement.after)
    sign = 1 if movement.amount > 0 else -1
    own = ledger.balance_of(topup.account_id)
    flows: tuple[tuple[str, TransferKind, str, int], ...] = (
        (movement.id, movement.kind, own, sign * share),
        (f"{movement.id}:charged_fee", "fee", ledger.TOP_UP_FEE_REVENUE, sign * (abs(movement.amount) - share)),
        (f"{movement.id}:fee", "fee", ledger.fee_of(topup.provider), -fee),
    )
    return [
        Transfer(
            id=transfer_id,
            debit=external if amount > 0 else other,
            credit=other if amount > 0 else external,
            amount_nano_usd=NanoUsd(abs(amount)),
            kind=kind,
            reference=topup.id,
            created_at_ms=now_ms,
        )
        for transfer_id, kind, other, amount in flows
        if amount
    ]


def _share(topup: TopUp, gross: int) -> int:
    """The account's part of so much of the payment, rounded down."""
    return gross * topup.credited_nano_usd // topup.amount_nano_usd


def _charged_fee(topup: TopUp, capture: Capture) -> NanoUsd:
    fee = capture.fee if topup.fee_policy == "deduct" and capture.fee is not None else topup.fee_nano_usd
    return min(fee, topup.amount_nano_usd)


def _settled(state: ProviderState) -> list[Capture]:
    return [capture for capture in state.captures if capture.status == "settled"]


def _missing_fee(state: ProviderState) -> str | None:
    return "the provider does not say its fee, which is to be deducted" if _settled(state) else None


def _unsettled_state(old: TopUpState, state: ProviderState) -> TopUpState:
    if old not in UNSETTLED:
        return old
    if state.captures:
        return "declined" if all(capture.status == "declined" for capture in state.captures) else "pending"
    return max(old, "pending" if state.status == "completed" else state.status, key=UNSETTLED.index)


def _settled_state(capture: Capture, refunds: Collection[Refund], disputes: Iterable[Dispute]) -> TopUpState:
    outcomes = {dispute.status for dispute in disputes}
    refunded = sum(refund.amount.nano for refund in refunds)
    if "open" in outcomes:
        return "disputed"
    if "lost" in outcomes:
        return "lost"
    if any(refund.kind == "reversal" for refund in refunds):
        return "reversed"
    if refunded:
        return "refunded" if refunded >= capture.gross.nano else "partly_refunded"
    return "won" if "won" in outcomes else "captured"
