"""The tables of the movies database. Films live in `events`, a name the first design chose."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from cinesync.chassis.database.tables import add_chassis_tables

metadata = MetaData()
add_chassis_tables(metadata, with_audit_log=True)

events = Table(
    "events",
    metadata,
    Column("movie_id", Uuid, primary_key=True),
    Column("title", Text, nullable=False),
    Column("title_key", Text, nullable=False),
    Column("release_year", BigInteger, nullable=False),
    Column("release_date", Date),
    Column("type", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("certificate", Text),
    Column("genre", Text),
    Column("running_minutes", BigInteger),
    Column("director", Text),
    Column("distributor", Text),
    Column("source", Text),
    Column("creative_type", Text),
    Column("tomatoes_percent", BigInteger),
    Column("imdb_tenths", BigInteger),
    Column("imdb_votes", BigInteger),
    Column("popularity", BigInteger, nullable=False),
    Column("search_text", Text, nullable=False),
    UniqueConstraint("title_key", "release_year"),
    CheckConstraint("type IN ('film', 'live', 'concert')"),
    CheckConstraint("running_minutes BETWEEN 1 AND 600"),
    Index("events_by_popularity", "popularity", "movie_id"),
)

theaters = Table(
    "theaters",
    metadata,
    Column("region", Text, primary_key=True),
    Column("theater_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("city", Text, nullable=False),
    Column("city_key", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("programmed_until", Date),
    Column("day_starts_minutes", BigInteger, nullable=False, server_default=text("360")),
    CheckConstraint(
        "day_starts_minutes >= 0 AND day_starts_minutes <= 720", name="theaters_day_starts"
    ),
    UniqueConstraint("region", "city", "name"),
    Index("theaters_by_id", "theater_id"),
    Index("theaters_by_city", "city_key", "name"),
)

auditoriums = Table(
    "auditoriums",
    metadata,
    Column("region", Text, primary_key=True),
    Column("auditorium_id", Uuid, primary_key=True),
    Column("theater_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("layout_id", Uuid, nullable=False),
    Column("seat_count", BigInteger, nullable=False),
    UniqueConstraint("region", "theater_id", "name"),
    ForeignKeyConstraint(["region", "theater_id"], ["theaters.region", "theaters.theater_id"]),
    Index("auditoriums_by_id", "auditorium_id"),
)

seats = Table(
    "seats",
    metadata,
    Column("layout_id", Uuid, primary_key=True),
    Column("seat", Text, primary_key=True),
    Column("ordinal", BigInteger, nullable=False),
    Column("row_label", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("zone", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("x_hundredths", BigInteger, nullable=False),
    Column("y_hundredths", BigInteger, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("companion_of", Text),
    CheckConstraint("kind IN ('standard', 'recliner', 'wheelchair', 'companion')"),
)

price_cards = Table(
    "price_cards",
    metadata,
    Column("region", Text, primary_key=True),
    Column("theater_id", Uuid, primary_key=True),
    Column("format", Text, primary_key=True),
    Column("daypart", Text, primary_key=True),
    Column("zone", Text, primary_key=True),
    Column("price_cents", BigInteger, nullable=False),
    ForeignKeyConstraint(["region", "theater_id"], ["theaters.region", "theaters.theater_id"]),
    CheckConstraint("daypart IN ('morning', 'afternoon', 'evening', 'late')"),
    CheckConstraint("price_cents >= 0"),
)

shows = Table(
    "shows",
    metadata,
    Column("region", Text, primary_key=True),
    Column("show_id", Uuid, primary_key=True),
    Column("movie_id", Uuid, ForeignKey("events.movie_id"), nullable=False),
    Column("theater_id", Uuid, nullable=False),
    Column("auditorium_id", Uuid, nullable=False),
    Column("layout_id", Uuid, nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("free_at", DateTime(timezone=True), nullable=False),
    Column("local_date", Date, nullable=False),
    Column("format", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("subtitles", Text),
    Column("currency", Text, nullable=False),
    Column("prices_cents", JSONB, nullable=False),
    Column("seat_count", BigInteger, nullable=False),
    Column("seats_taken", BigInteger, nullable=False, server_default=text("0")),
    Column("status", Text, nullable=False),
    Column("cancel_reason", Text),
    Column("announced_at", DateTime(timezone=True)),
    Column("sales_close_minutes", BigInteger),
    Column("revision", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["region", "auditorium_id"], ["auditoriums.region", "auditoriums.auditorium_id"]
    ),
    CheckConstraint("status IN ('scheduled', 'cancelled')"),
    CheckConstraint("starts_at < ends_at AND ends_at <= free_at"),
    Index("shows_by_id", "show_id"),
    Index("shows_by_movie", "movie_id", "starts_at"),
    Index("shows_by_theater", "theater_id", "starts_at"),
    Index(
        "shows_by_language",
        "language",
        "movie_id",
        "starts_at",
        postgresql_where=text("status = 'scheduled'"),
    ),
    Index(
        "shows_by_auditorium",
        "region",
        "auditorium_id",
        "starts_at",
        unique=True,
        postgresql_where=text("status = 'scheduled'"),
    ),
)
