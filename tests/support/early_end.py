"""What costs time while it idles ends with the last test that uses it, not with the session."""

import pytest

# Fixtures of processes that look around all the time: an idle shop takes a fifteenth of a core.
RESTLESS = ("shop", "killable_shop", "calm")
ENDS = pytest.StashKey[list[pytest.FixtureDef[object]]]()


def _used_by(item: pytest.Item) -> list[pytest.FixtureDef[object]]:
    assert isinstance(item, pytest.Function)
    known = item._fixtureinfo.name2fixturedefs
    return [known[name][-1] for name in RESTLESS if name in known]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tests of one fixture share an xdist group, so that the last here is the last that runs."""
    last = {fixture: item for item in session.items for fixture in _used_by(item)}
    for fixture, item in last.items():
        item.stash.setdefault(ENDS, []).append(fixture)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """After the item's own teardown, end what nobody needs any more."""
    assert isinstance(item, pytest.Function)
    for fixture in item.stash.get(ENDS, []):
        fixture.finish(item._request)  # type: ignore[arg-type]
