"""The demo chain: founded once, planned ahead at every start."""

import time
from datetime import date, timedelta
from sqlalchemy import text
from cinesync.chassis.db import Database, Transaction
from cinesync.movies.seeding import Seeded, seed_chain

async def test_x(db: Database, tomorrow: date) -> None:
    t=time.time()
    print(await seed_chain(db, tomorrow), time.time()-t)
    t=time.time()
    print(await seed_chain(db, tomorrow), time.time()-t)
    t=time.time()
    print(await seed_chain(db, tomorrow+timedelta(1)), time.time()-t)
    async def q(tx: Transaction, s: str): return [tuple(r) for r in await tx.execute(text(s))]
    print(await db.read(q, "select count(*), sum(length(body)), pg_size_pretty(pg_total_relation_size('outbox')) from outbox"))
    print(await db.read(q, "select t.name, local_date, count(*) from shows s join theaters t using(theater_id) group by 1,2 order by 1,2"))
    print(await db.read(q, "select e.title,a.name,starts_at at time zone t.time_zone,s.free_at at time zone t.time_zone,s.language,s.subtitles,prices_cents from shows s join events e using(movie_id) join theaters t using(theater_id) join auditoriums a using(auditorium_id) where t.name in ('Le Grand Mistral') and local_date=(select min(local_date) from shows) order by 2,3"))
    print(await db.read(q, "select avg(seat_count) from shows"))
