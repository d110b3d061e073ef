"""Title keys with accents and symbols, so that films differ by their whole titles.

Old keys were unique, and equal new keys had equal old ones, so the new keys are unique too.
"""

from alembic import op
from sqlalchemy import text

from cinesync.movies.model import Movie

revision = "0004"
down_revision = "0003"

ROWS_AT_ONCE = 1_000


def upgrade() -> None:
    connection = op.get_bind()
    rows = connection.execute(
        text("SELECT movie_id, title, director, title_key, search_text FROM events")
    ).all()
    changed = []
    for row in rows:
        movie = Movie(title=row.title, director=row.director)
        keys = (movie.key()[0], movie.search_text())
        if keys != (row.title_key, row.search_text):
            changed.append({"id": row.movie_id, "key": keys[0], "words": keys[1]})
    for first in range(0, len(changed), ROWS_AT_ONCE):
        connection.execute(
            text(
                "UPDATE events SET title_key = CAST(:key AS text),"
                " search_text = CAST(:words AS text) WHERE movie_id = CAST(:id AS uuid)"
            ),
            changed[first : first + ROWS_AT_ONCE],
        )


def downgrade() -> None:
    raise NotImplementedError
