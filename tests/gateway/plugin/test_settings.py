"""The field types of the configuration language, and the strict model."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, SecretStr, TypeAdapter, ValidationError

from gateway.plugin.document import FileReference, Reading
from gateway.plugin.settings import (
    LARGEST,
    LONGEST,
    Count,
    Document,
    Duration,
    FilePath,
    FromFile,
    Name,
    Off,
    Percent,
    Secret,
    Settings,
    Size,
    Text,
    format_duration,
    format_percent,
    format_size,
    identity,
    keys_of,
    parse_duration,
    parse_percent,
    parse_size,
)

READING = Reading(Path("/etc/sidegate"))


def read(kind: Any, value: Any, *, yaml: bool = True) -> Any:
    return TypeAdapter(kind).validate_python(value, context=READING if yaml else None)


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        pytest.param(Duration, "250ms", 0.25, id="milliseconds"),
        pytest.param(Duration, "2s", 2.0, id="seconds"),
        pytest.param(Duration, "1.5s", 1.5, id="a part of a second"),
        pytest.param(Duration, "5m", 300.0, id="minutes"),
        pytest.param(Duration, "1h30m", 5400.0, id="compound"),
        pytest.param(Duration, "7d", 604800.0, id="days"),
        pytest.param(Duration, 0, 0, id="nothing needs no unit"),
        pytest.param(Size, "512B", 512, id="bytes"),
        pytest.param(Size, "100KB", 100_000, id="thousands"),
        pytest.param(Size, "1KiB", 1024, id="powers of two"),
        pytest.param(Size, "1.5 MB", 1_500_000, id="a blank before the unit"),
        pytest.param(Size, "0.1KB", 100, id="no rounding of tenths"),
        pytest.param(Size, "10mb", 10_000_000, id="in any case"),
        pytest.param(Percent, "20%", 0.2, id="a share"),
        pytest.param(Percent, "0.5%", 0.005, id="a small share"),
        pytest.param(Count, "12", 12, id="a number out of a variable"),
        pytest.param(Annotated[Duration | None, Off], "off", None, id="off"),
        pytest.param(Annotated[Duration | None, Off], "2s", 2.0, id="not off"),
        pytest.param(Name, "a.b-c_1", "a.b-c_1", id="a name"),
        pytest.param(FilePath, "tls/key.pem", Path("/etc/sidegate/tls/key.pem"), id="a path beside the file"),
        pytest.param(FilePath, "/key.pem", Path("/key.pem"), id="an absolute path"),
    ],
)
def test_what_is_read(kind: Any, written: Any, value: Any):
    assert read(kind, written) == value


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        pytest.param(Duration, 2, id="a duration without a unit"),
        pytest.param(Duration, 2.5, id="a duration with a point and without a unit"),
        pytest.param(Duration, "2", id="a duration without a unit out of a variable"),
        pytest.param(Duration, "", id="an empty duration"),
        pytest.param(Duration, "2 weeks", id="a unit that is none"),
        pytest.param(Duration, "-2s", id="a negative duration"),
        pytest.param(Duration, "1s!", id="something after a duration"),
        pytest.param(Duration, "9999999d", id="a duration that event loops cannot hold"),
        pytest.param(Duration, True, id="a switch as a duration"),
        pytest.param(Duration, "٣s", id="digits of another script"),
        pytest.param(Size, 100, id="a size without a unit"),
        pytest.param(Size, "9" * 18 + "GB", id="a size beyond all disks"),
        pytest.param(Size, "1s", id="a duration as a size"),
        pytest.param(Percent, 0.2, id="a share as a number"),
        pytest.param(Percent, "101%", id="more than all"),
        pytest.param(Count, True, id="a switch as a number"),
        pytest.param(Name, "a b", id="a name with a blank"),
        pytest.param(Name, "a\n", id="a name with a line end"),
        pytest.param(Name, "x" * 65, id="a long name"),
        pytest.param(FilePath, "", id="an empty path"),
        pytest.param(FilePath, "a\0b", id="a path with a null byte"),
        pytest.param(Secret, "", id="an empty secret"),
        pytest.param(Secret, 12345, id="a number as a secret"),
        pytest.param(Text, 1, id="a number as a text"),
    ],
)
def test_what_is_refused(kind: Any, written: Any):
    with pytest.raises(ValidationError):
        read(kind, written)


def test_code_may_give_plain_numbers():
    assert read(Duration, 2.5, yaml=False) == 2.5
    assert read(Size, 100, yaml=False) == 100
    assert read(Percent, 0.2, yaml=False) == 0.2
    assert read(FilePath, "a", yaml=False) == Path("a")


@settings(max_examples=200)
@given(st.integers(0, LONGEST * 1000).map(lambda milliseconds: milliseconds / 1000))
def test_a_duration_reads_back_as_it_was_written(seconds: float):
    assert parse_duration(format_duration(seconds)) == seconds


@settings(max_examples=200)
@given(st.integers(0, LARGEST))
def test_a_size_reads_back_as_it_was_written(count: int):
    assert parse_size(format_size(count)) == count


@settings(max_examples=200)
@given(st.integers(0, 10**8).map(lambda parts: parts / 10**8))
def test_a_share_reads_back_as_it_was_written(share: float):
    assert parse_percent(format_percent(share)) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize("parse", [parse_duration, parse_size, parse_percent])
@given(text=st.text(max_size=30))
def test_any_text_is_read_or_refused(parse: Any, text: str):
    with contextlib.suppress(ValueError):
        assert parse(text) >= 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250ms"), (2.0, "2s"), (90.0, "90s"), (5400.0, "90m"), (0.0, "0s"), (86400.0, "1d"), (1.5, "1500ms")],
)
def test_the_spelling_of_durations(seconds: float, text: str):
    assert format_duration(seconds) == text


class Example(Settings):
    secret: Secret = Field(default=SecretStr("x"))
    wait: Duration = 1.0
    plain: int = 1
    with_: str = Field(default="", alias="with")


class TestFiles:
    @pytest.fixture
    def reading(self, tmp_path: Path) -> Reading:
        (tmp_path / "secret").write_text("s3cret\r\n")
        (tmp_path / "text").write_text("line\n")
        (tmp_path / "rows.yaml").write_text("- {a: 1}\n- {a: off}\n")
        (tmp_path / "rows.json").write_text('{"rows": [1, 2]}')
        (tmp_path / "large").write_text("x" * 70_000)
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        (tmp_path / "empty").write_text("\n")
        return Reading(tmp_path)

    def take(self, kind: Any, name: str, reading: Reading) -> Any:
        return TypeAdapter(kind).validate_python(FileReference({"file": name}, reading.directory), context=reading)

    def test_a_secret_loses_its_line_end(self, reading: Reading):
        assert self.take(Secret, "secret", reading) == SecretStr("s3cret")
        assert list(reading.files) == [reading.directory / "secret"]

    def test_a_text_keeps_it(self, reading: Reading):
        assert self.take(Text, "text", reading) == "line\n"

    @pytest.mark.parametrize(
        ("name", "content"), [("rows.yaml", [{"a": 1}, {"a": "off"}]), ("rows.json", {"rows": [1, 2]})]
    )
    def test_a_document(self, reading: Reading, name: str, content: Any):
        assert self.take(Document, name, reading) == content

    def test_a_model_out_of_a_document(self, reading: Reading):
        assert self.take(Annotated[tuple[dict[str, int | str], ...], FromFile], "rows.yaml", reading) == (
            {"a": 1},
            {"a": "off"},
        )

    @pytest.mark.parametrize("name", ["large", "binary", "empty", "missing", "."])
    def test_what_cannot_be_a_secret(self, reading: Reading, name: str):
        with pytest.raises(ValidationError):
            self.take(Secret, name, reading)

    def test_a_reference_in_code_is_relative_to_the_working_directory(self, reading: Reading, monkeypatch):
        monkeypatch.chdir(reading.directory)
        assert Example(secret={"file": "secret"}).secret.get_secret_value() == "s3cret"  # type: ignore[arg-type]


def test_a_model_refuses_unknown_keys_and_changes():
    with pytest.raises(ValidationError, match="other"):
        Example.model_validate({"other": 1})
    with pytest.raises(ValidationError, match="frozen"):
        Example().plain = 2  # type: ignore[misc]


def test_no_number_that_is_none():
    with pytest.raises(ValidationError):
        TypeAdapter(Annotated[float, Field(allow_inf_nan=False)]).validate_python(float("nan"))
    with pytest.raises(ValidationError):
        Example.model_validate({"wait": float("inf")})


def test_a_secret_is_shown_nowhere():
    example = Example(secret="hunter2")  # type: ignore[arg-type]
    assert "hunter2" not in f"{example!r} {example} {example.model_dump_json()}"


def test_identity_tells_settings_apart_by_all_that_is_in_them():
    assert identity(Example(secret="a")) == identity(Example(secret="a"))  # type: ignore[arg-type]
    assert identity(Example(secret="a")) != identity(Example(secret="b"))  # type: ignore[arg-type]
    assert identity(Example(wait=2.0)) != identity(Example(wait=3.0))


def test_keys_are_those_of_yaml():
    assert keys_of(Example) == ["secret", "wait", "plain", "with"]
