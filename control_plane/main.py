"""The composition root: ``create_app`` puts the parts together, and its lifespan starts and stops them."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import structlog
from fastapi import FastAPI
from pydantic import SecretStr

from control_plane import projection, tokens
from control_plane.api import (
    account,
    admin,
    dead_letters,
    health,
    internal,
    problems,
    providers,
    quarantine,
    receipts,
    refusals,
    statements,
    topups,
    webhooks,
)
from control_plane.api import projection as projection_api
from control_plane.api.observation import Observation
from control_plane.cashier import Cashier, Offer, Watch
from control_plane.catalogue import LoadedCatalogue, load_catalogue, publish
from control_plane.cloudflare import CloudflareKV
from control_plane.edge import EdgeClient
from control_plane.fees import Fees
from control_plane.health_watch import HealthWatch
from control_plane.intake import Intake
from control_plane.metrics import Metrics
from control_plane.payment_provider import PaymentProvider
from control_plane.paypal import PayPal
from control_plane.paypal_api import PayPalApi
from control_plane.paypal_certificates import PayPalCertificates, Trust
from control_plane.paypal_webhooks import PayPalWebhooks
from control_plane.projector import Projector
from control_plane.receipt_key import ReceiptKey
from control_plane.services import Ports, Services
from control_plane.settings import Settings
from control_plane.store import Store
from control_plane.sweep import Sweep

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
    for part in (admin, projection_api, dead_letters, quarantine, providers, account, internal, webhooks, health):
        app.include_router(part.router)
    for router in (receipts.public_router, receipts.account_router, receipts.admin_router, statements.router):
        app.include_router(router)
    for router in (topups.admin_router, topups.account_router, topups.payer_router):
        app.include_router(router)
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
        loaded = await _prepare(store, settings, ports)
        projector = Projector(
            store=store,
            kv=kv,
            wallets=edge,
            metrics=metrics,
            now_ms=ports.now_ms,
            kv_interval_ms=settings.kv_interval_ms,
        )
        await stack.enter_async_context(_projecting(projector))
        payment_providers = _payment_providers(settings, ports, stack)
        cashier = Cashier(
            store=store,
            providers=payment_providers,
            edge=edge,
            offer=_offer(settings),
            watch=_watch(settings),
            now_ms=ports.now_ms,
            booked=projector.wake,
        )
        interval_s = settings.top_up_sweep_interval_ms / 1000
        sweep = Sweep(store=store, cashier=cashier, interval_s=interval_s, now_ms=ports.now_ms)
        if payment_providers:
            await stack.enter_async_context(_beside(sweep.run()))
        watch = HealthWatch(store=store, loaded=loaded, now_ms=ports.now_ms, published=projector.wake)
        await stack.enter_async_context(_beside(watch.run()))
        yield Services(
            settings=settings,
            store=store,
            loaded=loaded,
            kv=kv,
            edge=edge,
            projector=projector,
            intake=Intake(store=store, now_ms=ports.now_ms),
            health=watch,
            cashier=cashier,
            sweep=sweep,
            receipt_key=_receipt_key(settings, ports),
            metrics=metrics,
            now_ms=ports.now_ms,
            randomness=ports.randomness,
        )


async def _prepare(store: Store, settings: Settings, ports: Ports) -> LoadedCatalogue:
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
    return loaded


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


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that goes on beside the API until the end. Whatever is cut off then is done as a whole or not at all."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _receipt_key(settings: Settings, ports: Ports) -> ReceiptKey:
    if settings.receipt_signing_key is not None:
        return ReceiptKey(settings.receipt_signing_key.get_secret_value())
    return ReceiptKey.kept_in(settings.haotokai_data, ports.randomness)


def _payment_providers(
    settings: Settings, ports: Ports, stack: contextlib.AsyncExitStack
) -> tuple[PaymentProvider, ...]:
    if settings.paypal_client_id is None:
        return ports.payment_providers
    paypal = _paypal(settings, ports)
    stack.push_async_callback(paypal.close)
    return (paypal, *ports.payment_providers)


def _paypal(settings: Settings, ports: Ports) -> PayPal:
    """The settings have seen to it that what it needs is there."""
    base_url = str(settings.paypal_base_url).rstrip("/")
    trust = Trust.of(base_url, hosts=settings.paypal_cert_hosts, roots_file=settings.paypal_trust_roots_file)
    api = PayPalApi(
        base_url=base_url,
        client_id=settings.paypal_client_id or "",
        client_secret=settings.paypal_client_secret or SecretStr(""),
        now_ms=ports.now_ms,
        transport=ports.paypal_transport,
    )
    webhooks = PayPalWebhooks(
        certificates=PayPalCertificates(trust, now_ms=ports.now_ms, transport=ports.paypal_transport),
        api=api,
        webhook_id=settings.paypal_webhook_id or "",
        now_ms=ports.now_ms,
    )
    return PayPal(api, webhooks, brand_name=settings.paypal_brand_name, merchant_id=settings.paypal_merchant_id)


def _offer(settings: Settings) -> Offer:
    return Offer(
        least=settings.top_up_minimum_usd,
        most=settings.top_up_maximum_usd,
        fees=Fees(
            policy=settings.top_up_fee_policy,
            uniform_fee=settings.top_up_uniform_fee_usd,
            estimate_basis_points=settings.top_up_estimated_fee_basis_points,
            estimate_fixed=settings.top_up_estimated_fee_fixed_usd,
        ),
        return_base_url=settings.return_base_url(),
    )


def _watch(settings: Settings) -> Watch:
    return Watch(
        least_ms=settings.top_up_look_again_ms,
        lapse_ms=settings.top_up_lapse_ms,
        watch_ms=settings.top_up_watch_ms,
    )


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
