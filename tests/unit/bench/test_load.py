import pytest

from bench.load import LoadError, parse

REPORT = """Running 1s test @ http://127.0.0.1:1/
  1 threads and 10 connections
Requests/sec:   1000.00
"""


def test_the_figures_stand_in_the_line_behind_wrks_report() -> None:
    line = '{"requests": 2000, "duration_us": 4000000, "failed": 3, "p50_us": 1500, "p99_us": 9000}\n'
    seen = parse(REPORT + line)

    assert (seen.requests, seen.failed, seen.requests_per_s) == (2000, 3, 500.0)
    assert (seen.p50_ms, seen.p99_ms) == (1.5, 9.0)


def test_a_report_without_figures_is_an_error() -> None:
    with pytest.raises(LoadError):
        parse(REPORT)
