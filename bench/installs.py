"""The peers that come from registries, pinned, each in a folder of its own apart from the product's packages."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from local.settings import ROOT

FOLDER = ROOT / ".local" / "bench"
LITELLM_REQUIREMENTS = ROOT / "requirements" / "bench-litellm.txt"
PORTKEY_PACKAGE = ROOT / "bench" / "portkey"
STAMP = "installed"


def litellm() -> Path:
    """The command of LiteLLM, installed first where it is not there or is another version."""
    folder = FOLDER / "litellm"
    digest = _digest(LITELLM_REQUIREMENTS)
    if not _is_installed(folder, digest):
        _say("LiteLLM")
        python = folder / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = (python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", LITELLM_REQUIREMENTS)
        subprocess.run(install, check=True)
        (folder / STAMP).write_text(digest)
    return folder / "bin" / "litellm"


def portkey() -> Path:
    """The script of Portkey's gateway, installed as above."""
    folder = FOLDER / "portkey"
    digest = _digest(PORTKEY_PACKAGE / "package-lock.json")
    if not _is_installed(folder, digest):
        _say("Portkey's gateway")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(PORTKEY_PACKAGE, folder)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True)
        (folder / STAMP).write_text(digest)
    return folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"


def _is_installed(folder: Path, digest: str) -> bool:
    stamp = folder / STAMP
    return stamp.exists() and stamp.read_text() == digest


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def _say(name: str) -> None:
    print(f"installing {name}, once", file=sys.stderr)
