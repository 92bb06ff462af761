"""Settings of the control plane, read from the environment once, at start."""

from pathlib import Path

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

DATABASE_FILE = "control-plane.sqlite3"
SECRET_MIN_CHARS = 16


class Settings(BaseSettings):
    """Every field is the environment variable of the same name in upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

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

    @classmethod
    def from_environment(cls) -> "Settings":
        """Raises pydantic.ValidationError, which names what is missing or wrong."""
        return cls.model_validate({})

    def database(self) -> str:
        """DATABASE_URL, or a SQLite file in the data folder."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{(self.haotokai_data / DATABASE_FILE).absolute()}"
