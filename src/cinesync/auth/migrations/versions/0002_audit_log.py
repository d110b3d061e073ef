"""The audit log."""

from alembic import op

from cinesync.chassis.audit_log import AUDIT_LOG_DDL

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for statement in AUDIT_LOG_DDL:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError
