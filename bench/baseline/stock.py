"""Shows to sell for the baseline."""

from collections.abc import Sequence
from uuid import UUID, uuid4  # noqa: TID251 not part of the product

from sqlalchemy import Engine, text

from bench.baseline.models import Base

PRICE_CENTS = 1_200


def fill(engine: Engine, shows: int, seats: int) -> Sequence[UUID]:
    """Make the tables and `shows` more shows of `seats` seats; their ids."""
    Base.metadata.create_all(engine)
    show_ids = [uuid4() for _ in range(shows)]
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO seats (show_id, name, rank, price_cents, status)"
                " SELECT s, 'S' || n, n, :price, 'free'"
                " FROM unnest(CAST(:show_ids AS uuid[])) s, generate_series(1, :seats) n"
            ),
            {"show_ids": show_ids, "seats": seats, "price": PRICE_CENTS},
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE seats"))
    return show_ids
