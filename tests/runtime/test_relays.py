"""What no provider can cause from outside at a given moment: an edit that fails, a piece as its time is over."""

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
    received: list[bytes] = []
    with relaying_edge(tmp_path) as edge, ControlledUpstream() as upstream:
        upstream.send(b"data: sound\n\n")
        with pytest.raises(httpx2.RemoteProtocolError):
            listen(edge, upstream, received)
        eventually(lambda: "the relay raised what its edit raised" in edge.log(), becomes=True)
        eventually(lambda: "BrokenOff" in edge.log(), becomes=True)

    assert received == [b"data: sound\n\n"]
    assert PROMPT not in edge.log()


def test_a_piece_that_comes_as_its_time_is_over_counts_as_silence(tmp_path: Path) -> None:
    """What follows it is lost with the connection, so another target is asked."""
    with relaying_edge(tmp_path) as edge:
        answer = httpx2.get(edge.ready.edge_url, timeout=30)

    assert answer.text == "silent"


def relaying_edge(folder: Path) -> EdgeProcess:
    """The product's modules behind an entry of their own."""
    project = shutil.copytree(PROJECT, folder / "project")
    product = shutil.ignore_patterns("__pycache__", "entry.py")
    shutil.copytree(ROOT / "worker", project / "worker", ignore=product, dirs_exist_ok=True)
    return EdgeProcess(project, folder / "data")


def listen(edge: EdgeProcess, upstream: ControlledUpstream, received: list[bytes]) -> None:
    """Gather what is relayed; once something has come, the upstream sends what the edit fails at."""
    with httpx2.stream("GET", edge.ready.edge_url, params={"from": upstream.url}, timeout=30) as answer:
        for piece in answer.iter_raw():
            received.append(piece)
            upstream.send(f"data: fail at {PROMPT}\n\n".encode())
