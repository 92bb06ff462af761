"""A relay whose edit fails: a fault of ours, which no stream of a provider can cause from outside."""

import shutil
from pathlib import Path

import httpx2
import pytest

from tests.runtime.edge_process import ROOT, EdgeProcess, eventually
from tests.runtime.upstream import ControlledUpstream

pytestmark = pytest.mark.runtime

PROJECT = Path(__file__).parent / "relay_project"
PROMPT = "a word of a prompt"


def test_a_fault_of_ours_breaks_the_stream_off_and_logs_nothing_of_its_text(tmp_path: Path) -> None:
    project = shutil.copytree(PROJECT, tmp_path / "project")
    product = shutil.ignore_patterns("__pycache__", "entry.py")
    shutil.copytree(ROOT / "worker", project / "worker", ignore=product, dirs_exist_ok=True)
    received: list[bytes] = []
    with EdgeProcess(project, tmp_path / "data") as edge, ControlledUpstream() as upstream:
        upstream.send(b"data: sound\n\n")
        with pytest.raises(httpx2.RemoteProtocolError):
            listen(edge, upstream, received)
        eventually(lambda: "the relay raised what its edit raised" in edge.log(), becomes=True)
        eventually(lambda: "BrokenOff" in edge.log(), becomes=True)

    assert received == [b"data: sound\n\n"]
    assert PROMPT not in edge.log()


def listen(edge: EdgeProcess, upstream: ControlledUpstream, received: list[bytes]) -> None:
    """Gather what is relayed; once something has come, the upstream sends what the edit fails at."""
    with httpx2.stream("GET", edge.ready.edge_url, params={"from": upstream.url}, timeout=30) as answer:
        for piece in answer.iter_raw():
            received.append(piece)
            upstream.send(f"data: fail at {PROMPT}\n\n".encode())
