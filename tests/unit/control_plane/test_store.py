"""The store: transactions that do not fail each other, strict columns, and a schema that is the declared one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from control_plane import accounts, main  # noqa: F401 # main imports every module that declares a table
from control_plane.store import Store, insert_all, metadata


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path}/made/when/missing/store.sqlite3")
    await store.migrate()
    yield store
    await store.close()


async def balance(connection: Any) -> int:
    value: int = (await connection.execute(text("SELECT created_at_ms FROM accounts"))).scalar_one()
    return value


async def test_concurrent_read_then_write_transactions_neither_fail_nor_overdraw(store: Store) -> None:
    async with store.begin() as connection:
        await accounts.create(connection, account_id="acct_a", email="a@example.com", name=None, now_ms=1000)

    async def debit() -> bool:
        async with store.begin() as connection:
            if (left := await balance(connection)) < 100:
                return False
            await connection.execute(text("UPDATE accounts SET created_at_ms = :left"), {"left": left - 100})
            return True

    granted = await asyncio.gather(*(debit() for _ in range(30)))

    assert sum(granted) == 10


async def test_a_reader_sees_a_snapshot_and_waits_for_no_writer(store: Store) -> None:
    async with store.begin() as connection:
        await accounts.create(connection, account_id="acct_a", email="a@example.com", name=None, now_ms=1)

    async with store.begin() as writer, store.read() as reader:
        await writer.execute(text("UPDATE accounts SET created_at_ms = 2"))

        assert await balance(reader) == 1


async def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    async def open_twice() -> None:
        async with store.begin() as connection:
            for _ in range(2):
                await accounts.create(connection, account_id="acct_a", email="a@example.com", name=None, now_ms=1)

    with pytest.raises(accounts.EmailTaken):
        await open_twice()

    async with store.read() as connection:
        with pytest.raises(accounts.AccountNotFound):
            await accounts.get(connection, "acct_a")


async def test_a_column_refuses_a_value_of_another_type(store: Store) -> None:
    with pytest.raises(IntegrityError, match="cannot store TEXT value in INTEGER column"):
        async with store.begin() as connection:
            await accounts.create(connection, account_id="a", email="a@example.com", name=None, now_ms="soon")  # type: ignore[arg-type]


async def test_a_column_refuses_an_owner_that_does_not_exist(store: Store) -> None:
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        async with store.begin() as connection:
            await connection.execute(
                text("INSERT INTO retired_secrets VALUES ('hash', 'key_none', 1, 1)"),
            )


async def test_no_error_repeats_the_values_of_a_statement(store: Store) -> None:
    with pytest.raises(OperationalError) as error:
        async with store.begin() as connection:
            await connection.execute(text("SELECT * FROM nowhere WHERE email = :email"), {"email": "dev@example.com"})

    assert "dev@example.com" not in str(error.value)


async def test_many_rows_are_inserted_by_the_names_of_their_columns(store: Store) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "acct_a", "email": "a@example.com", "name": None, "state": "active", "created_at_ms": 1},
        {"created_at_ms": 2, "state": "suspended", "name": "B", "email": "b@example.com", "id": "acct_b"},
    ]
    async with store.begin() as connection:
        await insert_all(connection, accounts.accounts, rows)

        stored = await connection.execute(select(accounts.accounts).order_by(accounts.accounts.c.id))
    assert [dict(row) for row in stored.mappings()] == rows


async def test_no_error_repeats_the_values_of_many_rows(store: Store) -> None:
    row = {"id": "acct_a", "email": "dev@example.com", "name": None, "state": "active", "created_at_ms": 1}
    with pytest.raises(IntegrityError) as error:
        async with store.begin() as connection:
            await insert_all(connection, accounts.accounts, [row, row])

    assert "dev@example.com" not in str(error.value)


async def test_the_revisions_add_up_to_what_the_modules_declare(store: Store) -> None:
    async with store.begin() as connection:
        differences = await connection.run_sync(lambda sync: compare_metadata(_context(sync), metadata))

    assert differences == []


async def test_the_revisions_make_the_same_constraints_and_triggers_as_the_modules(
    store: Store, tmp_path: Path
) -> None:
    declared = Store.open(f"sqlite:///{tmp_path}/declared.sqlite3")
    async with declared.begin() as connection:
        await connection.run_sync(metadata.create_all)
        expected = await connection.run_sync(_constraints_and_triggers)
    await declared.close()

    async with store.begin() as connection:
        assert await connection.run_sync(_constraints_and_triggers) == expected


async def test_migrating_again_changes_nothing(store: Store) -> None:
    await store.migrate()


def test_every_money_and_time_column_is_a_64_bit_integer() -> None:
    _check_widths(metadata)


def _check_widths(declared: MetaData) -> None:
    for table in declared.tables.values():
        for column in table.columns:
            if column.name.endswith(("_nano_usd", "_ms")):
                assert str(column.type) == "BIGINT", f"{table.name}.{column.name}"


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})


def _constraints_and_triggers(connection: Connection) -> dict[str, Any]:
    inspector = inspect(connection)
    found: dict[str, Any] = {
        name: (
            sorted((check["name"], check["sqltext"]) for check in inspector.get_check_constraints(name)),
            sorted(str(unique["name"]) for unique in inspector.get_unique_constraints(name)),
            sorted(str(index["name"]) for index in inspector.get_indexes(name)),
        )
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }
    triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"))
    strict = connection.execute(
        text("SELECT name FROM pragma_table_list WHERE strict AND schema = 'main' ORDER BY name")
    )
    return found | {"triggers": [tuple(row) for row in triggers], "strict": [row.name for row in strict]}
