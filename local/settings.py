"""What the launcher is told by the environment, and what it tells each child by its environment."""

import itertools
import json
import os
import secrets
import socket
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
# Below those that systems give to connections by themselves, which could take one before it is listened on.
PORTS = range(20_000, 32_768)
PORT_TRIES = 1_000
CLOUDFLARE_ACCOUNT_ID = "local"
SECRET_BYTES = 32
# The simulator tries a webhook again after a second, where PayPal waits for a minute.
WEBHOOK_RETRY_SCALE = "0.0167"
KV_INTERVAL_MS = 300  # below Cloudflare's 1200 calls in five minutes, and soon enough for one who waits for a key


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Made once for a data folder and kept there."""

    internal_secret: str = field(repr=False)
    admin_token: str = field(repr=False)
    cloudflare_api_token: str = field(repr=False)

    @classmethod
    def load_or_make(cls, file: Path) -> "Secrets":
        if file.exists():
            return cls(**json.loads(file.read_text()))
        made = cls(
            internal_secret=secrets.token_urlsafe(SECRET_BYTES),
            admin_token=secrets.token_urlsafe(SECRET_BYTES),
            cloudflare_api_token=secrets.token_urlsafe(SECRET_BYTES),
        )
        write_private(file, asdict(made))
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider of the catalogue, and the environment variables that it goes by (no key: it needs none)."""

    name: str
    key_variable: str

    @property
    def base_url_variable(self) -> str:
        return f"{self.name.upper()}_BASE_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Ports are settled here, so that every child can be told of every other before any of them runs."""

    environment: Mapping[str, str] = field(repr=False)
    data: Path
    catalogue: Path
    edge_port: int
    control_plane_port: int
    kv_rest_port: int
    kv_namespace_id: str
    providers: tuple[Provider, ...]
    first_model: str
    secrets: Secrets

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        data = Path(environment.get("HAOTOKAI_DATA", ".local")).absolute()
        data.mkdir(parents=True, exist_ok=True)
        catalogue = Path(environment.get("HAOTOKAI_CATALOGUE", ROOT / "catalogue.toml")).absolute()
        document = tomllib.loads(catalogue.read_text())
        [namespace] = tomllib.loads((ROOT / "wrangler.toml").read_text())["kv_namespaces"]
        return cls(
            environment=environment,
            data=data,
            catalogue=catalogue,
            edge_port=int(environment.get("EDGE_PORT", "8787")) or free_port(),
            control_plane_port=int(environment.get("CONTROL_PLANE_PORT", "8788")) or free_port(),
            kv_rest_port=free_port(),
            kv_namespace_id=namespace["id"],
            providers=tuple(
                Provider(name=name, key_variable=provider["api_key_env"])
                for name, provider in document["providers"].items()
            ),
            first_model=next(iter(document["models"])),
            secrets=Secrets.load_or_make(data / "secrets.json"),
        )

    @property
    def edge_url(self) -> str:
        return f"http://{HOST}:{self.edge_port}"

    @property
    def control_plane_url(self) -> str:
        return f"http://{HOST}:{self.control_plane_port}"

    def edge_environment(self) -> dict[str, str]:
        bindings = {
            "CONTROL_PLANE_URL": self.control_plane_url,
            "INTERNAL_SECRET": self.secrets.internal_secret,
            **{provider.key_variable: self._api_key(provider) for provider in self.providers if provider.key_variable},
        }
        return self._shared() | {
            "EDGE_PORT": str(self.edge_port),
            "KV_REST_PORT": str(self.kv_rest_port),
            "EDGE_BINDINGS": json.dumps(bindings),
            "WORKERS_SDK": _sdk_folder(),
        }

    @property
    def is_paypal_simulated(self) -> bool:
        return not self.environment.get("PAYPAL_CLIENT_ID")

    def paypal_options(self) -> list[str]:
        """The command line of the simulator, whose webhooks go to the control plane."""
        webhook_url = f"{self.control_plane_url}/webhooks/paypal"
        folder = str(self.data / "paypal")
        return ["--data", folder, "--webhook-url", webhook_url, "--retry-scale", WEBHOOK_RETRY_SCALE]

    def control_plane_environment(
        self, lab_urls: Mapping[str, str], paypal: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """``lab_urls`` are the simulators' base URLs under their variables; they serve providers without a key.

        ``paypal`` is the ready line of PayPal's simulator, or None where PayPal itself is called.
        """
        simulated = [provider.base_url_variable for provider in self.providers if self._is_simulated(provider)]
        return (
            self._shared()
            | {name: lab_urls[name] for name in simulated if name in lab_urls and not self.environment.get(name)}
            | (_paypal_environment(paypal) if paypal else {})
            | {
                "CONTROL_PLANE_PORT": str(self.control_plane_port),
                "CONTROL_PLANE_URL": self.environment.get("CONTROL_PLANE_URL") or self.control_plane_url,
                "HAOTOKAI_CATALOGUE": str(self.catalogue),
                "EDGE_URL": self.edge_url,
                "INTERNAL_SECRET": self.secrets.internal_secret,
                "ADMIN_TOKEN": self.secrets.admin_token,
                "CLOUDFLARE_BASE_URL": f"http://{HOST}:{self.kv_rest_port}/client/v4",
                "KV_INTERVAL_MS": str(KV_INTERVAL_MS),
            }
        )

    def _shared(self) -> dict[str, str]:
        return {
            "HAOTOKAI_DATA": str(self.data),
            "CLOUDFLARE_ACCOUNT_ID": CLOUDFLARE_ACCOUNT_ID,
            "CLOUDFLARE_API_TOKEN": self.secrets.cloudflare_api_token,
            "CLOUDFLARE_KV_NAMESPACE_ID": self.kv_namespace_id,
        }

    def _is_simulated(self, provider: Provider) -> bool:
        return not self.environment.get(provider.key_variable)

    def _api_key(self, provider: Provider) -> str:
        return self.environment.get(provider.key_variable) or f"simulated-{provider.name}"


def _paypal_environment(paypal: Mapping[str, str]) -> dict[str, str]:
    """The simulator as the control plane's PayPal: its certificates come from its own address, under its own root."""
    return {
        "PAYPAL_CLIENT_ID": paypal["client_id"],
        "PAYPAL_CLIENT_SECRET": paypal["client_secret"],
        "PAYPAL_WEBHOOK_ID": paypal["webhook_id"],
        "PAYPAL_MERCHANT_ID": paypal["merchant_id"],
        "PAYPAL_BASE_URL": paypal["base_url"],
        "PAYPAL_CERT_HOSTS": paypal["base_url"],
        "PAYPAL_TRUST_ROOTS_FILE": paypal["trust_roots_file"],
    }


def write_private(file: Path, document: Mapping[str, str]) -> None:
    """Writes JSON that only the owner may read, whole or not at all."""
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(document, stream, indent=2)
    unfinished.replace(file)


_FIRST = secrets.randbelow(len(PORTS))
_UNTRIED: Iterator[int] = itertools.cycle((*PORTS[_FIRST:], *PORTS[:_FIRST]))


def free_port() -> int:
    """One that nobody listens on, and another one each time; raises OSError."""
    for port in itertools.islice(_UNTRIED, PORT_TRIES):
        try:
            socket.create_server((HOST, port)).close()
        except OSError:
            continue
        return port
    raise OSError(f"none of {PORT_TRIES} ports is free")


def _sdk_folder() -> str:
    spec = find_spec("workers")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("workers-runtime-sdk is not installed")
    return next(iter(spec.submodule_search_locations))
