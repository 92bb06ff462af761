"""Each child is told of the others, and of a provider's real key or of its simulator."""

import contextlib
import json
import socket
import stat
from pathlib import Path

import pytest

from local.settings import HOST, PORT_TRIES, PORTS, Secrets, Settings, free_port

LAB_URLS = {"DEEPSEEK_BASE_URL": "http://labs/deepseek", "ZAI_BASE_URL": "http://labs/zai"}
PAYPAL = {
    "event": "ready",
    "base_url": "http://paypal",
    "client_id": "id",
    "client_secret": "secret",
    "webhook_id": "webhook",
    "merchant_id": "merchant",
    "trust_roots_file": "/roots.pem",
}
CATALOGUE = """
[providers.deepseek]
api_key_env = "DEEPSEEK_API_KEY"
[providers.zai]
api_key_env = "ZAI_API_KEY"
[providers.without_simulator]
api_key_env = "OTHER_API_KEY"
[models."deepseek-chat"]
[models."glm-4.6"]
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "catalogue.toml").write_text(CATALOGUE)
    return {"HAOTOKAI_CATALOGUE": str(tmp_path / "catalogue.toml"), "HAOTOKAI_DATA": str(tmp_path / "data")}


def edge_bindings(settings: Settings) -> dict[str, str]:
    bindings: dict[str, str] = json.loads(settings.edge_environment()["EDGE_BINDINGS"])
    return bindings


def test_a_provider_without_a_key_is_simulated(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment)

    assert edge_bindings(settings)["ZAI_API_KEY"] == "simulated-zai"
    assert settings.control_plane_environment(LAB_URLS)["ZAI_BASE_URL"] == "http://labs/zai"


def test_a_provider_with_a_key_is_reached_where_the_catalogue_says(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment | {"ZAI_API_KEY": "real"})

    assert edge_bindings(settings)["ZAI_API_KEY"] == "real"
    assert "ZAI_BASE_URL" not in settings.control_plane_environment(LAB_URLS)


def test_an_empty_key_is_no_key(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment | {"ZAI_API_KEY": ""})

    assert edge_bindings(settings)["ZAI_API_KEY"] == "simulated-zai"
    assert settings.control_plane_environment(LAB_URLS)["ZAI_BASE_URL"] == "http://labs/zai"


def test_a_base_url_that_is_set_stays(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment | {"ZAI_BASE_URL": "http://mine/zai"})

    assert "ZAI_BASE_URL" not in settings.control_plane_environment(LAB_URLS)


def test_a_provider_without_a_simulator_keeps_the_catalogue_s_base_url(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment)

    assert "WITHOUT_SIMULATOR_BASE_URL" not in settings.control_plane_environment(LAB_URLS)


def test_edge_and_control_plane_are_told_of_each_other(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment | {"EDGE_PORT": "1111", "CONTROL_PLANE_PORT": "2222"})
    control_plane, edge = settings.control_plane_environment(LAB_URLS), settings.edge_environment()

    assert control_plane["EDGE_URL"] == "http://127.0.0.1:1111"
    assert edge_bindings(settings)["CONTROL_PLANE_URL"] == "http://127.0.0.1:2222"
    assert control_plane["CLOUDFLARE_BASE_URL"] == f"http://127.0.0.1:{edge['KV_REST_PORT']}/client/v4"
    assert control_plane["INTERNAL_SECRET"] == edge_bindings(settings)["INTERNAL_SECRET"]
    for name in ("CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_KV_NAMESPACE_ID", "HAOTOKAI_DATA"):
        assert control_plane[name] == edge[name]


def test_port_0_becomes_a_port_that_all_know(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment | {"EDGE_PORT": "0", "CONTROL_PLANE_PORT": "0"})

    assert settings.edge_port > 0
    assert settings.control_plane_port > 0


def test_a_free_port_is_another_one_each_time_and_none_that_is_listened_on() -> None:
    first = free_port()
    following = PORTS[(PORTS.index(first) + 1) % len(PORTS)]
    with socket.socket() as listener:
        with contextlib.suppress(OSError):  # where it cannot be listened on, somebody does already
            listener.bind((HOST, following))
            listener.listen()
        others = [free_port() for _ in range(PORT_TRIES)]
    assert not {first, following} & set(others)
    assert len(set(others)) == PORT_TRIES


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    made = Secrets.load_or_make(file)

    assert Secrets.load_or_make(file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.admin_token not in repr(made)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "http://127.0.0.1:2222"), ({"CONTROL_PLANE_URL": "https://pay.example.com"}, "https://pay.example.com")],
)
def test_payers_come_back_to_where_browsers_reach_the_control_plane(
    environment: dict[str, str], given: dict[str, str], expected: str
) -> None:
    settings = Settings.from_environment(environment | {"CONTROL_PLANE_PORT": "2222"} | given)

    assert settings.control_plane_environment(LAB_URLS)["CONTROL_PLANE_URL"] == expected


@pytest.mark.parametrize("given", [{}, {"PAYPAL_CLIENT_ID": ""}])
def test_without_a_client_id_paypal_is_simulated(environment: dict[str, str], given: dict[str, str]) -> None:
    assert Settings.from_environment(environment | given).is_paypal_simulated


def test_with_a_client_id_paypal_itself_is_called(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment | {"PAYPAL_CLIENT_ID": "real"})

    assert not settings.is_paypal_simulated
    assert not [name for name in settings.control_plane_environment(LAB_URLS) if name.startswith("PAYPAL_")]


def test_the_control_plane_is_told_of_the_simulated_paypal(environment: dict[str, str]) -> None:
    told = Settings.from_environment(environment).control_plane_environment(LAB_URLS, PAYPAL)

    assert {name: value for name, value in told.items() if name.startswith("PAYPAL_")} == {
        "PAYPAL_CLIENT_ID": "id",
        "PAYPAL_CLIENT_SECRET": "secret",
        "PAYPAL_WEBHOOK_ID": "webhook",
        "PAYPAL_MERCHANT_ID": "merchant",
        "PAYPAL_BASE_URL": "http://paypal",
        "PAYPAL_CERT_HOSTS": "http://paypal",
        "PAYPAL_TRUST_ROOTS_FILE": "/roots.pem",
    }


def test_the_simulated_paypal_sends_webhooks_to_the_control_plane_and_keeps_its_books(
    environment: dict[str, str],
) -> None:
    options = Settings.from_environment(environment | {"CONTROL_PLANE_PORT": "2222"}).paypal_options()

    assert options[options.index("--webhook-url") + 1] == "http://127.0.0.1:2222/webhooks/paypal"
    assert options[options.index("--data") + 1] == str(Path(environment["HAOTOKAI_DATA"]) / "paypal")
