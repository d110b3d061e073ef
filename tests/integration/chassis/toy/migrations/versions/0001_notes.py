"""Notes, and who read them."""

from alembic import op

from cinesync.chassis.database import migrations

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One statement each."""
    for statement in migrations.CHASSIS_DDL:
        op.execute(statement)
    op.execute("CREATE TABLE IF NOT EXISTS notes (note_id UUID PRIMARY KEY, words TEXT NOT NULL)")
    op.execute(
        "CREATE TABLE IF NOT EXISTS readings (reading_id UUID PRIMARY KEY,"
        " note_id UUID NOT NULL, reader TEXT NOT NULL)"
    )
