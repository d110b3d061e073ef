"""I2: our captures and refunds beside what each provider says it moved."""

from typing import Final

from cinesync.audit.results import CheckOutcome, Failed, NotMade, Passed, ReportProgress
from cinesync.audit.sources import AuditSources
from cinesync.chassis.database import Transaction, text
from cinesync.payment.gateways import GatewayAway, GatewayRefused, PaymentGateway
from cinesync.payment.statement_reconciliation import reconcile

NO_MONEY: Final = "no provider moved any money"


async def check(books: AuditSources, progress: ReportProgress) -> CheckOutcome:
    """Every provider that is configured, or that our books name."""
    used = await books.payment.read(_providers)
    names = sorted({*used, *books.gateways})
    outcomes = [await _compare(name, books, progress) for name in names]
    return _together(outcomes) if outcomes else Passed(NO_MONEY)


async def _compare(name: str, books: AuditSources, progress: ReportProgress) -> CheckOutcome:
    gateway = books.gateways.get(name)
    if gateway is None:
        return NotMade(f"{name} is not configured here, but our books have money that it moved")
    try:
        return await _reconcile(gateway, books, progress)
    except (GatewayAway, GatewayRefused) as error:
        return NotMade(f"{name} does not answer ({str(error) or type(error).__name__})")


async def _reconcile(
    gateway: PaymentGateway, books: AuditSources, progress: ReportProgress
) -> CheckOutcome:
    compared = await reconcile(books.payment, gateway, progress)
    figures = {"captured": compared.captured_cents, "refunded": compared.refunded_cents}
    said = f"{gateway.name} agrees, {compared.in_flight_count} in flight"
    if compared.foreign_count:
        said += f", {compared.foreign_count} movements of other systems passed over"
    if compared.troubles:
        findings = tuple(f"{gateway.name}: {trouble}" for trouble in compared.troubles)
        untold = compared.trouble_count - len(compared.troubles)
        findings += (f"{gateway.name}: {untold} more differences",) if untold else ()
        return Failed(f"{gateway.name} differs", findings, {gateway.name: figures})
    return Passed(said, figures={gateway.name: figures})


def _together(outcomes: list[CheckOutcome]) -> CheckOutcome:
    """One that is not made keeps the whole from passing; one that failed fails it."""
    not_made = [one.reason for one in outcomes if isinstance(one, NotMade)]
    seen = [f"not made: {reason}" for reason in not_made]
    seen += [one.seen for one in outcomes if not isinstance(one, NotMade)]
    figures = {
        k: v for one in outcomes if not isinstance(one, NotMade) for k, v in one.figures.items()
    }
    failed = [finding for one in outcomes if isinstance(one, Failed) for finding in one.findings]
    if failed:
        return Failed("; ".join(seen), tuple(failed), figures)
    if not_made:
        return NotMade("; ".join(not_made))
    return Passed("; ".join(seen), figures=figures)


async def _providers(tx: Transaction) -> list[str]:
    """Those of our captures: the next name by index, since they are few and captures many."""
    statement = text(
        "SELECT provider FROM captures WHERE provider > CAST(:after AS text)"
        " ORDER BY provider ASC LIMIT 1"
    )
    found: list[str] = []
    while row := (await tx.execute(statement, {"after": found[-1] if found else ""})).first():
        found.append(row.provider)
    return found
