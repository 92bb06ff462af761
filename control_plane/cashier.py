"""The cashier: starts top-ups, and looks at them whenever there is a reason to.

A webhook, the payer's return, the sweep and the operator's button all end in ``_observe`` and ``topups.apply``: ask the
provider, then book what follows in one transaction. An approved payment is captured on the way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import accounts, inbox, ledger, payments, topups
from control_plane.accounts import AccountSuspended
from control_plane.clock import NowMs
from control_plane.edge import EdgeClient
from control_plane.fees import NANO_PER_CENT, Fees
from control_plane.inbox import AlreadySeen
from control_plane.payment_provider import (
    PaymentProvider,
    ProviderRefused,
    ProviderUnavailable,
    Refs,
    ReturnUrls,
    TopUp,
    VerifiedDelivery,
)
from control_plane.store import Store
from control_plane.topups import Observation
from gateway.money import NOTHING, NanoUsd, format_usd

OPEN_MAX: Final = 20
OPEN_SINCE_MS: Final = 60 * 60 * 1000
UNSTARTED_MS: Final = 10 * 60 * 1000
GLANCE_MS: Final = 3_000

Received = Literal["done", "seen", "irrelevant"]
# What made us look. Only a payer who has just approved makes a declined payment worth another try.
Reason = Literal["approved", "lapsed", "changed"]

log = structlog.get_logger()


class PaymentsNotConfigured(Exception):
    """No payment provider of this name is configured."""


class TopUpNotBegun(Exception):
    """The provider refused to begin the payment. The operator is shown why; it is no matter of the customer's."""


class TooManyOpenTopUps(Exception):
    """The account has begun many top-ups lately and paid none of them."""


