"""What every answer has: a request id, problem+json when it is an error, and no secret."""

import json
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from control_plane.api.observation import BODY_MAX_BYTES
from control_plane.logs import redact
from tests.contract.control_plane.world import ADMIN_TOKEN, World, assert_problem, read, running


async def test_every_answer_has_a_request_id_of_its_own(world: World) -> None:
    answers = [await world.anyone.get(path) for path in ("/healthz", "/none", "/admin/v1/accounts", "/metrics")]

    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == len(answers)


async def test_an_unknown_path_is_a_problem(world: World) -> None:
    assert_problem(await world.anyone.get("/none"), 404, "not_found")


async def test_a_method_that_is_not_allowed_is_a_problem(world: World) -> None:
    answer = await world.admin.put("/admin/v1/accounts")

    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 5000])
async def test_a_body_that_is_not_an_object_is_a_problem(world: World, body: bytes) -> None:
    answer = await world.admin.post("/admin/v1/accounts", content=body, headers={"content-type": "application/json"})

    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_may_be_so_large_and_no_larger(world: World) -> None:
    def body(size: int) -> bytes:
        text = json.dumps({"email": "dev@example.com"}).encode()
        return text + b" " * (size - len(text))

    headers = {"content-type": "application/json"}
    taken = await world.admin.post("/admin/v1/accounts", content=body(BODY_MAX_BYTES), headers=headers)
    refused = await world.admin.post("/admin/v1/accounts", content=body(BODY_MAX_BYTES + 1), headers=headers)

    assert taken.status_code == 201
    assert_problem(refused, 413, "request_too_large")


async def test_an_unexpected_failure_is_a_problem_that_says_nothing(world: World) -> None:
    async with world.services.store.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE accounts RENAME TO elsewhere")

    with capture_logs() as lines:
        answer = await world.admin.post("/admin/v1/accounts", json={"email": "dev@example.com"})

    assert_problem(answer, 500, "internal_error")
    assert "request_failed" in [line["event"] for line in lines]
    assert "x-request-id" in answer.headers
    assert "detail" not in answer.json()
    assert "accounts" not in answer.text


@pytest.mark.parametrize("authorization", ["Bearer hta_unknown", "Bearer", "Bearer ", "Basic x", "Bearer \u00e9"])
async def test_a_refused_token_is_not_repeated(world: World, authorization: str) -> None:
    answer = await world.anyone.get("/admin/v1/accounts", headers={b"authorization": authorization.encode()})

    assert_problem(answer, 401, "unauthenticated")
    assert "hta_unknown" not in answer.text


async def test_a_refused_field_is_not_repeated(world: World) -> None:
    answer = await world.admin.post("/admin/v1/accounts", json={"email": "dev@example.com", "key": "htk_secret"})

    assert "htk_secret" not in answer.text


async def test_logs_hold_ids_and_neither_secrets_nor_people(world: World) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars, redact]) as lines:
        account_id = await world.open_account("dev@example.com")
        key = await world.make_key(account_id)
        customer = await world.customer(account_id)
        await customer.get("/account/v1/balance")
        await world.admin.delete(f"/admin/v1/keys/{key['id']}")

    text = json.dumps(lines, default=str)
    routes = [line["route"] for line in lines if line["event"] == "request"]
    assert "/admin/v1/keys/{key_id}" in routes
    assert all(line["request_id"].startswith("req_") for line in lines if line["event"] == "request")
    for secret in (key["key"], ADMIN_TOKEN, "dev@example.com", customer.headers["authorization"]):
        assert secret not in text


async def test_the_description_covers_every_route_with_a_summary_and_its_problems(world: World) -> None:
    document = world.app.openapi()

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert "application/problem+json" in operation["responses"]["default"]["content"]


async def test_health_says_what_waits_and_for_how_long(tmp_path: Path) -> None:
    async with running(tmp_path, delivery_wait_ms=0) as world:
        account_id = await world.open_account()
        world.edge.down.add(account_id)
        await world.admin.post(
            f"/admin/v1/accounts/{account_id}/credits", json={"amount_usd": "1.00", "reference": "r"}
        )

        health = await read(world.anyone, "/healthz")
        metrics = await world.anyone.get("/metrics")

        assert health["catalogue_version"] == 1
        assert health["projection"]["wallet"]["pending"] == 1
        assert 'haotokai_outbox_pending{target="wallet"} 1.0' in metrics.text
        assert 'haotokai_requests_total{method="POST",route="/admin/v1/accounts",status="201"} 1.0' in metrics.text


async def test_health_is_refused_when_the_database_does_not_answer(world: World) -> None:
    async with world.services.store.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE outbox RENAME TO elsewhere")

    assert_problem(await world.anyone.get("/healthz"), 503, "database_unavailable")


async def test_a_changed_catalogue_file_is_a_new_version_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    versions: list[Any] = []
    for _ in range(2):
        async with running(tmp_path) as world:
            versions.append((await read(world.anyone, "/healthz"))["catalogue_version"])

    assert versions == [1, 1]
