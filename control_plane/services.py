"""What the routes work with: built once by ``main``, reached through ``api.dependencies``."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from control_plane.cashier import Cashier
from control_plane.catalogue import LoadedCatalogue
from control_plane.clock import NowMs, wall_clock_ms
from control_plane.cloudflare import CloudflareKV
from control_plane.edge import EdgeClient
from control_plane.health_watch import HealthWatch
from control_plane.intake import Intake
from control_plane.metrics import Metrics
from control_plane.payment_provider import PaymentProvider
from control_plane.projector import Projector
from control_plane.randomness import RandomBytes, random_bytes
from control_plane.receipt_key import ReceiptKey
from control_plane.settings import Settings
from control_plane.store import Store
from control_plane.sweep import Sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the process takes from outside, so that tests can put something else in its place.

    ``payment_providers`` are offered after those that the settings name.
    """

    environment: Mapping[str, str]
    now_ms: NowMs = wall_clock_ms
    randomness: RandomBytes = random_bytes
    cloudflare_transport: httpx2.AsyncBaseTransport | None = None
    edge_transport: httpx2.AsyncBaseTransport | None = None
    paypal_transport: httpx2.AsyncBaseTransport | None = None
    payment_providers: tuple[PaymentProvider, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The running control plane; ``loaded`` is the catalogue as its file said at start."""

    settings: Settings
    store: Store
    loaded: LoadedCatalogue
    kv: CloudflareKV
    edge: EdgeClient
    projector: Projector
    intake: Intake
    health: HealthWatch
    cashier: Cashier
    sweep: Sweep
    receipt_key: ReceiptKey
    metrics: Metrics
    now_ms: NowMs
    randomness: RandomBytes