class AmountRefused(Exception):
    """The amount cannot be paid, or not be given back; the text says what could be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How long a top-up is looked at by itself.

    The wait between two looks is a tenth of the top-up's age, and at least ``least_ms``. A payment that nobody approved
    lapses after ``lapse_ms``; one that was captured may be disputed for ``watch_ms``.
    """

    least_ms: int
    lapse_ms: int
    watch_ms: int

    def next_look_ms(self, topup: TopUp, now_ms: int) -> int | None:
        age_ms = now_ms - topup.created_at_ms
        if topup.state in ("lapsed", "refunded") or age_ms > self.watch_ms:
            return None
        return now_ms + max(self.least_ms, age_ms // 10)

    def has_lapsed(self, topup: TopUp, now_ms: int) -> bool:
        return now_ms - topup.created_at_ms > self.lapse_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a top-up may be, and where the payer comes back to."""

    least: NanoUsd
    most: NanoUsd
    fees: Fees
    return_base_url: str

    def return_urls(self, topup_id: str) -> ReturnUrls:
        base = f"{self.return_base_url.rstrip('/')}/topups/{topup_id}"
        return ReturnUrls(approved=f"{base}/return", cancelled=f"{base}/cancel")


class Cashier:
    """One for all providers; the first is used where none is named. ``booked`` is called after every booking."""

    def __init__(
        self,
        *,
        store: Store,
        providers: Sequence[PaymentProvider],
        edge: EdgeClient,
        offer: Offer,
        watch: Watch,
        now_ms: NowMs,
        booked: Callable[[], None],
    ) -> None:
        self._store = store
        self._providers = {provider.id: provider for provider in providers}
        self._edge = edge
        self._offer = offer
        self._watch = watch
        self._now_ms = now_ms
        self._booked = booked

    async def start(self, account_id: str, amount: NanoUsd, *, topup_id: str, provider: str | None = None) -> TopUp:
        """A top-up and where to pay it.

        Raises PaymentsNotConfigured, AmountRefused, AccountSuspended, TooManyOpenTopUps, TopUpNotBegun,
        ProviderUnavailable.
        """
        rail = self._provider(provider or next(iter(self._providers), ""))
        topup = self._offered(account_id, amount, topup_id, rail.id)
        async with self._store.begin() as connection:
            if (await accounts.get(connection, account_id)).state != "active":
                raise AccountSuspended
            since_ms = topup.created_at_ms - OPEN_SINCE_MS
            if await topups.count_open(connection, account_id, since_ms=since_ms) >= OPEN_MAX:
                raise TooManyOpenTopUps
            # Stored before the provider hears of it, because the payment is known there by the row's id.
            await topups.add(connection, topup)
        try:
            redirect = await rail.start(topup, self._offer.return_urls(topup.id))
        except ProviderRefused as refused:
            await self._save(replace(topup, state="lapsed", alert=str(refused), next_look_at_ms=None))
            log.error("topup_alert", topup_id=topup.id, alert=str(refused))
            raise TopUpNotBegun from refused
        started = replace(topup, payment_ref=redirect.payment_ref, payee=redirect.payee, approve_url=redirect.url)
        return await self._save(started)

    async def receive(self, provider: str, raw: bytes, headers: Mapping[str, str]) -> Received:
        """Deal with a webhook, once.

        Raises PaymentsNotConfigured, DeliveryRefused, TransmissionReplayed; ProviderUnavailable to be sent it again.
        """
        rail = self._provider(provider)
        delivery = await rail.verify(raw, headers)
        try:
            return await self._deal_with(rail, delivery)
        except AlreadySeen:
            return "seen"
        except ProviderRefused as refused:
            # The delivery is in order, and what keeps us from dealing with it may pass.
            raise ProviderUnavailable(str(refused)) from refused

    async def look(self, topup_id: str, *, reason: Reason = "changed") -> TopUp:
        """Ask the provider and book what follows. Raises TopUpNotFound, PaymentsNotConfigured, ProviderUnavailable."""
        topup, known = await self._read(topup_id)
        if topup.payment_ref is None:
            return await self._give_up_unstarted(topup.id)
        seen = await self._observe(self._provider(topup.provider), topup, known, reason)
        async with self._store.begin() as connection:
            changed = await self._conclude(connection, topup, seen)
        self._booked()
        return changed

    async def glance(self, topup_id: str, *, owner: str) -> TopUp:
        """The top-up for its customer, who may ask often. Raises TopUpNotFound."""
        async with self._store.read() as connection:
            topup = await topups.get(connection, topup_id, owner=owner)
        if topup.is_settled or topup.state == "lapsed" or self._now_ms() - topup.observed_at_ms < GLANCE_MS:
            return topup
        try:
            return await self.look(topup_id)
        except (ProviderUnavailable, PaymentsNotConfigured):
            return topup

    async def refund(self, topup_id: str, amount: NanoUsd | None = None, *, reference: str | None = None) -> TopUp:
        """Give back a part of a captured top-up, or all that may be: not more than is left of the account's own money.

        What was asked for under the same reference is given once. Raises as ``look`` does, and AmountRefused,
        ProviderRefused, EdgeError.
        """
        topup = await self.look(topup_id)
        most = await self._refundable(topup)
        wanted = most if amount is None else amount
        if topup.capture_id is None or not 0 < wanted <= most or wanted % NANO_PER_CENT:
            raise AmountRefused(f"at most {format_usd(most)} USD can be given back, in whole cents")
        # Without a reference it is the same until the provider shows the refund, for those who ask at once.
        key = f"{topup.id}:refund:{topup.refunded_nano_usd if reference is None else reference}"
        try:
            await self._provider(topup.provider).refund(topup.capture_id, wanted, key)
        except ProviderRefused:
            # The reason may be what another hand did meanwhile, and that is booked before it is said.
            await self.look(topup_id)
            raise
        except ProviderUnavailable:
            # It may have been given before the provider fell silent, and then its state shows it.
            changed = await self.look(topup_id)
            if changed.refunded_nano_usd - topup.refunded_nano_usd < wanted:
                raise
            return changed
        return await self.look(topup_id)

    async def postpone(self, topup_id: str) -> None:
        """Look again later, because the provider could not be asked now."""
        async with self._store.begin() as connection:
            topup = await topups.get(connection, topup_id, lock=True)
            await topups.save(connection, self._scheduled(topup))

    async def _deal_with(self, rail: PaymentProvider, delivery: VerifiedDelivery) -> Received:
        async with self._store.read() as connection:
            await inbox.check_new(connection, rail.id, delivery)
        found = None
        if delivery.kind != "irrelevant":
            found = await self._find(rail, delivery.refs)
        if found is None or delivery.kind == "irrelevant":
            async with self._store.begin() as connection:
                await inbox.add(connection, rail.id, delivery, topup_id=None, now_ms=self._now_ms())
            return "irrelevant"
        topup, known = await self._read(found)
        seen = await self._observe(rail, topup, known | delivery.refs, delivery.kind)
        async with self._store.begin() as connection:
            await inbox.add(connection, rail.id, delivery, topup_id=topup.id, now_ms=self._now_ms())
            await self._conclude(connection, topup, seen)
        self._booked()
        return "done"

    async def _find(self, rail: PaymentProvider, refs: Refs) -> str | None:
        """The top-up that a webhook is about; a capture that is not known yet leads to it by its payment."""
        async with self._store.read() as connection:
            found = await topups.find(connection, rail.id, refs)
        if found is None:
            payments_of = [await rail.payment_of(capture) for capture in refs.captures]
            named = Refs(payments=tuple(payment for payment in payments_of if payment is not None))
            async with self._store.read() as connection:
                found = await topups.find(connection, rail.id, named)
        return found

    async def _observe(
        self, rail: PaymentProvider, topup: TopUp, known: Refs, reason: Reason
    ) -> Observation | ProviderRefused:
        """What the provider says now, after its money was taken where it is approved. Raises ProviderUnavailable."""
        began_at_ms = self._now_ms()
        try:
            state = await rail.fetch(topup, known)
            is_worth_it = topup.state != "declined" or reason == "approved"
            if state.status == "approved" and is_worth_it and payments.find_mismatch(topup, state) is None:
                state = await rail.capture(topup, known)
        except ProviderRefused as refused:
            return refused
        if reason == "lapsed" or self._watch.has_lapsed(topup, began_at_ms):
            state = payments.lapsed(state)
        return Observation(state=state, began_at_ms=began_at_ms)

    async def _conclude(self, connection: AsyncConnection, topup: TopUp, seen: Observation | ProviderRefused) -> TopUp:
        if isinstance(seen, ProviderRefused):
            topup = await topups.get(connection, topup.id, lock=True)
            changed = replace(topup, alert=str(seen))
        else:
            changed = await topups.apply(connection, topup.id, seen, now_ms=self._now_ms())
        changed = self._scheduled(changed)
        await topups.save(connection, changed)
        if changed.alert is not None and changed.alert != topup.alert:
            log.error("topup_alert", topup_id=topup.id, alert=changed.alert)
        return changed

    async def _refundable(self, topup: TopUp) -> NanoUsd:
        """In whole cents. What a dispute holds has left the account already, and can be given back at any balance."""
        most = topup.captured_nano_usd - topup.refunded_nano_usd
        if topup.state != "disputed" and topup.credited_nano_usd:
            own = await self._own_money(topup.account_id)
            most = min(most, own * topup.amount_nano_usd // topup.credited_nano_usd)
        return NanoUsd(max(0, most) // NANO_PER_CENT * NANO_PER_CENT)

    async def _own_money(self, account_id: str) -> int:
        """By the books, and by the Wallet too, which knows of spending that is not booked yet."""
        wallet = await self._edge.wallet_state(account_id)
        async with self._store.read() as connection:
            own = await ledger.own_money(connection, account_id)
            trial = (await ledger.trial_balances(connection, [account_id])).get(account_id, NOTHING)
        return min(own, wallet.available_nano_usd - trial)

    async def _give_up_unstarted(self, topup_id: str) -> TopUp:
        """Nobody was ever told where to pay it, unless it is being started at this moment."""
        async with self._store.begin() as connection:
            topup = self._scheduled(await topups.get(connection, topup_id, lock=True))
            if topup.payment_ref is None and self._now_ms() - topup.created_at_ms >= UNSTARTED_MS:
                topup = replace(topup, state="lapsed", next_look_at_ms=None)
            await topups.save(connection, topup)
        return topup

    async def _read(self, topup_id: str) -> tuple[TopUp, Refs]:
        async with self._store.read() as connection:
            return await topups.get(connection, topup_id), await topups.known_refs(connection, topup_id)

    async def _save(self, topup: TopUp) -> TopUp:
        async with self._store.begin() as connection:
            await topups.save(connection, topup)
        return topup

    def _scheduled(self, topup: TopUp) -> TopUp:
        return replace(topup, next_look_at_ms=self._watch.next_look_ms(topup, self._now_ms()))

    def _offered(self, account_id: str, amount: NanoUsd, topup_id: str, provider: str) -> TopUp:
        offer, now_ms = self._offer, self._now_ms()
        if not offer.least <= amount <= offer.most or amount % NANO_PER_CENT:
            least, most = format_usd(offer.least), format_usd(offer.most)
            raise AmountRefused(f"must be {least} to {most} USD, in whole cents")
        topup = TopUp(
            id=topup_id,
            account_id=account_id,
            provider=provider,
            amount_nano_usd=amount,
            fee_policy=offer.fees.policy,
            fee_nano_usd=min(offer.fees.expected(amount), amount),
            state="created",
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
            observed_at_ms=now_ms,
        )
        return self._scheduled(topup)

    def _provider(self, name: str) -> PaymentProvider:
        if name not in self._providers:
            raise PaymentsNotConfigured
        return self._providers[name]
