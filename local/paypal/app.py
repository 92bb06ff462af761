"""The application: PayPal's API, the buyer's page and the control, with deliveries at work beside them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette

from local.paypal import api, control, pages
from local.paypal.desk import Desk


def create_app(desk: Desk) -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with delivering(desk):
            yield

    return Starlette(routes=[*api.routes(desk), *pages.routes(desk), *control.routes(desk)], lifespan=lifespan)


@contextlib.asynccontextmanager
async def delivering(desk: Desk) -> AsyncIterator[None]:
    """Webhooks are delivered and the books are kept within it. What is not delivered by its end stays in the books."""
    tasks = [asyncio.create_task(part.run()) for part in (desk.deliveries, desk.keeper)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        desk.keeper.write()
