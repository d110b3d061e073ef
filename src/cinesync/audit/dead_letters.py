"""I3: there are no dead letters: events that a consumer could not handle."""

from collections import Counter
from typing import Final

from cinesync.audit.results import CheckOutcome, Findings, NotMade, ReportRowsRead
from cinesync.audit.sources import AuditSources
from cinesync.chassis.database import Transaction, text
from cinesync.chassis.messaging.dead_letters import LETTERS_MAX

SET_URL: Final = "set RABBITMQ_URL, and audit again"
COUNTS = text(
    "SELECT queue, count(*) AS letters FROM dead_letters GROUP BY queue ORDER BY queue ASC"
)


async def check(sources: AuditSources, progress: ReportRowsRead) -> CheckOutcome:
    """Count the dead letters of every queue, in the databases and in the broker."""
    findings = Findings()
    for name, db in sources.databases.items():
        findings.extend(f"{name}: {line}" for line in await db.read(_dead_letters))
    if sources.broker is None and sources.has_broker:
        return NotMade(f"events of this shop go through RabbitMQ: {SET_URL}")
    if sources.broker is not None:
        try:
            letters = await sources.broker.waiting(sources.queues)
        except Exception as error:  # noqa: BLE001 every kind of refusal leaves the check unmade
            return NotMade(f"RabbitMQ does not show its dead letters ({error!r})")
        for queue, count in sorted(Counter(letter.queue for letter in letters).items()):
            more = " or more" if count >= LETTERS_MAX else ""
            findings.add(f"broker: {_finding(queue, count, more)}")
    progress(findings.count)
    count = findings.count
    return findings.outcome(f"dead letters in {count} queues" if count else "no dead letters")


async def _dead_letters(tx: Transaction) -> list[str]:
    return [_finding(row.queue, row.letters) for row in await tx.execute(COUNTS)]


def _finding(queue: str, count: int, more: str = "") -> str:
    return f"{count}{more} dead letters of {queue} wait (cinesync queues dead)"
