"""Rows that never change: the database itself refuses UPDATE and DELETE on the tables that are the books.

``append_only_ddl`` serves the migrations; ``keep_append_only`` gives the same to ``metadata.create_all``.
"""

from typing import Final

from sqlalchemy import DDL, Table, event

DIALECTS: Final = ("sqlite", "postgresql")

_SQLITE: Final = (
    "CREATE TRIGGER {table}_refuses_update BEFORE UPDATE ON {table} "
    "BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
    "CREATE TRIGGER {table}_refuses_delete BEFORE DELETE ON {table} "
    "BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
)
_POSTGRESQL: Final = (
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', "
    "MESSAGE = TG_TABLE_NAME || ' is append-only'; END $$",
    "CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE ON {table} "
    "FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER {table}_refuses_truncate BEFORE TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
)


def append_only_ddl(dialect: str, table: str) -> list[str]:
    """The statements that make a table append-only; raises ValueError for a dialect other than DIALECTS."""
    if dialect not in DIALECTS:
        raise ValueError(f"no append-only triggers for {dialect}")
    statements = _SQLITE if dialect == "sqlite" else _POSTGRESQL
    return [statement.format(table=table) for statement in statements]


def keep_append_only(table: Table) -> None:
    """Attach the triggers to the table's creation, whichever of the dialects creates it."""
    for dialect in DIALECTS:
        for statement in append_only_ddl(dialect, table.name):
            event.listen(table, "after_create", DDL(statement).execute_if(dialect=dialect))  # type: ignore[no-untyped-call]
