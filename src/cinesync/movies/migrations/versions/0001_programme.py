"""Films, theaters, auditoriums, seats, shows and price cards."""

from alembic import op

from cinesync.chassis.database import migrations

revision = "0001"
down_revision = None

EVENTS = """
CREATE TABLE IF NOT EXISTS events (
    movie_id UUID PRIMARY KEY,
    title TEXT NOT NULL,
    title_key TEXT NOT NULL,
    release_year BIGINT NOT NULL,
    release_date DATE,
    type TEXT NOT NULL CHECK (type IN ('film', 'live', 'concert')),
    language TEXT NOT NULL,
    certificate TEXT,
    genre TEXT,
    running_minutes BIGINT CHECK (running_minutes BETWEEN 1 AND 600),
    director TEXT,
    distributor TEXT,
    source TEXT,
    creative_type TEXT,
    tomatoes_percent BIGINT,
    imdb_tenths BIGINT,
    imdb_votes BIGINT,
    popularity BIGINT NOT NULL,
    search_text TEXT NOT NULL,
    UNIQUE (title_key, release_year)
)
"""
THEATERS = """
CREATE TABLE IF NOT EXISTS theaters (
    region TEXT NOT NULL,
    theater_id UUID NOT NULL,
    name TEXT NOT NULL,
    city TEXT NOT NULL,
    city_key TEXT NOT NULL,
    country TEXT NOT NULL,
    address TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    currency TEXT NOT NULL,
    language TEXT NOT NULL,
    programmed_until DATE,
    PRIMARY KEY (region, theater_id),
    UNIQUE (region, city, name)
)
"""
AUDITORIUMS = """
CREATE TABLE IF NOT EXISTS auditoriums (
    region TEXT NOT NULL,
    auditorium_id UUID NOT NULL,
    theater_id UUID NOT NULL,
    name TEXT NOT NULL,
    format TEXT NOT NULL,
    layout_id UUID NOT NULL,
    seat_count BIGINT NOT NULL,
    PRIMARY KEY (region, auditorium_id),
    UNIQUE (region, theater_id, name),
    FOREIGN KEY (region, theater_id) REFERENCES theaters (region, theater_id)
)
"""
SEATS = """
CREATE TABLE IF NOT EXISTS seats (
    layout_id UUID NOT NULL,
    seat TEXT NOT NULL,
    ordinal BIGINT NOT NULL,
    row_label TEXT NOT NULL,
    number BIGINT NOT NULL,
    zone TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('standard', 'recliner', 'wheelchair', 'companion')),
    x_hundredths BIGINT NOT NULL,
    y_hundredths BIGINT NOT NULL,
    run BIGINT NOT NULL,
    companion_of TEXT,
    PRIMARY KEY (layout_id, seat)
)
"""
PRICE_CARDS = """
CREATE TABLE IF NOT EXISTS price_cards (
    region TEXT NOT NULL,
    theater_id UUID NOT NULL,
    format TEXT NOT NULL,
    daypart TEXT NOT NULL CHECK (daypart IN ('morning', 'afternoon', 'evening', 'late')),
    zone TEXT NOT NULL,
    price_cents BIGINT NOT NULL CHECK (price_cents >= 0),
    PRIMARY KEY (region, theater_id, format, daypart, zone),
    FOREIGN KEY (region, theater_id) REFERENCES theaters (region, theater_id)
)
"""
SHOWS = """
CREATE TABLE IF NOT EXISTS shows (
    region TEXT NOT NULL,
    show_id UUID NOT NULL,
    movie_id UUID NOT NULL REFERENCES events (movie_id),
    theater_id UUID NOT NULL,
    auditorium_id UUID NOT NULL,
    layout_id UUID NOT NULL,
    starts_at TIMESTAMPTZ NOT NULL,
    ends_at TIMESTAMPTZ NOT NULL,
    free_at TIMESTAMPTZ NOT NULL,
    local_date DATE NOT NULL,
    format TEXT NOT NULL,
    language TEXT NOT NULL,
    subtitles TEXT,
    currency TEXT NOT NULL,
    prices_cents JSONB NOT NULL,
    seat_count BIGINT NOT NULL,
    seats_taken BIGINT NOT NULL DEFAULT 0,
    status TEXT NOT NULL CHECK (status IN ('scheduled', 'cancelled')),
    cancel_reason TEXT,
    revision BIGINT NOT NULL,
    CHECK (starts_at < ends_at AND ends_at <= free_at),
    PRIMARY KEY (region, show_id),
    FOREIGN KEY (region, auditorium_id) REFERENCES auditoriums (region, auditorium_id)
)
"""
INDEXES = (
    "CREATE INDEX IF NOT EXISTS events_by_popularity ON events (popularity, movie_id)",
    "CREATE INDEX IF NOT EXISTS theaters_by_id ON theaters (theater_id)",
    "CREATE INDEX IF NOT EXISTS theaters_by_city ON theaters (city_key, name)",
    "CREATE INDEX IF NOT EXISTS auditoriums_by_id ON auditoriums (auditorium_id)",
    "CREATE INDEX IF NOT EXISTS shows_by_id ON shows (show_id)",
    "CREATE INDEX IF NOT EXISTS shows_by_movie ON shows (movie_id, starts_at)",
    "CREATE INDEX IF NOT EXISTS shows_by_theater ON shows (theater_id, starts_at)",
    "CREATE UNIQUE INDEX IF NOT EXISTS shows_by_auditorium"
    " ON shows (region, auditorium_id, starts_at) WHERE status = 'scheduled'",
)


def upgrade() -> None:
    """One statement, one commit."""
    tables = (EVENTS, THEATERS, AUDITORIUMS, SEATS, PRICE_CARDS, SHOWS)
    for statement in (*migrations.CHASSIS_DDL, *tables, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    """Data is never thrown away by a program."""
    raise NotImplementedError
