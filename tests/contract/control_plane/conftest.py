"""Fixtures of the control plane's API tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local.paypal.books import Event
from tests.contract.control_plane.paypal_world import PayPalWorld, paypal_running
from tests.contract.control_plane.world import World, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A running control plane with nothing in it."""
    async with running(tmp_path) as world:
        yield world


@pytest.fixture
async def paypal(tmp_path: Path) -> AsyncIterator[PayPalWorld]:
    """A running control plane with a customer, and PayPal behind it."""
    async with paypal_running(tmp_path) as paypal:
        yield paypal


@pytest.fixture
async def event(paypal: PayPalWorld) -> Event:
    """One that has not been delivered yet: a payment that was approved."""
    paypal.approve(await paypal.start())
    return paypal.event("CHECKOUT.ORDER.APPROVED")
