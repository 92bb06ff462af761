"""One simulator for each test, with certificates that are made once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from local.paypal import certificates
from local.paypal.app import delivering
from local.paypal.certificates import Signing
from tests.contract.paypal.world import World


@pytest.fixture(scope="session")
def signing() -> Signing:
    return certificates.make(datetime.now(UTC))


@pytest.fixture
async def world(signing: Signing) -> AsyncIterator[World]:
    world = World.make(signing)
    async with world.http, delivering(world.desk):
        yield world
