"""Customers who are erased: what is recorded of them later is forgotten too."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE IF NOT EXISTS erased_customers ("
        " customer_id UUID PRIMARY KEY, erased_at TIMESTAMPTZ NOT NULL DEFAULT now())"
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward")
