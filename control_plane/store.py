"""The database: one engine, one transaction at a time per connection, and the metadata that every table joins.

Times are integer milliseconds since 1970 UTC, amounts integer nano-USD. SQLite is the default and PostgreSQL is
reached through the same Core code, so SQL that only one of them speaks stands here or in the migrations.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Connection, Dialect, Integer, MetaData, Table, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.schema import SchemaItem

from control_plane import migrations

BUSY_TIMEOUT_MS = 5_000
CACHE_KIB = 16 * 1024
"""For each connection: random ids touch indexes everywhere."""

CHECKPOINT_PAGES = 4_000
"""How much gathers in the log, 16 MB, before it goes into the database. What a busy hour writes again and again, the
inner pages of indexes, is then copied once for several transactions."""

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}
READ_ONLY: dict[str, dict[str, Any]] = {
    "sqlite": {"read_only": True},
    # PostgreSQL's own default shows each statement of a transaction another state.
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite's STRICT tables know INTEGER only, which is 64 bits wide there.
Int64 = BigInteger().with_variant(Integer(), "sqlite")


def table(name: str, *items: SchemaItem, **options: Any) -> Table:
    """A table on ``metadata`` whose columns refuse values of another type: use Int64, Integer, Text, LargeBinary."""
    return Table(name, metadata, *items, sqlite_strict=True, **options)


async def insert_all(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same columns, two or more; the table's defaults do not apply.

    The statement is SQLAlchemy's, but the driver takes the values as they are: SQLAlchemy prepares each row anew, which
    took a fifth of the time of booking usage.
    """
    statement, order = _insertion(table, tuple(rows[0]), connection.dialect)
    values: list[Any] = list(map(itemgetter(*order), rows)) if order else list(rows)
    await connection.exec_driver_sql(statement, values)


@lru_cache(maxsize=100)
def _insertion(table: Table, columns: tuple[str, ...], dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """The text of an INSERT, and the order of its values where the driver takes them by position."""
    compiled = table.insert().compile(dialect=dialect, column_keys=list(columns))
    return str(compiled), tuple(compiled.positiontup or ())


class Store:
    """Hands out transactions. ``open`` touches nothing yet; ``close`` ends every connection."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(**READ_ONLY[engine.dialect.name])

    @classmethod
    def open(cls, url: str) -> "Store":
        """A store for ``sqlite:///file`` or ``postgresql://…``; the folder of a SQLite file is made."""
        parsed = _with_driver(make_url(url))
        # Parameters hold e-mail addresses and hashes, which have no place in an error text.
        engine = create_async_engine(parsed, hide_parameters=True)
        if parsed.get_backend_name() == "sqlite":
            _prepare_sqlite(engine, parsed)
        return cls(engine)

    async def migrate(self) -> None:
        """Bring the schema to the newest revision, in one transaction."""
        async with self.begin() as connection:
            await connection.run_sync(migrations.upgrade)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that may write: committed at the end of the block, rolled back when it raises."""
        async with self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that only reads: a snapshot that no writer waits for."""
        async with self._reader.begin() as connection:
            yield connection

    async def close(self) -> None:
        await self._engine.dispose()


def _with_driver(url: URL) -> URL:
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def _prepare_sqlite(engine: AsyncEngine, url: URL) -> None:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # The driver must not begin transactions by itself, because its plain BEGIN lets two readers who then
        # both write fail with "database is locked".
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        cursor.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        reads_only = connection.get_execution_options().get("read_only", False)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
