"""Deliveries and answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str, size: int, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(size), nullable=False, primary_key=key)


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column("id", _ID, primary_key=True),
        _text("channel", 32),
        _text("account", 64),
        _text("dedupe", 64),
        _text("conversation", 64),
        _text("message_ref", 64),
        _text("kind", 16),
        sa.Column("body", sa.LargeBinary()),
        _text("state", 16),
        _count("attempts"),
        _count("tries"),
        _time("first_at"),
        _time("last_at"),
        _time("passive_until"),
        _time("lease_until"),
        _text("lease_owner", 64),
        sa.UniqueConstraint("channel", "account", "dedupe", name="uq_event_channel_account_dedupe"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_state_lease_until", "event", ["state", "lease_until"])
    op.create_index("ix_event_conversation_state_id", "event", ["conversation", "state", "id"])
    op.create_index("ix_event_message_ref", "event", ["message_ref"])
    op.create_index("ix_event_last_at", "event", ["last_at"])
    op.create_table(
        "outbox",
        sa.Column("id", _ID, primary_key=True),
        sa.Column(
            "event_id",
            _ID,
            sa.ForeignKey("event.id", name="fk_outbox_event_id", ondelete="CASCADE"),
            nullable=False,
        ),
        _count("seq"),
        _text("channel", 32),
        _text("account", 64),
        _text("conversation", 64),
        sa.Column("payload", sa.LargeBinary()),
        _text("mode", 16),
        _text("state", 16),
        _text("idem", 64),
        _count("attempts"),
        _count("n_unknown"),
        _time("next_at"),
        _time("expires_at"),
        _time("lease_until"),
        _text("lease_owner", 64),
        _text("provider_id", 64),
        _text("code", 120),
        _time("created_at"),
        _time("done_at"),
        sa.UniqueConstraint("event_id", "seq", name="uq_outbox_event_id_seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_state_next_at", "outbox", ["state", "next_at"])
    op.create_index("ix_outbox_conversation_state", "outbox", ["conversation", "state"])
    op.create_index("ix_outbox_idem", "outbox", ["idem"])
    op.create_index("ix_outbox_provider_id", "outbox", ["provider_id"])
    op.create_table(
        "cursor",
        _text("channel", 32, key=True),
        _text("account", 64, key=True),
        _text("stream", 128, key=True),
        _text("value", 512),
        sa.Column("token", sa.LargeBinary()),
        _count("wakes"),
        _time("next_at"),
        _time("pulled_at"),
        _time("lease_until"),
        _text("lease_owner", 64),
    )
    op.create_table(
        "conversation",
        _text("key", 64, key=True),
        _time("last_user_at"),
        sa.Column("quota_left", sa.Integer()),
        sa.Column("is_watched", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "token",
        _text("channel", 32, key=True),
        _text("account", 64, key=True),
        _text("name", 32, key=True),
        sa.Column("value", sa.LargeBinary()),
        sa.Column("refresh", sa.LargeBinary()),
        _text("seed", 64),
        _time("expires_at"),
        _time("lease_until"),
        _text("lease_owner", 64),
    )
    op.create_table(
        "page",
        _text("key", 64, key=True),
        _text("conversation", 64),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        _time("created_at"),
    )
    op.create_index("ix_page_conversation", "page", ["conversation"])
    op.create_index("ix_page_created_at", "page", ["created_at"])
    op.create_table("fact", _text("name", 32, key=True), _text("value", 128))


def downgrade() -> None:
    for table in ("fact", "page", "token", "conversation", "cursor", "outbox", "event"):
        op.drop_table(table)
