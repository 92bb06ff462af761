"""Results on the terminal, in results.json, and as the README's table."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import json_calls, machine, pace, peers, stream_calls
from bench.results import Section, Target
from local.settings import ROOT

FILE = Path(__file__).with_name("results.json")
README = ROOT / "README.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
COLUMNS = (
    ("JSON, CPU ms", json_calls.NAME, json_calls.SMALL.name, "cpu_ms_per_request"),
    ("JSON, requests/s", json_calls.NAME, json_calls.SMALL.name, "requests_per_s"),
    ("p99 ms", json_calls.NAME, json_calls.SMALL.name, "p99_ms"),
    ("200 events, CPU ms", stream_calls.NAME, stream_calls.SHORT.name, "cpu_ms_per_stream"),
    ("first event, p50 ms", pace.NAME, pace.CASE.name, "first_event_p50_ms"),
    ("RSS MB", json_calls.NAME, json_calls.SMALL.name, "rss_mb"),
)

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
        print(f"{'met' if target.met else 'MISSED'}: {target.name}: {_against_limit(target)}", flush=True)


def _against_limit(target: Target) -> str:
    return f"{round_off(target.measured)} {target.unit}, {target.bound} {round_off(target.limit)}"


def round_off(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def read() -> Json:
    document: Json = json.loads(FILE.read_text()) if FILE.exists() else {}
    return document


def merge(document: Json, section: Section) -> Json:
    """The document with this section in place of its earlier run."""
    found = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "yardstick_ms": machine.yardstick_ms(),
        "versions": machine.versions(written=(FILE, README)),
        "measurements": [asdict(item) for item in section.measurements],
        "targets": [asdict(target) | {"met": target.met} for target in section.targets],
    }
    return document | {section.name: found}


def write(document: Json) -> None:
    """Into results.json and the README."""
    FILE.write_text(json.dumps(document, indent=1) + "\n")
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table(document)}{END}{after}")


def table(document: Json) -> str:
    """What the README shows: the figures of each peer, and the targets."""
    lines = [*_figures(document), "", *_targets(document), "", *_circumstances(document)]
    return "".join(f"{line}\n" for line in lines)


def _figures(document: Json) -> Iterator[str]:
    values = {
        (name, item["case"], item["peer"], item["metric"]): item["value"]
        for name, section in document.items()
        for item in section["measurements"]
    }
    yield f"| | {' | '.join(title for title, *_ in COLUMNS)} |"
    yield f"|---|{'---|' * len(COLUMNS)}"
    for peer in peers.SHOWN:
        cells = [values.get((name, case, peer, metric)) for _, name, case, metric in COLUMNS]
        yield f"| {peer} | {' | '.join('' if cell is None else round_off(cell) for cell in cells)} |"


def _targets(document: Json) -> Iterator[str]:
    yield "| target | limit | measured | |"
    yield "|---|---|---|---|"
    for section in document.values():
        for target in section["targets"]:
            limit, measured = round_off(target["limit"]), round_off(target["measured"])
            verdict = "met" if target["met"] else "missed"
            yield f"| {target['name']} | {target['bound']} {limit} {target['unit']} | {measured} | {verdict} |"


def _circumstances(document: Json) -> Iterator[str]:
    """A line for all sections that ran in the same ones."""
    sections: dict[str, list[str]] = {}
    for name, section in document.items():
        words = f"{section['at'][:10]}, on {', '.join(section['machine'].values())}; {_named(section['versions'])}."
        sections.setdefault(words, []).append(name)
    for words, names in sections.items():
        yield words if len(sections) == 1 else f"- {', '.join(names)}: {words}"


def _named(versions: Json) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items() if number)
