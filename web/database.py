"""The database of deliveries and answers: SQLite on one machine, PostgreSQL on several. Tables, engine,
migrations.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sqlite3
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import alembic.command
import alembic.config
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from web.channels.errors import ChannelSettingsError, KeyMismatchError, StoreError
from web.vault import Vault

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Its loggers tell of every plugin.
logging.getLogger("alembic").setLevel(logging.WARNING)
MIGRATIONS = Path(__file__).parent / "migrations"
# How long SQLite waits for another writer. Short enough that WeChat, which waits five seconds, gets its 503.
BUSY_TIMEOUT_S = 2.0
_MIGRATION_LOCK = 7_267_201

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_ID = BigInteger().with_variant(Integer, "sqlite")

# Identifiers (dedupe, conversation, message_ref, provider_id) are keyed hashes; body and payload are
# encrypted.
events = Table(
    "event",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("channel", String(32), nullable=False),
    Column("account", String(64), nullable=False),
    Column("dedupe", String(64), nullable=False),
    Column("conversation", String(64), nullable=False),
    Column("message_ref", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", LargeBinary),
    # new → leased → answered; or withdrawn, forgotten, noted (nothing to answer)
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("passive_until", Float, nullable=False),
    Column("lease_until", Float, nullable=False),
    Column("lease_owner", String(64), nullable=False),
    UniqueConstraint("channel", "account", "dedupe"),
    Index(None, "state", "lease_until"),
    Index(None, "conversation", "state", "id"),
    Index(None, "message_ref"),
    Index(None, "last_at"),
    sqlite_autoincrement=True,
)
outbox = Table(
    "outbox",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("event_id", _ID, ForeignKey("event.id", ondelete="CASCADE"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("channel", String(32), nullable=False),
    Column("account", String(64), nullable=False),
    Column("conversation", String(64), nullable=False),
    Column("payload", LargeBinary),
    Column("mode", String(16), nullable=False),
    # pending → handed | sending → sent; or held, moved, refused, gave_up, dropped
    Column("state", String(16), nullable=False),
    Column("idem", String(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("n_unknown", Integer, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("lease_until", Float, nullable=False),
    Column("lease_owner", String(64), nullable=False),
    Column("provider_id", String(64), nullable=False),
    Column("code", String(120), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("done_at", Float, nullable=False),
    UniqueConstraint("event_id", "seq"),
    Index(None, "state", "next_at"),
    Index(None, "conversation", "state"),
    Index(None, "idem"),
    Index(None, "provider_id"),
    sqlite_autoincrement=True,
)
cursors = Table(
    "cursor",
    metadata,
    Column("channel", String(32), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("stream", String(128), primary_key=True),
    Column("value", String(512), nullable=False),
    Column("token", LargeBinary),
    Column("wakes", Integer, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("pulled_at", Float, nullable=False),
    Column("lease_until", Float, nullable=False),
    Column("lease_owner", String(64), nullable=False),
)
conversations = Table(
    "conversation",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("last_user_at", Float, nullable=False),
    Column("quota_left", Integer),
    Column("is_watched", Boolean, nullable=False),
)
tokens = Table(
    "token",
    metadata,
    Column("channel", String(32), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("value", LargeBinary),
    Column("refresh", LargeBinary),
    Column("seed", String(64), nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("lease_until", Float, nullable=False),
    Column("lease_owner", String(64), nullable=False),
)
pages = Table(
    "page",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("conversation", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
    Index(None, "conversation"),
    Index(None, "created_at"),
)
deliveries = Table(
    "delivery",
    metadata,
    Column("channel", String(32), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("accepted_at", Float, nullable=False),
    Column("rejected_at", Float, nullable=False),
    Column("n_rejected", Integer, nullable=False),
    Column("n_rejected_since", Integer, nullable=False),
)
facts = Table(
    "fact",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(128), nullable=False),
)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "postgresql":
            connect_args: dict[str, Any] = {"connect_timeout": 5, "options": "-c lock_timeout=5000"}
            return create_engine(
                parsed,
                pool_size=8,
                max_overflow=4,
                pool_timeout=3,
                pool_pre_ping=True,
                connect_args=connect_args,
            )
        if parsed.get_backend_name() != "sqlite":
            raise ChannelSettingsError("GUITU_DATABASE_URL must start with sqlite:/// or postgresql://")
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})
    except (ArgumentError, NoSuchModuleError) as error:
        # Without the address: it holds a password.
        raise ChannelSettingsError("GUITU_DATABASE_URL is not an SQLAlchemy database address") from error

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        # We write BEGIN ourselves: sqlite3 would begin late and as a reader, and fail where it turns into a
        # writer.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def upgrade(engine: Engine) -> None:
    """Brings the tables up to date. Processes that start together take turns."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")


def insert_into(connection: Connection, table: Table) -> Any:
    """An insert that knows ON CONFLICT, in the dialect of the connection (both have the same methods)."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def skip_locked(connection: Connection, query: Any) -> Any:
    """A query that passes over rows that another worker is taking; SQLite has one writer at a time anyway."""
    return query.with_for_update(skip_locked=True) if connection.dialect.name == "postgresql" else query


class Database:
    """Runs functions in transactions, off the event loop."""

    def __init__(self, url: str, vault: Vault) -> None:
        self.engine = _engine(url)
        self.vault = vault
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        # One thread for SQLite: its writers would only wait for one another, and could time out doing so.
        self._threads = ThreadPoolExecutor(1 if self.is_sqlite else 8, thread_name_prefix="guitu-database")
        self.instance = uuid.UUID(int=0)

    def open(self) -> None:
        """Migrates, and checks that the key is the one that the rows were written with.

        Raises:
            StoreError: the database cannot be reached.
            KeyMismatchError: it was written with another key.
        """
        try:
            upgrade(self.engine)
            with self.engine.begin() as connection:
                for name, value in (("key_check", self.vault.key_check), ("instance", uuid.uuid4().hex)):
                    insert = insert_into(connection, facts).values(name=name, value=value)
                    connection.execute(insert.on_conflict_do_nothing())
                found = {row.name: row.value for row in connection.execute(select(facts.c.name, facts.c.value))}
        except SQLAlchemyError as error:
            raise StoreError(f"the database cannot be opened: {type(error).__name__}") from error
        if not secrets.compare_digest(found["key_check"], self.vault.key_check):
            raise KeyMismatchError(
                "the database was written with another key; restore channels.key in the data folder, "
                "or GUITU_SECRET_KEY"
            )
        self.instance = uuid.UUID(found["instance"])

    async def run(self, work: Callable[[Connection], T]) -> T:
        """What a function gives, run in one transaction.

        Raises:
            StoreError: the database is locked, full or away; nothing was written.
        """
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, self.run_now, work)
        except RuntimeError as error:
            raise StoreError("the database is closed") from error
        return await running

    def run_now(self, work: Callable[[Connection], T]) -> T:
        """`run` on this thread, for start-up and the command line."""
        try:
            with self.engine.begin() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            # The text of the error holds the statement and its values: only its kind may be told.
            raise StoreError(f"the database does not answer: {type(error).__name__}") from error

    def close(self) -> None:
        """Waits for running work and closes all connections."""
        self._threads.shutdown(wait=True)
        with contextlib.suppress(SQLAlchemyError):
            self.engine.dispose()
