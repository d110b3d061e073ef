"""Shows, their seats, and the bookings made of them."""

from alembic import op

from cinesync.chassis.database import migrations

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DDL = (
    "CREATE TABLE IF NOT EXISTS layouts (layout_id UUID PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS seats (
        layout_id UUID NOT NULL,
        seat TEXT NOT NULL,
        row_name TEXT NOT NULL,
        number BIGINT NOT NULL,
        zone TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('standard', 'recliner', 'wheelchair', 'companion')),
        x DOUBLE PRECISION NOT NULL,
        y DOUBLE PRECISION NOT NULL,
        run BIGINT NOT NULL,
        companion_of TEXT,
        PRIMARY KEY (layout_id, seat))""",
    """CREATE TABLE IF NOT EXISTS shows (
        region TEXT NOT NULL,
        show_id UUID NOT NULL,
        movie_id UUID NOT NULL,
        movie_title TEXT NOT NULL,
        theater_id UUID NOT NULL,
        theater_name TEXT NOT NULL,
        city TEXT NOT NULL,
        time_zone TEXT NOT NULL,
        auditorium_name TEXT NOT NULL,
        starts_at TIMESTAMPTZ NOT NULL,
        ends_at TIMESTAMPTZ NOT NULL,
        format TEXT NOT NULL,
        language TEXT NOT NULL,
        currency TEXT NOT NULL,
        prices_cents JSONB NOT NULL,
        layout_id UUID NOT NULL,
        revision BIGINT NOT NULL,
        cancelled BOOLEAN NOT NULL,
        PRIMARY KEY (region, show_id))""",
    "CREATE INDEX IF NOT EXISTS shows_by_id ON shows (show_id)",
    """CREATE TABLE IF NOT EXISTS early_show_changes (
        region TEXT NOT NULL,
        show_id UUID NOT NULL,
        revision BIGINT NOT NULL,
        starts_at TIMESTAMPTZ,
        ends_at TIMESTAMPTZ,
        prices_cents JSONB,
        cancelled BOOLEAN NOT NULL,
        PRIMARY KEY (region, show_id))""",
    """CREATE TABLE IF NOT EXISTS bookings (
        region TEXT NOT NULL,
        booking_id UUID NOT NULL,
        customer_id UUID NOT NULL,
        show_id UUID NOT NULL,
        seats JSONB NOT NULL,
        total_cents BIGINT NOT NULL CHECK (total_cents >= 0),
        currency TEXT NOT NULL,
        state TEXT NOT NULL CHECK (
            state IN ('held', 'released', 'expired', 'confirmed', 'cancelled')),
        created_at TIMESTAMPTZ NOT NULL,
        expires_at TIMESTAMPTZ NOT NULL,
        extensions BIGINT NOT NULL,
        payment_id UUID,
        payment_failure TEXT,
        late BOOLEAN NOT NULL,
        confirmed_at TIMESTAMPTZ,
        cancelled_at TIMESTAMPTZ,
        cancel_reason TEXT,
        refund_cents BIGINT NOT NULL CHECK (refund_cents BETWEEN 0 AND total_cents),
        refunded_cents BIGINT NOT NULL,
        PRIMARY KEY (region, booking_id),
        CHECK ((state IN ('confirmed', 'cancelled')) = (payment_id IS NOT NULL)))""",
    "CREATE INDEX IF NOT EXISTS bookings_by_id ON bookings (booking_id)",
    "CREATE INDEX IF NOT EXISTS bookings_by_customer"
    " ON bookings (customer_id, created_at, booking_id)",
    "CREATE UNIQUE INDEX IF NOT EXISTS bookings_payment ON bookings (region, payment_id)",
    "CREATE INDEX IF NOT EXISTS bookings_running_out ON bookings (region, expires_at)"
    " WHERE state = 'held'",
    """CREATE TABLE IF NOT EXISTS booking_seats (
        region TEXT NOT NULL,
        show_id UUID NOT NULL,
        seat TEXT NOT NULL,
        booking_id UUID NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('held', 'booked')),
        held_until TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (region, show_id, seat))""",
    """CREATE TABLE IF NOT EXISTS refused_payments (
        payment_id UUID PRIMARY KEY,
        hold_id UUID NOT NULL,
        customer_id UUID NOT NULL,
        reason TEXT NOT NULL,
        refund_cents BIGINT NOT NULL,
        refunded_cents BIGINT NOT NULL,
        currency TEXT NOT NULL,
        refused_at TIMESTAMPTZ NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS refused_payments_by_hold ON refused_payments (hold_id)",
)


def upgrade() -> None:
    for statement in (*migrations.CHASSIS_DDL, *DDL):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
