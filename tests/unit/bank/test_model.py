"""The bank's pure rules."""

import pytest

from cinesync.bank import model
from cinesync.bank.model import BankCharge, BankChargeState


def charge(state: BankChargeState) -> BankCharge:
    return BankCharge("ch_1", "ref", 100, "EUR", state)


@pytest.mark.parametrize(
    "state", [BankChargeState.CAPTURED, BankChargeState.DECLINED, BankChargeState.CANCELLED]
)
@pytest.mark.parametrize("step", ["capture", "decline", "cancel"])
def test_a_decided_charge_stays_as_it_is(state: BankChargeState, step: str) -> None:
    assert charge(state).after(step) == charge(state)


def test_a_charge_being_processed_cannot_be_cancelled() -> None:
    assert charge(BankChargeState.PENDING).after("cancel").state is BankChargeState.PENDING


def test_a_charge_that_waits_for_its_holder_can_go_each_way() -> None:
    ways = {
        charge(BankChargeState.ACTION).after(step).state
        for step in ("capture", "decline", "cancel")
    }
    assert ways == {BankChargeState.CAPTURED, BankChargeState.DECLINED, BankChargeState.CANCELLED}


def test_an_unknown_card_is_refused() -> None:
    with pytest.raises(model.UnknownToken):
        model.behaviour_of("tok_of_gold")
    with pytest.raises(model.OutOfOrder):
        model.behaviour_of("tok_down")


def test_the_signature_covers_time_and_body() -> None:
    signatures = {
        model.sign("s", 1, b"body"),
        model.sign("s", 2, b"body"),
        model.sign("s", 1, b"Body"),
        model.sign("S", 1, b"body"),
    }
    assert len(signatures) == 4
