"""What the tests of every room share."""

import pytest


@pytest.fixture(scope="module")
def synthetic(request, synthetic_of):
    """The synthetic results of the room that the test stands in."""
    return synthetic_of(request.path.parent.name)
