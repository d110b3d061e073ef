"""The pure rules: waits, sessions and key windows."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cinesync.auth.model import (
    CLOCK_SKEW,
    AuthSession,
    KeyRules,
    KeyWindow,
    RefreshDecision,
    decide_refresh,
    plan_key,
    refuse_if_throttled,
    signing_key,
)
from cinesync.chassis.problems import TooMany

# A busy machine must not fail a test.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = KeyRules(lifetime=30 * DAY, ahead=3 * DAY, token_lifetime_max=timedelta(hours=2))


# --- Waits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("wait_seconds", "seconds"), [(8.2, 9), (3, 3), (0, 1)])
def test_a_wait_is_rounded_up_to_whole_seconds(wait_seconds: float, seconds: int) -> None:
    refuse_if_throttled(None)
    with pytest.raises(TooMany) as caught:
        refuse_if_throttled(timedelta(seconds=wait_seconds))
    assert caught.value.members == {"retry_after_seconds": seconds}


# --- Sessions ---------------------------------------------------------------------------------


def _session(generation: int, *, is_alive: bool = True, just_rotated: bool = False) -> AuthSession:
    return AuthSession(
        session_id=UUID(int=1),
        customer_id=UUID(int=2),
        generation=generation,
        is_alive=is_alive,
        just_rotated=just_rotated,
    )


@pytest.mark.parametrize(
    ("session", "generation", "answer"),
    [
        (_session(5), 5, RefreshDecision.ROTATE),
        (_session(5, just_rotated=True), 5, RefreshDecision.ROTATE),
        (_session(5, just_rotated=True), 4, RefreshDecision.REPEAT),
        (_session(5), 4, RefreshDecision.REVOKE),
        (_session(5, just_rotated=True), 3, RefreshDecision.REVOKE),
        (_session(5), 6, RefreshDecision.REVOKE),
        (_session(5, is_alive=False), 5, RefreshDecision.REFUSE),
        (_session(5, is_alive=False, just_rotated=True), 4, RefreshDecision.REFUSE),
    ],
)
def test_a_refresh_token_is_valid_once(
    session: AuthSession, generation: int, answer: RefreshDecision
) -> None:
    assert decide_refresh(session, generation) is answer


TURNS = st.lists(st.tuples(st.sampled_from(["owner", "thief"]), st.booleans()), max_size=30)


@relaxed
@given(TURNS)
def test_a_thief_and_an_owner_never_have_two_valid_tokens(turns: list[tuple[str, bool]]) -> None:
    """Both have generation 1. Only the latest token is rotated; an older one ends the session."""
    generation, is_alive = 1, True
    held = {"owner": 1, "thief": 1}
    for who, just_rotated in turns:
        session = _session(generation, is_alive=is_alive, just_rotated=just_rotated)
        answer = decide_refresh(session, held[who])
        behind = generation - held[who]
        if not is_alive:
            assert answer is RefreshDecision.REFUSE
        elif behind > 1 or (behind == 1 and not just_rotated):
            assert answer is RefreshDecision.REVOKE
        is_alive = is_alive and answer is not RefreshDecision.REVOKE
        generation += answer is RefreshDecision.ROTATE
        if answer in {RefreshDecision.ROTATE, RefreshDecision.REPEAT}:
            held[who] = generation


# --- Signing keys -----------------------------------------------------------------------------


def _window(number: int, signs_from: datetime) -> KeyWindow:
    signs_until = signs_from + RULES.lifetime
    return KeyWindow(
        number=number,
        signs_from=signs_from,
        signs_until=signs_until,
        verifies_until=signs_until + RULES.token_lifetime_max + CLOCK_SKEW,
    )


def test_the_first_key_signs_at_once() -> None:
    assert plan_key([], [], NOON, RULES) == _window(1, NOON)


def test_the_next_key_is_made_ahead_and_takes_over_where_the_last_one_ends() -> None:
    first = _window(1, NOON)
    assert plan_key([first], [first], NOON + 26 * DAY, RULES) is None
    second = plan_key([first], [first], NOON + 27 * DAY, RULES)
    assert second == _window(2, NOON + 30 * DAY)
    assert plan_key([first, second], [first, second], NOON + 28 * DAY, RULES) is None


def test_after_a_long_pause_a_new_key_signs_at_once() -> None:
    first = _window(1, NOON)
    assert plan_key([first], [first], NOON + 90 * DAY, RULES) == _window(2, NOON + 90 * DAY)


def test_a_key_of_another_secret_is_replaced_by_a_new_one() -> None:
    foreign = _window(7, NOON)
    assert plan_key([foreign], [], NOON + DAY, RULES) == _window(8, NOON + DAY)


def test_the_newest_key_that_may_sign_signs() -> None:
    first, second = _window(1, NOON), _window(2, NOON + 30 * DAY)
    both = [first, second]
    assert signing_key(both, NOON + DAY) is first
    assert signing_key(both, NOON - timedelta(seconds=30)) is first  # our clock may be slow
    assert signing_key(both, NOON + 31 * DAY) is second
    assert signing_key(both, NOON + 61 * DAY) is None
    assert signing_key([], NOON) is None


@relaxed
@given(st.lists(st.integers(min_value=1, max_value=100 * 24), max_size=20))
def test_there_is_always_a_key_and_no_token_outlives_its_key(hours: list[int]) -> None:
    now, keys = NOON, list[KeyWindow]()
    for pause in hours:
        now += timedelta(hours=pause)
        keys = [key for key in keys if key.verifies_until > now]
        planned = plan_key(keys, keys, now, RULES)
        keys += [planned] if planned else []
        signer = signing_key(keys, now)
        assert signer is not None
        assert signer.verifies_until > now + RULES.token_lifetime_max
        assert len({key.number for key in keys}) == len(keys) <= 3
