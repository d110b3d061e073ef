"""How many machines a given number of purchases needs, from measured CPU time. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Any

from bench import report
from bench.report import Results

MS_PER_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What nobody measured. `looks` are page views for each purchase, by the name of the figure."""

    purchases_an_hour: int = 1_000_000
    peak_to_mean: float = 3.0
    cpu_share_max: float = 0.5
    cores_a_machine: int = 8
    looks: tuple[tuple[str, int], ...] = (
        ("pages.home", 5),
        ("pages.movie", 5),
        ("pages.seats", 3),
        ("seat_maps.unchanged", 10),
    )


@dataclass(frozen=True, slots=True)
class Role:
    """Machines of one kind. At least `machines_min`, so that the loss of one is survived."""

    name: str
    kinds: Sequence[str]
    machines_min: int
    why: str


@dataclass(frozen=True, slots=True)
class Need:
    """`cpu_ms` for one purchase with its looks; `cores` at the peak."""

    role: Role
    buying_ms: float
    looking_ms: float
    cores: float
    machines: int

    @property
    def cpu_ms(self) -> float:
        """Both."""
        return self.buying_ms + self.looking_ms


ROLES: Sequence[Role] = (
    Role("API and pages", ("shop", "auth", "movies", "booking", "payment", "ledger", "web"), 2,
         "any may be lost"),
    Role("PostgreSQL", ("postgres",), 2, "a primary and its standby; the region leads every key,"
         " so that regions can be split over several"),
    Role("validators", ("validators",), 4, "n = 3f + 1, one machine each"),
    Role("gateway", ("gateway",), 2, "any may be lost"),
    Role("RabbitMQ", ("rabbitmq",), 3, "quorum queues"),
)  # fmt: skip


def needs(runs: Sequence[Results], assumed: Assumptions) -> list[Need]:
    """For every role whose processes were measured."""
    buying = _median_of(runs, "purchases.closed.cpu_ms_each")
    looking: dict[str, float] = {}
    for path, count in assumed.looks:
        for kind, cpu_ms in _median_of(runs, f"{path}.cpu_ms_each").items():
            looking[kind] = looking.get(kind, 0.0) + cpu_ms * count
    found = []
    for role in ROLES:
        bought, looked = (sum(ms.get(kind, 0.0) for kind in role.kinds) for ms in (buying, looking))
        if bought or looked:
            cores = cores_at_peak(bought + looked, assumed)
            machines = max(ceil(cores / assumed.cores_a_machine), role.machines_min)
            found.append(Need(role, bought, looked, cores, machines))
    return found


def cores_at_peak(cpu_ms: float, assumed: Assumptions) -> float:
    """That are busy for `cpu_ms` with each purchase, none for more than its share."""
    mean = assumed.purchases_an_hour * cpu_ms / MS_PER_HOUR
    return mean * assumed.peak_to_mean / assumed.cpu_share_max


def page(runs: Sequence[Results], assumed: Assumptions) -> str:
    """The tables of docs/capacity.md."""
    found = needs(runs, assumed)
    if not found:
        return "Nothing is measured yet.\n"
    lines = [
        "| Role | CPU-ms to buy | CPU-ms to look | Cores at the peak | Machines | Because |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {need.role.name} | {need.buying_ms:.2f} | {need.looking_ms:.1f} | {need.cores:.1f}"
        f" | {need.machines} | {need.role.why} |"
        for need in found
    ]
    totals = [sum(getattr(need, name) for need in found) for name in ("buying_ms", "looking_ms")]
    cores, machines = sum(need.cores for need in found), sum(need.machines for need in found)
    lines.append(
        f"| **all** | {totals[0]:.2f} | {totals[1]:.1f} | {cores:.1f} | **{machines}** | |"
    )
    alone = sum(cores_at_peak(need.buying_ms, assumed) for need in found)
    return (
        "\n".join(lines)
        + f"\n\nBuying alone, without anybody looking, takes {alone:.1f} cores at the peak.\n"
    )


def assumptions_list(assumed: Assumptions) -> str:
    """As people read them."""
    mean = assumed.purchases_an_hour / 3600
    looks = ", ".join(f"{count} x `{path}`" for path, count in assumed.looks)
    return (
        f"- {assumed.purchases_an_hour:,} purchases an hour are {mean:.0f} a second; the peak is"
        f" {assumed.peak_to_mean:g} times that, {mean * assumed.peak_to_mean:.0f} a second.\n"
        f"- No core is busy for more than {assumed.cpu_share_max:.0%} of the time, so that answers"
        " stay quick and the loss of a machine is carried by the others.\n"
        f"- A machine has {assumed.cores_a_machine} cores like those of the bench.\n"
        f"- For each purchase somebody looks: {looks}.\n"
    )


def _median_of(runs: Sequence[Results], path: str) -> dict[str, float]:
    """CPU-ms by kind, without what loaded the system and without the provider's bank."""
    kinds: dict[str, list[float]] = {}
    for run in runs:
        each: Mapping[str, Any] = report.mapping(run, path) or {}
        for kind, cpu_ms in each.items():
            kinds.setdefault(kind, []).append(float(cpu_ms))
    return {kind: median(found) for kind, found in kinds.items()}
