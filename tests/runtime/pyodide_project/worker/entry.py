# mypy: ignore-errors
# Importable only inside workerd, so that nothing here has types that a checker could see.
"""Runs pytest on the folder that a request names and answers with each test's outcome."""

import asyncio
import inspect
import io
from contextlib import redirect_stderr, redirect_stdout

from pyodide.ffi import run_sync
from workers import Response, WorkerEntrypoint

OPTIONS = [
    "-q",
    "--import-mode=importlib",
    "--capture=no",
    "-W",
    "error",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:faulthandler",
]


class Recorder:
    """A pytest plugin: keeps each test's outcome, and awaits tests that are coroutines."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_configure(self, config) -> None:
        from hypothesis import settings  # noqa: PLC0415 (pytest has to be the first that imports it)

        # How long an example takes is no matter here, and there is nowhere to keep those that failed. The search is
        # for CPython, where an example takes little time.
        settings.register_profile("workerd", deadline=None, database=None, max_examples=10)
        settings.load_profile("workerd")

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome

    def pytest_pyfunc_call(self, pyfuncitem) -> bool | None:
        if not inspect.iscoroutinefunction(pyfuncitem.obj):
            return None
        arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        run_sync(asyncio.ensure_future(pyfuncitem.obj(**arguments)))
        return True


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        import pytest  # noqa: PLC0415 (importing it takes randomness, of which there is none before a request)

        recorder, output = Recorder(), io.StringIO()
        with redirect_stdout(output), redirect_stderr(output):
            status = pytest.main([*OPTIONS, await request.text()], plugins=[recorder])
        return Response.json({"status": int(status), "outcomes": recorder.outcomes, "output": output.getvalue()})
