"""Admits tickets, each once.

A batch of scans takes two statements: one reads the scanned bookings with everything that decides
about them, one inserts the admissions. Two gates that scan one ticket at the same time meet in the
primary key of the second statement: the slower transaction fails, runs again, and finds the ticket
used. Scans that admit nobody are kept for a while (`refused_scans`).
"""

from collections.abc import Sequence
from uuid import UUID

from cinesync.booking.admission import rules, store
from cinesync.booking.admission.rules import RefusedScan, Scan, ScanDecision
from cinesync.booking.model import BookingAuditAction
from cinesync.chassis import audit_log
from cinesync.chassis.audit_log import Actor
from cinesync.chassis.database import Transaction


async def admit(
    tx: Transaction,
    scans: Sequence[Scan],
    by: Actor,
    staff_id: UUID,
    invalid: Sequence[RefusedScan] = (),
) -> list[ScanDecision]:
    """One decision for each scan, in order. `invalid` are the scans of the same request that are no
    tickets of this shop; they are kept with the other refused ones."""
    found = await store.find_scanned(tx, [scan.booking_id for scan in scans])
    decisions, _ = rules.decide_all(scans, found)
    written = await store.insert_admissions(tx, decisions, staff_id)
    assert len(written) == sum(len(decision.fresh) for decision in decisions), "it was serialized"
    by_hand = [_audit_entry(one, by) for one in decisions if one.scan.by_hand and one.fresh]
    await audit_log.append(tx, by_hand)
    refused = [one for one in map(rules.refused_scan, decisions) if one is not None]
    if refused or invalid:
        await store.insert_refused(tx, [*refused, *invalid], staff_id)
    return decisions


def _audit_entry(decision: ScanDecision, by: Actor) -> audit_log.Entry:
    """Admission without a signed ticket rests on a person's word alone."""
    after = {"seats": list(decision.fresh), "gate": decision.scan.gate}
    return audit_log.Entry(
        actor=by,
        action=BookingAuditAction.ADMITTED_BY_HAND,
        object_kind="booking",
        object_id=decision.scan.booking_id,
        after=after,
    )
