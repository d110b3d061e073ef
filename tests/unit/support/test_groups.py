"""The runner keeps its word, without which every worker would start every shop for itself."""

import pytest


@pytest.mark.xdist_group("alone")
def test_a_group_of_tests_reaches_the_scheduler(request: pytest.FixtureRequest) -> None:
    """It finds the group at the end of the name; a runner that lost it would say nothing."""
    is_grouping = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@alone") is is_grouping
