from typing import Any

from bench import report


def section(processor: str, *, at: str = "2026-11-29T01:00:00+00:00", commit: str = "abc") -> dict[str, Any]:
    machine = {"processor": processor}
    return {"at": at, "machine": machine, "versions": {"commit": commit}, "measurements": [], "targets": []}


def last_lines(document: dict[str, Any]) -> list[str]:
    """What the table says behind its last empty line."""
    return report.table(document).rpartition("\n\n")[2].splitlines()


def test_sections_of_one_run_share_a_line() -> None:
    later = section("Xeon", at="2026-11-29T02:30:00+00:00")

    assert last_lines({"json": section("Xeon"), "bill": later}) == ["2026-11-29, on Xeon; commit abc."]


def test_a_section_of_another_machine_or_commit_says_so() -> None:
    document = {"json": section("Xeon"), "pace": section("EPYC"), "bill": section("Xeon", commit="def")}

    assert last_lines(document) == [
        "- json: 2026-11-29, on Xeon; commit abc.",
        "- pace: 2026-11-29, on EPYC; commit abc.",
        "- bill: 2026-11-29, on Xeon; commit def.",
    ]
