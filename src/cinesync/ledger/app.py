"""Settings and wiring of the ledger service."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cinesync.chassis.background import Loop
from cinesync.chassis.database import open_database
from cinesync.chassis.process import Service
from cinesync.ledger import routes
from cinesync.ledger.event_handlers import HANDLERS
from cinesync.ledger.metrics import measures
from cinesync.ledger.personal_data import personal_data_router
from cinesync.ledger.queries import LedgerQueries
from cinesync.ledger.submitter import Submitter
from cinesync.validator import home
from cinesync.validator.network.client import LedgerClient


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment under these names in upper case."""

    database_url: Annotated[str, "the ledger service's own database"]
    ledger_home: Annotated[str, "the folder client-ledger that `cinesync ledger init` made"]


def create(settings: Settings) -> Service:
    """The ledger service. Raises NoHome."""
    db = open_database(settings.database_url, application="cinesync ledger", serialize_writes=True)
    place = home.load(Path(settings.ledger_home))
    client = LedgerClient(place)
    submitter = Submitter(db, client, place.client)
    return Service(
        name="ledger",
        database=db,
        routes=[
            *routes.routes(routes.LedgerContext(db, LedgerQueries(client))),
            personal_data_router(db),
        ],
        migrations="cinesync.ledger.migrations",
        handlers=HANDLERS,
        background=[
            Loop("ledger.client", client.run),
            Loop("ledger.submitter", submitter.run),
        ],
        checks={"validators": client.problem},
        measures=measures(db, client),
        close=[submitter.stop],
    )
