"""Metrics of the ledger: the validators' heights, and how long entries wait."""

from collections.abc import Sequence

from prometheus_client import Gauge

from cinesync.chassis.database import Database
from cinesync.chassis.database.gauges import Labelled, Measure
from cinesync.ledger import store
from cinesync.validator.network.client import LedgerClient

VALIDATORS = Gauge("cinesync_validators", "Validators of the newest epoch.")
VALIDATORS_UP = Gauge("cinesync_validators_up", "Validators that answered.")
VALIDATORS_NEEDED = Gauge("cinesync_validators_needed", "Validators that a new block needs.")
UP = Gauge("cinesync_validator_up", "1 while the validator answers.", ["validator"])
HEIGHT = Gauge("cinesync_validator_height", "Blocks that the validator has.", ["validator"])
PENDING = Gauge("cinesync_validator_pending", "Requests that wait there.", ["validator"])
VIEW = Gauge("cinesync_validator_view", "View (PBFT) that the validator is in.", ["validator"])
LEDGER_HEIGHT = Gauge("cinesync_ledger_height", "Height of the highest validator.")
OLDEST = Gauge(
    "cinesync_ledger_entries_oldest_seconds",
    "Age of the oldest entry without a receipt; 0: there is none.",
)


def measures(db: Database, client: LedgerClient) -> Sequence[Measure]:
    """Costs one query to each validator, and one statement."""
    ups, heights = Labelled(UP), Labelled(HEIGHT)
    pending, views = Labelled(PENDING), Labelled(VIEW)

    async def validators() -> None:
        statuses = await client.statuses()
        names = {replica: (str(replica),) for replica in {*client.replicas, *statuses}}
        VALIDATORS.set(len(client.replicas))
        VALIDATORS_UP.set(len(statuses))
        VALIDATORS_NEEDED.set(client.configuration.quorum)
        ups.replace({name: float(at in statuses) for at, name in names.items()})
        heights.replace({names[at]: one.height for at, one in statuses.items()})
        pending.replace({names[at]: one.pending for at, one in statuses.items()})
        views.replace({names[at]: one.view for at, one in statuses.items()})
        LEDGER_HEIGHT.set(max((one.height for one in statuses.values()), default=0))

    async def entries() -> None:
        OLDEST.set(await db.run_one(store.oldest_pending_seconds))

    return [validators, entries]
