import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from tests.e2e import contract
from tests.e2e import wall as fault_wall
from tests.e2e.admin import Account, Admin
from tests.e2e.fault_server import FaultServer
from tests.e2e.gated_lab import GatedLab
from tests.e2e.internal import Internal
from tests.e2e.lab import Labs
from tests.e2e.purse import Bench, catalogue
from tests.e2e.stack import Launcher, Stack
from tests.e2e.wall import Wall

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running stack that all tests share. At the end it must stop within the promised time, as if well."""
    launcher = Launcher(tmp_path_factory.mktemp("stack"))
    try:
        yield launcher.ready()
    finally:
        status = launcher.stop()
    assert status == 0


@pytest.fixture(scope="session")
def admin(stack: Stack) -> Iterator[Admin]:
    admin = Admin(stack.control_plane_url, stack.admin_token)
    yield admin
    admin.close()


@pytest.fixture(scope="session")
def labs(stack: Stack) -> Iterator[Labs]:
    labs = Labs(stack.labs_url)
    yield labs
    labs.close()


@pytest.fixture(scope="session")
def customer(admin: Admin) -> Account:
    """A customer with plenty of credit, for tests that may share one."""
    return admin.open_account(credit_usd="1000.00")


@pytest.fixture(scope="session")
def client(stack: Stack, customer: Account) -> Iterator[OpenAI]:
    """The customer's OpenAI client. It never retries, so that every failure is seen."""
    with OpenAI(base_url=stack.base_url, api_key=customer.api_key, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A stack of its own for the tests of the Wallet, with a lab that answers when it is told to."""
    folder = tmp_path_factory.mktemp("bench")
    with contextlib.ExitStack() as closing:
        gate = closing.enter_context(GatedLab().running())
        (folder / "catalogue.toml").write_text(catalogue(gate.base_url))
        # Without a trial credit, so that an account has what a test gives it.
        launcher = Launcher(folder, HAOTOKAI_CATALOGUE=str(folder / "catalogue.toml"), TRIAL_CREDIT_USD="0")
        closing.callback(launcher.stop)
        stack = launcher.ready()
        admin, labs = Admin(stack.control_plane_url, stack.admin_token), Labs(stack.labs_url)
        internal = Internal(edge_url=stack.edge_url, control_plane_url=stack.control_plane_url, data=stack.data)
        for client in (admin, labs, internal):
            closing.callback(client.close)
        yield Bench(stack=stack, admin=admin, labs=labs, internal=internal, gate=gate)


@pytest.fixture(scope="session")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    """A stack of its own, most of whose providers are one server that fails as it is told to."""
    folder = tmp_path_factory.mktemp("wall")
    with contextlib.ExitStack() as closing:
        server = closing.enter_context(FaultServer().running())
        (folder / "catalogue.toml").write_text(fault_wall.catalogue(server) + contract.catalogue())
        settings = {"HAOTOKAI_CATALOGUE": str(folder / "catalogue.toml"), "TRIAL_CREDIT_USD": "0"}
        launcher = Launcher(folder, **settings, **fault_wall.KEYS)
        closing.callback(launcher.stop)
        stack = launcher.ready()
        admin = Admin(stack.control_plane_url, stack.admin_token)
        internal = Internal(edge_url=stack.edge_url, control_plane_url=stack.control_plane_url, data=stack.data)
        for client in (admin, internal):
            closing.callback(client.close)
        customer = admin.open_account(credit_usd="1000.00")
        yield Wall(server=server, stack=stack, admin=admin, internal=internal, customer=customer)
