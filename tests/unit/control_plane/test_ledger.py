"""The ledger's rules: facts are booked once, never change, and always balance."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from sqlalchemy import Table, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from control_plane import ledger
from control_plane.append_only import DIALECTS, append_only_ddl
from control_plane.ledger import Transfer, TransferConflict, entries, ledger_accounts, transfers
from control_plane.outbox import outbox
from control_plane.store import Store
from gateway.fields import Fields
from gateway.money import MAX_NANO_USD, NanoUsd
from gateway.records import Grant
from tests.unit.control_plane.books import ALICE, BOB, NOW_MS, count, ledger_balance, open_books, transfer_ids

CREDIT = Transfer(
    id="credit:acct_alice:one",
    debit=ledger.ADMIN_CREDIT,
    credit=ledger.balance_of(ALICE),
    amount_nano_usd=NanoUsd(5),
    kind="credit",
    reference="one",
    created_at_ms=NOW_MS,
)


@pytest.fixture
async def books() -> AsyncIterator[Store]:
    async with open_books() as store:
        yield store


async def test_a_transfer_moves_its_amount_from_the_debited_to_the_credited_account(books: Store) -> None:
    async with books.begin() as connection:
        posted = await ledger.post(connection, CREDIT)

        assert posted == "created"
        assert await ledger_balance(connection, ledger.ADMIN_CREDIT) == -5
        assert await ledger_balance(connection, ledger.balance_of(ALICE)) == 5


async def test_a_transfer_posted_again_later_exists_and_moves_nothing(books: Store) -> None:
    async with books.begin() as connection:
        await ledger.post(connection, CREDIT)
        posted = await ledger.post(connection, replace(CREDIT, created_at_ms=NOW_MS + 1))

        assert posted == "exists"
        assert await ledger_balance(connection, ledger.balance_of(ALICE)) == 5
        assert await count(connection, transfers) == 1


@pytest.mark.parametrize(
    "changed",
    [
        replace(CREDIT, amount_nano_usd=NanoUsd(6)),
        replace(CREDIT, debit=ledger.TRIAL_PROMOTION),
        replace(CREDIT, credit=ledger.balance_of(BOB)),
        replace(CREDIT, kind="trial"),
        replace(CREDIT, reference="two"),
    ],
    ids=["amount", "debit", "credit", "kind", "reference"],
)
async def test_the_same_id_with_other_content_is_a_conflict(books: Store, changed: Transfer) -> None:
    async with books.begin() as connection:
        await ledger.post(connection, CREDIT)

        with pytest.raises(TransferConflict):
            await ledger.post(connection, changed)


async def test_one_batch_cannot_hold_two_contents_under_one_id(books: Store) -> None:
    async with books.begin() as connection:
        with pytest.raises(TransferConflict):
            await ledger.post_all(connection, [CREDIT, replace(CREDIT, amount_nano_usd=NanoUsd(6))])


@pytest.mark.parametrize("amount", [1, MAX_NANO_USD])
def test_an_amount_is_at_least_one_nano_and_at_most_the_greatest(amount: int) -> None:
    assert replace(CREDIT, amount_nano_usd=NanoUsd(amount)).amount_nano_usd == amount


@pytest.mark.parametrize("amount", [-1, 0, MAX_NANO_USD + 1])
def test_an_amount_outside_of_its_range_is_refused(amount: int) -> None:
    with pytest.raises(ValueError, match="amount"):
        replace(CREDIT, amount_nano_usd=NanoUsd(amount))


def test_a_transfer_has_two_sides() -> None:
    with pytest.raises(ValueError, match="both sides"):
        replace(CREDIT, credit=CREDIT.debit)


@pytest.mark.parametrize("table", [transfers, entries], ids=["transfers", "entries"])
async def test_the_database_refuses_to_change_or_delete_what_was_posted(books: Store, table: Table) -> None:
    async with books.begin() as connection:
        await ledger.post(connection, CREDIT)

    for statement in (update(table).values(amount_nano_usd=7), delete(table)):
        async with books.begin() as connection:
            with pytest.raises(IntegrityError, match=f"{table.name} is append-only"):
                await connection.execute(statement)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_database_is_told_to_refuse_both_update_and_delete(dialect: str) -> None:
    ddl = " ".join(append_only_ddl(dialect, "transfers"))

    assert "UPDATE" in ddl
    assert "DELETE" in ddl
    assert "ON transfers" in ddl


def test_no_other_database_is_taken_without_triggers() -> None:
    with pytest.raises(ValueError, match="mysql"):
        append_only_ddl("mysql", "transfers")


async def test_an_admin_credit_is_booked_and_sent_to_the_wallet_once_per_reference(books: Store) -> None:
    async with books.begin() as connection:
        first = await ledger.credit_account(
            connection, account_id=ALICE, amount=NanoUsd(9), reference="gift", now_ms=NOW_MS
        )
        again = await ledger.credit_account(
            connection, account_id=ALICE, amount=NanoUsd(9), reference="gift", now_ms=NOW_MS + 1
        )

        assert first == again == "credit:acct_alice:gift"
        assert await ledger.balance(connection, ALICE) == ledger.AccountBalance(
            balance_nano_usd=NanoUsd(9), spent_nano_usd=NanoUsd(0)
        )
        sent = (await connection.execute(select(outbox.c.subject, outbox.c.payload))).all()
        assert [subject for subject, _ in sent] == [ALICE]
        assert Grant.from_fields(Fields.parse(sent[0].payload, "grant")) == Grant(
            id="credit:acct_alice:gift", kind="credit", amount_nano_usd=NanoUsd(9)
        )


async def test_another_amount_under_a_used_reference_is_a_conflict(books: Store) -> None:
    async with books.begin() as connection:
        await ledger.credit_account(connection, account_id=ALICE, amount=NanoUsd(9), reference="gift", now_ms=NOW_MS)

        with pytest.raises(TransferConflict):
            await ledger.credit_account(
                connection, account_id=ALICE, amount=NanoUsd(8), reference="gift", now_ms=NOW_MS
            )


async def test_a_reference_belongs_to_its_account(books: Store) -> None:
    async with books.begin() as connection:
        for account_id in (ALICE, BOB):
            await ledger.credit_account(
                connection, account_id=account_id, amount=NanoUsd(9), reference="gift", now_ms=NOW_MS
            )

        assert await transfer_ids(connection) == ["credit:acct_alice:gift", "credit:acct_bob:gift"]


async def test_a_credit_that_is_rolled_back_leaves_neither_money_nor_a_grant(books: Store) -> None:
    async def credit_and_fail() -> None:
        async with books.begin() as connection:
            await ledger.credit_account(
                connection, account_id=ALICE, amount=NanoUsd(9), reference="gift", now_ms=NOW_MS
            )
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await credit_and_fail()

    async with books.begin() as connection:
        assert await count(connection, transfers) == await count(connection, outbox) == 0


async def test_no_money_is_booked_for_an_account_that_does_not_exist(books: Store) -> None:
    async with books.begin() as connection:
        with pytest.raises(IntegrityError):
            await ledger.credit_account(
                connection, account_id="acct_nobody", amount=NanoUsd(9), reference="gift", now_ms=NOW_MS
            )


async def test_the_trial_credit_is_granted_once_into_an_account_of_its_own(books: Store) -> None:
    async with books.begin() as connection:
        for _ in range(2):
            granted = await ledger.grant_trial(connection, account_id=ALICE, amount=NanoUsd(7), now_ms=NOW_MS)

        assert granted == "trial:acct_alice"
        assert await ledger_balance(connection, ledger.trial_of(ALICE)) == 7
        assert await ledger_balance(connection, ledger.balance_of(ALICE)) == 0
        assert await ledger.balance(connection, ALICE) == ledger.AccountBalance(
            balance_nano_usd=NanoUsd(7), spent_nano_usd=NanoUsd(0)
        )
        assert await count(connection, outbox) == 1


async def test_an_account_without_transfers_has_nothing_and_spent_nothing(books: Store) -> None:
    async with books.begin() as connection:
        assert await ledger.balance(connection, ALICE) == ledger.AccountBalance(
            balance_nano_usd=NanoUsd(0), spent_nano_usd=NanoUsd(0)
        )


async def test_the_grants_of_an_account_are_its_money_in_and_not_its_charges(books: Store) -> None:
    charge = Transfer(
        id="usage:req_1",
        debit=ledger.balance_of(ALICE),
        credit=ledger.USAGE_REVENUE,
        amount_nano_usd=NanoUsd(3),
        kind="usage",
        reference="req_1",
        created_at_ms=NOW_MS,
    )
    refund = replace(charge, id="paypal:refund:1", kind="refund", credit=ledger.PAYPAL, amount_nano_usd=NanoUsd(2))
    async with books.begin() as connection:
        await ledger.grant_trial(connection, account_id=ALICE, amount=NanoUsd(7), now_ms=NOW_MS)
        await ledger.credit_account(connection, account_id=BOB, amount=NanoUsd(9), reference="x", now_ms=NOW_MS)
        await ledger.post_all(connection, [CREDIT, charge, refund])

        assert await ledger.grants_of(connection, ALICE) == [
            Grant(id="credit:acct_alice:one", kind="credit", amount_nano_usd=NanoUsd(5)),
            Grant(id="paypal:refund:1", kind="refund", amount_nano_usd=NanoUsd(-2)),
            Grant(id="trial:acct_alice", kind="trial", amount_nano_usd=NanoUsd(7)),
        ]
        assert await ledger.balance(connection, ALICE) == ledger.AccountBalance(
            balance_nano_usd=NanoUsd(7), spent_nano_usd=NanoUsd(3)
        )


SIDES = [
    ledger.ADMIN_CREDIT,
    ledger.TRIAL_PROMOTION,
    ledger.USAGE_REVENUE,
    ledger.WRITEOFF,
    *(name(account_id) for account_id in (ALICE, BOB) for name in (ledger.balance_of, ledger.trial_of)),
]


class LedgerMachine(RuleBasedStateMachine):
    """Any transfers, in any order, repeated, contradicted or rolled back: the books stay what the facts say."""

    posted: Bundle[Transfer] = Bundle("posted")

    def __init__(self) -> None:
        super().__init__()
        self.facts: dict[str, Transfer] = {}
        self.runner = asyncio.Runner()
        self.opened = open_books()

    @initialize()
    def open(self) -> None:
        self.store = self.runner.run(self.opened.__aenter__())

    @rule(target=posted, sides=st.permutations(SIDES), amount=st.integers(1, 10**12))
    def post_a_new_one(self, sides: list[str], amount: int) -> Transfer:
        transfer = Transfer(
            id=f"credit:{len(self.facts)}",
            debit=sides[0],
            credit=sides[1],
            amount_nano_usd=NanoUsd(amount),
            kind="credit",
            reference="machine",
            created_at_ms=NOW_MS,
        )
        assert self.runner.run(self._post(transfer)) == "created"
        self.facts[transfer.id] = transfer
        return transfer

    @rule(transfer=posted)
    def post_it_again(self, transfer: Transfer) -> None:
        assert self.runner.run(self._post(replace(transfer, created_at_ms=NOW_MS + 1))) == "exists"

    @rule(transfer=posted, more=st.integers(1, 10))
    def contradict_it(self, transfer: Transfer, more: int) -> None:
        with pytest.raises(TransferConflict):
            self.runner.run(self._post(replace(transfer, amount_nano_usd=NanoUsd(transfer.amount_nano_usd + more))))

    @rule(target=posted, transfer=consumes(posted))
    def correct_it_by_another(self, transfer: Transfer) -> Transfer:
        reverse = replace(transfer, id=f"credit:{len(self.facts)}", debit=transfer.credit, credit=transfer.debit)
        assert self.runner.run(self._post(reverse)) == "created"
        self.facts[reverse.id] = reverse
        return reverse

    @invariant()
    def every_balance_is_what_the_facts_and_the_entries_say(self) -> None:
        stored, derived = self.runner.run(self._balances())
        facts = dict.fromkeys(stored, 0)
        for transfer in self.facts.values():
            facts[transfer.debit] -= transfer.amount_nano_usd
            facts[transfer.credit] += transfer.amount_nano_usd

        assert stored == derived == facts
        assert sum(stored.values()) == 0

    def teardown(self) -> None:
        self.runner.run(self.opened.__aexit__(None, None, None))
        self.runner.close()

    async def _post(self, transfer: Transfer) -> str:
        async with self.store.begin() as connection:
            return await ledger.post(connection, transfer)

    async def _balances(self) -> tuple[dict[str, int], dict[str, int]]:
        derived = select(entries.c.ledger_account, func.sum(entries.c.amount_nano_usd))
        async with self.store.begin() as connection:
            stored = await connection.execute(select(ledger_accounts.c.id, ledger_accounts.c.balance_nano_usd))
            summed = await connection.execute(derived.group_by(entries.c.ledger_account))
            return dict(stored.all()), dict(summed.all())


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
