"""The composition root: ``create_app`` puts the parts together, and its lifespan starts and stops them."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import structlog
from fastapi import FastAPI

from control_plane import projection, tokens
from control_plane.api import account, admin, health, internal, problems, refusals
from control_plane.api import projection as projection_api
from control_plane.api.observation import Observation
from control_plane.catalogue import load_catalogue, publish
from control_plane.cloudflare import CloudflareKV
from control_plane.edge import EdgeClient
from control_plane.metrics import Metrics
from control_plane.projector import Projector
from control_plane.services import Ports, Services
from control_plane.settings import Settings
from control_plane.store import Store
from gateway.records import Catalogue

STOP_WAIT_S = 2.0

log = structlog.get_logger()


def create_app(settings: Settings, ports: Ports | None = None) -> FastAPI:
    """The control plane, which opens nothing before its lifespan begins."""
    ports = ports or Ports(environment=os.environ)
    metrics = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _running(settings, ports, metrics) as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="haotokai control plane",
        description="Accounts, keys, balances, usage and prices, and their projection to the edge.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Observation, metrics=metrics, randomness=ports.randomness)
    problems.install(app)
    refusals.install(app)
    for part in (admin, projection_api, account, internal, health):
        app.include_router(part.router)
    return app


@contextlib.asynccontextmanager
async def _running(settings: Settings, ports: Ports, metrics: Metrics) -> AsyncIterator[Services]:
    """The services, with the projector at work; everything is closed at the end."""
    async with contextlib.AsyncExitStack() as stack:
        store = Store.open(settings.database())
        stack.push_async_callback(store.close)
        kv, edge = _cloudflare(settings, ports), _edge(settings, ports)
        stack.push_async_callback(kv.close)
        stack.push_async_callback(edge.close)
        catalogue = await _prepare(store, settings, ports)
        projector = Projector(
            store=store,
            kv=kv,
            wallets=edge,
            metrics=metrics,
            now_ms=ports.now_ms,
            kv_interval_ms=settings.kv_interval_ms,
        )
        await stack.enter_async_context(_projecting(projector))
        yield Services(
            settings=settings,
            store=store,
            catalogue=catalogue,
            kv=kv,
            edge=edge,
            projector=projector,
            metrics=metrics,
            now_ms=ports.now_ms,
            randomness=ports.randomness,
        )


async def _prepare(store: Store, settings: Settings, ports: Ports) -> Catalogue:
    """Schema, operator's token and catalogue, as this start finds them. Raises CatalogueError."""
    loaded = load_catalogue(settings.haotokai_catalogue, ports.environment)
    await store.migrate()
    async with store.begin() as connection:
        if settings.admin_token is not None:
            token = settings.admin_token.get_secret_value()
            await tokens.bootstrap_admin(connection, token, now_ms=ports.now_ms())
        catalogue = await publish(connection, loaded, ports.now_ms())
        # Said at every start, changed or not, so that a namespace that was lost or replaced is served again.
        await projection.enqueue_catalogue(connection, catalogue)
    log.info("catalogue_published", version=catalogue.version, models=len(catalogue.models))
    return catalogue


@contextlib.asynccontextmanager
async def _projecting(projector: Projector) -> AsyncIterator[None]:
    task = asyncio.create_task(projector.run())
    try:
        yield
    finally:
        projector.stop()
        # What is cut off here stays in the outbox.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(task, STOP_WAIT_S)


def _cloudflare(settings: Settings, ports: Ports) -> CloudflareKV:
    return CloudflareKV(
        base_url=str(settings.cloudflare_base_url),
        account_id=settings.cloudflare_account_id,
        namespace_id=settings.cloudflare_kv_namespace_id,
        api_token=settings.cloudflare_api_token,
        transport=ports.cloudflare_transport,
    )


def _edge(settings: Settings, ports: Ports) -> EdgeClient:
    return EdgeClient(
        edge_url=str(settings.edge_url),
        internal_secret=settings.internal_secret,
        now_ms=ports.now_ms,
        randomness=ports.randomness,
        transport=ports.edge_transport,
    )
