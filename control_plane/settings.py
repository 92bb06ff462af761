"""Settings of the control plane, read from the environment once, at start."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, FilePath, HttpUrl, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from control_plane.fees import FeePolicy
from control_plane.receipt_key import ReceiptKey
from gateway.money import NANO_PER_USD, NOTHING, MoneyError, NanoUsd, parse_usd

DATABASE_FILE = "control-plane.sqlite3"
SECRET_MIN_CHARS = 16


def _usd(value: object) -> NanoUsd:
    if isinstance(value, int):
        return NanoUsd(value)  # a default below, which is an amount already
    try:
        amount = parse_usd(str(value))
    except MoneyError as error:
        raise ValueError('must be an amount in USD, such as "1.00"') from error
    if amount < 0:
        raise ValueError("must not be negative")
    return amount


def _receipt_key(secret: SecretStr) -> SecretStr:
    ReceiptKey(secret.get_secret_value())
    return secret


Usd = Annotated[NanoUsd, BeforeValidator(_usd)]
ReceiptKeyText = Annotated[SecretStr, AfterValidator(_receipt_key)]


class Settings(BaseSettings):
    """Every field is the environment variable of the same name in upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    haotokai_data: Path = Path(".local")
    haotokai_catalogue: Path = Path("catalogue.toml")
    database_url: SecretStr | None = None
    control_plane_port: int = Field(default=8788, ge=0, le=65535)
    control_plane_host: str = "127.0.0.1"

    edge_url: HttpUrl = HttpUrl("http://127.0.0.1:8787")
    internal_secret: SecretStr = Field(min_length=SECRET_MIN_CHARS)
    admin_token: SecretStr | None = Field(default=None, min_length=SECRET_MIN_CHARS)

    cloudflare_base_url: HttpUrl = HttpUrl("https://api.cloudflare.com/client/v4")
    cloudflare_api_token: SecretStr
    cloudflare_account_id: str = Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")
    cloudflare_kv_namespace_id: str = Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")

    # Cloudflare allows 1200 REST calls in five minutes and one write a second to the same KV key.
    kv_interval_ms: int = Field(default=1_000, ge=0)
    # How long an answer waits for the edge to have what it changed.
    delivery_wait_ms: int = Field(default=2_000, ge=0)

    # Where a browser reaches the control plane; its own address, when it is not said.
    control_plane_url: HttpUrl | None = None
    # Where a payer goes on to after paying; a plain page, when it is not said.
    portal_url: HttpUrl | None = None

    # Ed25519, 32 bytes in base64; without it a key is made once and kept in HAOTOKAI_DATA.
    receipt_signing_key: ReceiptKeyText | None = None
    # Who issues statements and invoices; the address may have several lines.
    operator_name: str = Field(default="haotokai", min_length=1, max_length=200)
    operator_address: str | None = Field(default=None, max_length=1_000)
    operator_tax_id: str | None = Field(default=None, max_length=100)
    operator_email: str | None = Field(default=None, max_length=254)
    # A TrueType font for PDF documents. Without it they are limited to the letters of Western Europe.
    document_font_file: FilePath | None = None

    # Given once to every new account, spent first and never paid out. "0" gives none.
    trial_credit_usd: Usd = NanoUsd(NANO_PER_USD)
    top_up_minimum_usd: Usd = NanoUsd(NANO_PER_USD)
    top_up_maximum_usd: Usd = NanoUsd(1_000 * NANO_PER_USD)
    top_up_fee_policy: FeePolicy = "absorb"
    top_up_uniform_fee_usd: Usd = NOTHING
    # PayPal's checkout rate in the United States, 3.49 % + $0.49, is what a deducted fee is estimated by.
    top_up_estimated_fee_basis_points: int = Field(default=349, ge=0, le=10_000)
    top_up_estimated_fee_fixed_usd: Usd = NanoUsd(490_000_000)
    # How often top-ups that are due are looked at, and how soon at the earliest the same one is due again.
    top_up_sweep_interval_ms: int = Field(default=10_000, ge=100)
    top_up_look_again_ms: int = Field(default=30_000, ge=100)
    top_up_lapse_ms: int = Field(default=3 * 24 * 60 * 60 * 1000, ge=0)
    top_up_watch_ms: int = Field(default=180 * 24 * 60 * 60 * 1000, ge=0)

    # Without a client id there are no payments.
    paypal_client_id: str | None = None
    paypal_client_secret: SecretStr | None = None
    paypal_webhook_id: str | None = None
    paypal_base_url: HttpUrl = HttpUrl("https://api-m.paypal.com")
    paypal_merchant_id: str | None = None
    paypal_brand_name: str = Field(default="haotokai", min_length=1, max_length=127)
    # Where signing certificates may come from: hosts, or origins, separated by commas.
    paypal_cert_hosts: str | None = None
    # What they must chain up to, as PEM; this machine's roots, when it is not said.
    paypal_trust_roots_file: Path | None = None

    @model_validator(mode="after")
    def _payments_fit(self) -> "Settings":
        if self.paypal_client_id is not None and None in (self.paypal_client_secret, self.paypal_webhook_id):
            raise ValueError("PAYPAL_CLIENT_ID needs PAYPAL_CLIENT_SECRET and PAYPAL_WEBHOOK_ID beside it")
        if self.top_up_fee_policy == "uniform_fee" and self.top_up_uniform_fee_usd >= self.top_up_minimum_usd:
            raise ValueError("TOP_UP_UNIFORM_FEE_USD must be below TOP_UP_MINIMUM_USD")
        return self

    @classmethod
    def from_environment(cls) -> "Settings":
        """Raises pydantic.ValidationError, which names what is missing or wrong."""
        return cls.model_validate({})

    def return_base_url(self) -> str:
        """CONTROL_PLANE_URL, or the address that the control plane listens on."""
        if self.control_plane_url is not None:
            return str(self.control_plane_url)
        return f"http://{self.control_plane_host}:{self.control_plane_port}"

    def database(self) -> str:
        """DATABASE_URL, or a SQLite file in the data folder."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{(self.haotokai_data / DATABASE_FILE).absolute()}"
