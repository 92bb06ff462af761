"""Which database a test works on: SQLite, or a schema of its own where TEST_DATABASE_URL names a PostgreSQL."""

import hashlib
import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine, make_url, text

from control_plane import migrations

TEST_DATABASE_URL = "TEST_DATABASE_URL"


def database_url(name: str) -> str | None:
    """The URL of the database that belongs to ``name`` alone and is made when it is first asked for; None: SQLite."""
    server = os.environ.get(TEST_DATABASE_URL)
    if server is None:
        return None
    url = make_url(server).set(drivername="postgresql+psycopg")
    schema = f"test_{hashlib.sha256(name.encode()).hexdigest()[:24]}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    engine.dispose()
    return url.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)


def put_schema(file: Path) -> None:
    """Make a SQLite database with every table and nothing in it, unless there is one: to copy it takes no time, and the
    migrations, which have their own tests, most of a control plane's start."""
    if not file.exists():
        file.write_bytes(_migrated())


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "migrated.sqlite3"
        engine = create_engine(f"sqlite:///{file}")
        with engine.begin() as connection:
            migrations.upgrade(connection)
        engine.dispose()
        return file.read_bytes()
