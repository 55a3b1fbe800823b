"""What the load generators write, read."""

from pathlib import Path

import pytest

from bench.load import LoadFailed, parse_h2load, parse_log, parse_wrk, percentile

WRK = """Running 1s test @ http://127.0.0.1:8080/small
  1 threads and 64 connections
Requests/sec:  66815.10
BENCH {"requests":1000,"us":2000000,"connect":0,"read":1,"write":0,"status":2,"timeout":3,"p50":678,"p99":1083,"max":2582}
"""  # noqa: E501
H2LOAD = "requests: 50 total, 50 started, 50 done, 47 succeeded, 1 failed, 1 errored, 1 timeout\n"
EPOCH = 1_700_000_000_000_000


def test_wrk_counts_errors_of_every_kind_and_reads_microseconds() -> None:
    seen = parse_wrk(WRK)
    assert (seen.requests, seen.rps, seen.errors) == (1000, 500, 6)
    assert (seen.p50, seen.p99, seen.worst) == (0.678, 1.083, 2.582)


def test_wrk_without_its_report_is_an_error() -> None:
    with pytest.raises(LoadFailed):
        parse_wrk("unable to connect to 127.0.0.1:1")


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(0.5, 2, id="half of four is the second"),
        pytest.param(0.99, 4, id="99 in a hundred of four is the last"),
        pytest.param(0.0, 1, id="nothing is the first"),
    ],
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([1, 2, 3, 4], share) == expected


def test_the_log_is_read_within_its_window() -> None:
    lines = [
        f"{EPOCH - 1}\t200\t5000",  # before
        f"{EPOCH}\t200\t1000",
        f"{EPOCH + 900_000}\t503\t200000",  # answered in the second second
        f"{EPOCH + 1_500_000}\t-1\t3000",
        f"{EPOCH + 2_000_000}\t200\t9000",  # after
    ]
    latencies, bad, lowest = parse_log(lines, EPOCH, EPOCH + 2_000_000)
    assert latencies == [1, 3, 200]
    assert bad == 2
    assert lowest == 1


def test_a_second_without_an_answer_is_seen() -> None:
    lines = [f"{EPOCH}\t200\t1000", f"{EPOCH + 2_500_000}\t200\t1000"]
    assert parse_log(lines, EPOCH, EPOCH + 3_000_000)[2] == 0


def test_h2load_skips_the_beginning_and_counts_what_failed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"{EPOCH + n * 100_000}\t200\t{n * 1000}\n" for n in range(50)))
    seen = parse_h2load(H2LOAD, log, seconds=2, skip=1)
    assert (seen.requests, seen.rps, seen.lowest_second) == (20, 10, 10)
    assert (seen.p50, seen.worst, seen.errors) == (19, 29, 3)


def test_h2load_without_a_request_in_the_window_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    with pytest.raises(LoadFailed):
        parse_h2load(H2LOAD, tmp_path / "log", seconds=2, skip=1)
