"""When the platform of each account last delivered, and what was rejected."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "delivery",
        sa.Column("channel", sa.String(32), nullable=False, primary_key=True),
        sa.Column("account", sa.String(64), nullable=False, primary_key=True),
        sa.Column("accepted_at", sa.Float(), nullable=False),
        sa.Column("rejected_at", sa.Float(), nullable=False),
        sa.Column("n_rejected", sa.Integer(), nullable=False),
        sa.Column("n_rejected_since", sa.Integer(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("delivery")
