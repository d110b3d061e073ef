"""The service's role may only insert into and read the audit log."""

from alembic import op

from cinesync.chassis.audit_log import APPEND_ONLY_DDL

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for statement in APPEND_ONLY_DDL:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError
