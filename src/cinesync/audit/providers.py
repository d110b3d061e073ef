"""I2: our captures and refunds equal what each provider reports."""

from typing import Final

from sqlalchemy import Text

from cinesync.audit.results import CheckOutcome, Failed, NotMade, Passed, ReportRowsRead
from cinesync.audit.sources import AuditSources
from cinesync.chassis.database import Transaction, text
from cinesync.payment.gateways import GatewayAway, GatewayRefused, PaymentGateway
from cinesync.payment.reconciliation.provider_statement import reconcile

NO_MONEY: Final = "no provider moved any money"

NEXT_PROVIDER = text(
    "SELECT provider FROM captures WHERE provider > :after ORDER BY provider ASC LIMIT 1",
    after=Text,
)


async def check(sources: AuditSources, progress: ReportRowsRead) -> CheckOutcome:
    """Compare with every provider that is configured, or that captures name."""
    used = await sources.payment.read(_providers)
    names = sorted({*used, *sources.gateways})
    outcomes = [await _compare(name, sources, progress) for name in names]
    return _together(outcomes) if outcomes else Passed(NO_MONEY)


async def _compare(name: str, sources: AuditSources, progress: ReportRowsRead) -> CheckOutcome:
    gateway = sources.gateways.get(name)
    if gateway is None:
        return NotMade(f"{name} is not configured here, but payments have captures by it")
    try:
        return await _reconcile(gateway, sources, progress)
    except (GatewayAway, GatewayRefused) as error:
        return NotMade(f"{name} does not answer ({str(error) or type(error).__name__})")


async def _reconcile(
    gateway: PaymentGateway, sources: AuditSources, progress: ReportRowsRead
) -> CheckOutcome:
    compared = await reconcile(sources.payment, gateway, progress)
    figures = {"captured": compared.captured_cents, "refunded": compared.refunded_cents}
    summary = f"{gateway.name} agrees, {compared.in_flight_count} in flight"
    if compared.foreign_count:
        summary += f", {compared.foreign_count} movements of other systems passed over"
    if compared.troubles:
        findings = tuple(f"{gateway.name}: {trouble}" for trouble in compared.troubles)
        left_out = compared.trouble_count - len(compared.troubles)
        findings += (f"{gateway.name}: {left_out} more differences",) if left_out else ()
        return Failed(f"{gateway.name} differs", findings, {gateway.name: figures})
    return Passed(summary, figures={gateway.name: figures})


def _together(outcomes: list[CheckOutcome]) -> CheckOutcome:
    """Failed if one failed; else not made if one was not made."""
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
    """The providers in captures: one index lookup each, since providers are few."""
    found: list[str] = []
    while row := (await tx.execute(NEXT_PROVIDER, {"after": found[-1] if found else ""})).first():
        found.append(row.provider)
    return found
