"""The unit tests of the pages' scripts, run by node; vectors from the Python code."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from babel import Locale
from iso4217 import Currency

from cinesync.chassis.money import decimals
from cinesync.web.formats import LOCALES, _money, usual_decimals
from tests.support.needs import need
from tests.unit.web.explorer.proof_vectors import vectors

FOLDER = Path(__file__).parent
SCRIPTS = sorted(FOLDER.rglob("*.test.js"))
AMOUNTS = (0, 5, 1_505, 250_000, 5_000_000)
PROOFS, MONEY = "PROOF_VECTORS", "MONEY_VECTORS"


def write_proofs(path: Path) -> None:
    path.write_text(json.dumps(vectors()))


def write_money(path: Path) -> None:
    """Every currency with a price, in every locale of the pages."""
    cases = [
        {
            "locale": locale,
            "currency": code,
            "decimals": str(decimals(code)),
            "usualDecimals": str(usual_decimals(code)),
            "amount": amount,
            "text": _money(amount, code, Locale.parse(locale, sep="-")),
        }
        for locale in LOCALES
        for code in sorted(one.code for one in Currency if one.exponent is not None)
        for amount in AMOUNTS
    ]
    path.write_text(json.dumps(cases))


VECTORS = {"verify.test.js": (PROOFS, write_proofs), "money.test.js": (MONEY, write_money)}


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_a_script_passes_its_unit_tests(script: Path, tmp_path: Path) -> None:
    need("node (Debian package nodejs)", present=shutil.which("node") is not None)
    environ = dict(os.environ)  # noqa: TID251 node needs its own
    if script.name in VECTORS:
        name, write = VECTORS[script.name]
        path = tmp_path / "vectors.json"
        write(path)
        environ[name] = str(path)
    done = subprocess.run(
        ["node", "--test", str(script)], capture_output=True, text=True, check=False, env=environ
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_with_rules_has_unit_tests() -> None:
    tested = {path.name.removesuffix(".test.js") for path in SCRIPTS}
    assert tested >= {"bytes", "verify", "money", "live", "seat_grid", "clock"}
