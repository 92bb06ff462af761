"""Results on the terminal, in results.json, and as the README's table."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.results import Section

FILE = Path(__file__).with_name("results.json")

Json = dict[str, Any]


def show(section: Section) -> None:
    """Print the figures, a line for each case and peer, and the targets."""
    print(f"\n## {section.name}")
    lines: dict[tuple[str, str], list[str]] = {}
    for item in section.measurements:
        lines.setdefault((item.case, item.peer), []).append(f"{item.metric} {round_off(item.value)}")
    for (case, peer), figures in lines.items():
        print(f"{case} | {peer:12} | {', '.join(figures)}")
    for target in section.targets:
        verdict = "met   " if target.met else "MISSED"
        print(
            f"{verdict} {target.name}: {round_off(target.measured)} {target.unit},"
            f" {target.bound} {round_off(target.limit)}"
        )


def round_off(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def read() -> Json:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def merge(document: Json, section: Section) -> Json:
    return document | {section.name: asdict(section)}


def write(document: Json) -> None:
    FILE.write_text(json.dumps(document, indent=1) + "\n")
