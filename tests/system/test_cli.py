"""The command line against a running shop, and what it says when asked wrongly."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cinesync.bootstrap import SERVICES
from cinesync.chassis import clock
from cinesync.chassis.database import migrations, open_database
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.inbox import insert_dead_letter
from cinesync.cli.main import main, run
from cinesync.proofs import canonical_json
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.infrastructure import Infrastructure
from tests.support.eventually import wait_for
from tests.support.shop import RunningShop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shop")]

FILMS = [
    {"Title": "A Film For The Command Line", "Release Date": "Jun 12 1998", "MPAA Rating": "R"},
    {"Title": None, "Release Date": "Jun 12 1998"},
]
Cinesync = Callable[..., Result]


@pytest.fixture
def cinesync(shop: RunningShop) -> Cinesync:
    """The command, in this process, on the running shop's data."""

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, f"--data={shop.data_folder.path}"])

    return command


def test_the_audit_of_a_running_shop_compares_the_banks_statement(cinesync: Cinesync) -> None:
    result = cinesync("audit")
    assert result.exit_code == 0, result.output
    assert "I2 bank statement: passed: sandbox agrees" in result.output
    assert "every promise holds" in result.output


def test_an_audit_for_programs_is_one_document(cinesync: Cinesync) -> None:
    result = cinesync("audit", "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["exit_code"]) == (0, 0)
    assert [check["outcome"] for check in report["checks"]] == ["passed"] * 5


def test_unreadable_databases_are_reported_in_one_line(
    shop: RunningShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server without a shop's databases."""
    settings = shop.supervisor.environ | {
        "PAYMENT_DATABASE_URL": shop.supervisor.postgres.url("nowhere")
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["cinesync", "audit"])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2
    assert 'database "nowhere" does not exist' in capsys.readouterr().err


def test_a_second_import_changes_nothing_and_names_the_refused_line(
    cinesync: Cinesync, tmp_path: Path
) -> None:
    film_file, report_file = tmp_path / "films.json", tmp_path / "report.txt"
    film_file.write_text(json.dumps(FILMS, indent=0))
    first = cinesync("import", "movies", str(film_file), f"--report={report_file}")
    again = cinesync("import", "movies", str(film_file))
    assert (first.exit_code, again.exit_code) == (1, 1)
    assert "1 new" in first.output
    assert "1 known" in again.output
    assert "films.json:" in report_file.read_text()


def test_a_broken_file_is_refused_with_its_line(cinesync: Cinesync, tmp_path: Path) -> None:
    broken = tmp_path / "films.json"
    broken.write_text('[\n{"Title": "A"},\n{"Title": \n]')
    result = cinesync("import", "movies", str(broken))
    assert result.exit_code != 0
    assert "films.json:" in result.output


def test_seeding_and_migrating_again_add_nothing(cinesync: Cinesync) -> None:
    assert "added 0 movies" in cinesync("seed").output
    newest = [f"{name}: {migrations.newest(f'cinesync.{name}.migrations')}" for name in SERVICES]
    assert cinesync("migrate").output.splitlines() == newest


async def _bury(shop: RunningShop, message: Message) -> None:
    db = open_database(shop.supervisor.postgres.url("cinesync_booking"))
    await db.run(insert_dead_letter, "booking.payment.failed", message, "it was bad")
    await db.close()


def test_the_queue_commands_list_show_and_replay(shop: RunningShop, cinesync: Cinesync) -> None:
    body = json.dumps({"name": "payment.failed", "version": 1}).encode()
    message = Message(clock.new_id(), "payment.failed", body)
    asyncio.run(_bury(shop, message))
    event_id = str(message.event_id)
    listed = cinesync("queues", "dead")
    assert listed.exit_code == 1
    assert event_id in listed.output
    assert "it was bad" in cinesync("queues", "show", event_id).output
    assert "1 replayed" in cinesync("queues", "replay", event_id).output
    assert cinesync("queues", "show", str(clock.new_id())).exit_code != 0
    assert cinesync("queues", "replay").exit_code != 0


@pytest.fixture
def receipt(shop: RunningShop, tmp_path: Path) -> tuple[Path, Path]:
    """The receipt of a booking, and the genesis to check it against."""
    client = shop.client().sign_up()
    hold = client.hold_best(client.a_show(3)["show_id"], 1)
    client.pay(hold["hold_id"])
    client.confirmed(hold["hold_id"])
    found: list[dict[str, str]] = []

    def is_there() -> bool:
        items = client.get(f"/api/ledger/entries?booking_id={hold['hold_id']}")["items"]
        found[:] = [one["entry"] for one in items if one["entry"]["kind"] == "booking.confirmed"]
        path = f"/api/ledger/receipts/{found[0]['event_id']}" if found else ""
        return bool(found) and client.call("GET", path).status_code == 200

    wait_for(is_there, "the booking is in the ledger")
    answer = client.call("GET", f"/api/ledger/receipts/{found[0]['event_id']}")
    (tmp_path / "receipt.json").write_bytes(answer.content)
    return tmp_path / "receipt.json", shop.data_folder.path / "ledger" / "genesis.json"


def _verify(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["verify", *(str(argument) for argument in arguments)])


def test_a_receipt_is_verified_offline_and_an_altered_one_refused(
    receipt: tuple[Path, Path],
) -> None:
    file, genesis = receipt
    good = _verify(file, "--genesis", genesis)
    assert good.exit_code == 0, good.output
    assert good.output.startswith("valid: booking.confirmed")
    assert _verify(file, file, "--genesis", genesis).exit_code == 0
    file.write_text(file.read_text().replace("booking.confirmed", "booking.cancelled"))
    bad = _verify(file)
    assert bad.exit_code == 1
    assert bad.output.startswith("not valid: ")
    assert _verify(file.with_name("none.json")).exit_code != 0


def test_a_booking_has_its_receipt_and_its_entries_are_proved_to_be_all(
    shop: RunningShop, tmp_path: Path
) -> None:
    client = shop.client().sign_up()
    hold_id = client.hold_best(client.a_show(3)["show_id"], 1)["hold_id"]
    client.pay(hold_id)
    client.confirmed(hold_id)
    booking = f"/api/booking/bookings/{hold_id}"
    wait_for(lambda: client.get(booking)["receipt"] is not None, "the booking has its receipt")
    place = client.get(booking)["receipt"]
    receipt = client.get(f"/api/ledger/receipts/{place['event_id']}")
    assert (receipt["entry"]["booking_id"], receipt["index"]) == (hold_id, place["index"])

    def has_both() -> bool:
        file.write_bytes(client.call("GET", f"/api/ledger/proofs/booking/{hold_id}").content)
        return len(json.loads(file.read_bytes())["entries"]) == 2

    file = tmp_path / "all.json"
    wait_for(has_both, "payment and booking are in the ledger")
    good = _verify(file, "--genesis", shop.data_folder.path / "ledger" / "genesis.json")
    assert good.exit_code == 0, good.output
    assert good.output.startswith(f"valid: booking {hold_id} has exactly 2 entries")
    altered = json.loads(file.read_bytes())
    del altered["entries"][0]
    file.write_bytes(canonical_json.dump(altered))
    bad = _verify(file)
    assert (bad.exit_code, bad.output.split(": ")[:2]) == (
        1,
        ["not valid", "completeness.entries"],
    )


def test_a_ledger_of_another_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    assert CliRunner().invoke(main, ["ledger", "init", str(folder)]).exit_code == 0
    chain = folder / "validator-0" / "chain.sqlite"
    with closing(sqlite3.connect(chain)) as connection:
        connection.execute("CREATE TABLE blocks (height INTEGER PRIMARY KEY, header BLOB)")
    kept = chain.read_bytes()
    for arguments in (
        ["ledger", "audit", f"--data={tmp_path}"],
        ["validator", f"--home={chain.parent}"],
    ):
        refused = CliRunner().invoke(main, arguments)
        assert refused.exit_code != 0
        assert "another version of CineSync" in " ".join(refused.output.split())
    with pytest.raises(StartFailed, match="move the data folder away"):
        Infrastructure(DataFolder(tmp_path), "http://127.0.0.1:1", {}).start_validators(
            lambda _: None
        )
    assert chain.read_bytes() == kept


def test_the_ledgers_own_audit_and_watch(cinesync: Cinesync, receipt: tuple[Path, Path]) -> None:
    audited = cinesync("ledger", "audit")
    assert audited.exit_code == 0, audited.output
    assert "replica 3" in audited.output
    watched = cinesync("ledger", "watch", "--looks=1")
    assert watched.exit_code == 0, watched.output
    assert "root" in watched.output


def test_a_ledger_is_founded_once(tmp_path: Path) -> None:
    folder = str(tmp_path / "ledger")
    assert CliRunner().invoke(main, ["ledger", "init", folder]).exit_code == 0
    assert CliRunner().invoke(main, ["ledger", "init", folder]).exit_code != 0


def test_every_setting_is_listed_and_in_the_example() -> None:
    listed = CliRunner().invoke(main, ["settings"]).output
    assert "HOLD_SECONDS" in listed
    example = CliRunner().invoke(main, ["settings", "--example"]).output
    assert example == (Path(__file__).parents[2] / ".env.example").read_text()


def test_help_describes_each_command() -> None:
    text = CliRunner().invoke(main, ["--help"]).output
    for command in (
        "up",
        "serve",
        "restart",
        "bank",
        "migrate",
        "seed",
        "import",
        "audit",
        "queues",
        "verify",
    ):
        assert command in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["up", "--port", "none"],
        ["nonsense"],
        ["serve", "booking"],
        ["up", "--split"],
        ["up", "--split", "--replicas=booking=many"],
        ["up", "--split", "--replicas=popcorn=2"],
        ["up", "--split", "--replicas=booking=0"],
        ["up", "--split", "--replicas=booking=40"],
        ["up", "--replicas=booking=2"],
        ["up", "--plain"],
        ["restart", "booking", "--data", "/nonexistent"],
        ["audit", "--data", "/nonexistent"],
        ["validator", "--home", "/nonexistent"],
        ["ledger", "audit", "--data", "/nonexistent"],
        ["ledger", "watch", "--data", "/nonexistent"],
        ["verify", "/nonexistent"],
        ["bank", "--port=1", "--data=/nonexistent/x", "--webhook-url=x"],
    ],
)
def test_a_usage_error_is_one_line_and_exit_code_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["cinesync", *arguments])
    for secret in ("BANK_SECRET", "RABBITMQ_URL"):
        monkeypatch.delenv(secret, raising=False)
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://cinema:hidden@127.0.0.1:1/shop", "127.0.0.1:1"),
        ("postgresql://cinema:hidden@127.0.0.1:1,127.0.0.1:2/shop", "127.0.0.1:1, 127.0.0.1:2"),
        ("postgresql://cinema:hidden@127.0.0.1:1/shop?sslmode=verifyfull", "verifyfull"),
        ("postgresql://cinema:hidden@127.0.0.1:1/shop?sslmode=prefer", "verify-full"),
    ],
    ids=["away", "all away", "misspelt", "prefer"],
)
@pytest.mark.parametrize("command", [["audit"], ["queues", "dead"], ["seed"], ["staff", "list"]])
def test_an_unreachable_database_is_reported_in_one_line(
    url: str,
    said: str,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("SECRET_KEY", "a secret of tests that is long enough for all")
    monkeypatch.setattr("sys.argv", ["cinesync", *command])
    with pytest.raises(SystemExit) as ended:
        run()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in told
    assert "hidden" not in told
    assert len(told.strip().splitlines()) == 1


def test_staff_is_added_listed_and_disabled_and_no_password_is_an_argument(
    shop: RunningShop, cinesync: Cinesync
) -> None:
    made = cinesync("staff", "add", "grace@kino.example", "--role=auditor", "--generate")
    assert made.exit_code == 0, made.output
    password = made.output.rsplit("password: ", 1)[1].strip()
    shop.client().sign_in("grace@kino.example", password)
    assert "grace@kino.example" in cinesync("staff", "list").output
    again = cinesync("staff", "add", "grace@kino.example", "--role=auditor", "--generate")
    assert (again.exit_code, "role auditor already" in again.output) == (1, True)
    piped = CliRunner().invoke(
        main,
        ["staff", "reset", "grace@kino.example", f"--data={shop.data_folder.path}"],
        input="a passphrase of her own\n",
    )
    assert piped.exit_code == 0, piped.output
    assert "password:" not in piped.output
    shop.client().sign_in("grace@kino.example", "a passphrase of her own")
    assert cinesync("staff", "disable", "grace@kino.example").exit_code == 0
    body = {"email": "grace@kino.example", "password": "a passphrase of her own"}
    assert shop.client().call("POST", "/api/auth/login", json=body).status_code == 401


def test_a_weak_piped_password_is_refused(shop: RunningShop) -> None:
    arguments = [
        "staff",
        "add",
        "hedy@kino.example",
        "--role=staff",
        f"--data={shop.data_folder.path}",
    ]
    weak = CliRunner().invoke(main, arguments, input="Summer2024!\n")
    assert weak.exit_code == 1
    unwrapped = " ".join(weak.output.replace("│", " ").split())
    assert "lists of leaked passwords" in unwrapped
    nothing = CliRunner().invoke(main, arguments, input="")
    assert "--generate" in nothing.output
