"""Settings: read from the environment, refused as a whole, and silent about secrets."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from control_plane.settings import Settings

ENVIRONMENT: dict[str, Any] = {
    "internal_secret": "internal-secret-of-tests",
    "admin_token": "admin-token-of-the-tests",
    "cloudflare_api_token": "cloudflare-token",
    "cloudflare_account_id": "account",
    "cloudflare_kv_namespace_id": "namespace",
}


def test_the_database_is_a_file_in_the_data_folder_unless_a_url_is_given(tmp_path: Path) -> None:
    default = Settings.model_validate({**ENVIRONMENT, "haotokai_data": tmp_path})
    given = Settings.model_validate({**ENVIRONMENT, "database_url": "postgresql://db/haotokai"})

    assert default.database() == f"sqlite:///{tmp_path}/control-plane.sqlite3"
    assert given.database() == "postgresql://db/haotokai"


def test_secrets_are_in_no_repr() -> None:
    settings = Settings.model_validate({**ENVIRONMENT, "database_url": "postgresql://user:pass@db/haotokai"})

    for secret in ("internal-secret", "admin-token", "cloudflare-token", "pass"):
        assert secret not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("internal_secret", "short"),
        ("admin_token", "fifteen-letters"),
        ("control_plane_port", "65536"),
        ("edge_url", "edge"),
        ("cloudflare_account_id", "a/b"),
    ],
)
def test_an_unfit_value_is_refused_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({**ENVIRONMENT, name: value})

    assert name in str(refused.value)
    assert f"'{value}'" not in str(refused.value)


def test_amounts_are_read_as_usd() -> None:
    settings = Settings.model_validate({**ENVIRONMENT, "trial_credit_usd": "0", "top_up_maximum_usd": "20.50"})

    assert (settings.trial_credit_usd, settings.top_up_minimum_usd) == (0, 1_000_000_000)
    assert settings.top_up_maximum_usd == 20_500_000_000


@pytest.mark.parametrize(
    "unfit",
    [
        {"trial_credit_usd": "-1.00"},
        {"trial_credit_usd": "a dollar"},
        {"top_up_fee_policy": "surcharge"},
        {"top_up_fee_policy": "uniform_fee", "top_up_uniform_fee_usd": "1.00"},
        {"paypal_client_id": "id"},
        {"paypal_client_id": "id", "paypal_client_secret": "secret"},
    ],
)
def test_payment_settings_that_do_not_fit_are_refused(unfit: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({**ENVIRONMENT, **unfit})


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENVIRONMENT, "paypal_client_id": "", "paypal_webhook_id": ""}.items():
        monkeypatch.setenv(name.upper(), value)

    assert Settings.from_environment().paypal_client_id is None


@pytest.mark.parametrize("name", ["internal_secret", "cloudflare_api_token", "cloudflare_kv_namespace_id"])
def test_what_is_needed_must_be_given(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings.model_validate({key: value for key, value in ENVIRONMENT.items() if key != name})
