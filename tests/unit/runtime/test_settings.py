"""Environment variables: what is read, and what an error says."""

from pathlib import Path

import pytest
from dormouse_runtime.server import ServerSettings
from dormouse_runtime.settings import Address, Environment, SettingsError, exit_on_bad_settings

KEYS = {"DORMOUSE_TRUSTED_KEYS": "/keys.json"}


def test_a_function_listens_on_knatives_port() -> None:
    assert ServerSettings.from_env({**KEYS, "PORT": "9000"}).listen == Address("0.0.0.0", 9000)
    assert ServerSettings.from_env(KEYS).listen == Address("0.0.0.0", 8080)


def test_the_listen_address_wins_over_the_port() -> None:
    settings = ServerSettings.from_env({**KEYS, "PORT": "9000", "DORMOUSE_LISTEN": "127.0.0.1:0"})
    assert settings.listen == Address("127.0.0.1", 0)


def test_metrics_are_off_unless_asked_for() -> None:
    assert ServerSettings.from_env({**KEYS, "DORMOUSE_METRICS_LISTEN": ""}).metrics_listen is None
    assert ServerSettings.from_env({**KEYS, "DORMOUSE_METRICS_LISTEN": "[::1]:9100"}).metrics_listen == Address(
        "::1", 9100
    )


def test_the_telemetry_variables_are_handed_on() -> None:
    settings = ServerSettings.from_env({**KEYS, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "HOME": "/root"})
    assert settings.otel == {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}


@pytest.mark.parametrize(
    ("name", "value", "wants"),
    [
        ("DORMOUSE_LISTEN", "8080", "wants host:port"),
        ("DORMOUSE_LISTEN", "::1:8080", "wants host:port"),
        ("DORMOUSE_METRICS_LISTEN", "localhost:99999", "wants host:port"),
        ("DORMOUSE_DRAIN_S", "soon", "wants seconds"),
        ("DORMOUSE_DRAIN_S", "nan", "wants seconds"),
        ("DORMOUSE_DRAIN_S", "-1", "wants seconds"),
        ("DORMOUSE_MAX_CONCURRENT_RPCS", "0", "wants a whole number from 1"),
        ("DORMOUSE_MAX_MESSAGE_BYTES", "1e6", "wants a whole number"),
        ("DORMOUSE_LOG_LEVEL", "loud", "wants one of debug, info, warning, error"),
        ("DORMOUSE_LOG_FORMAT", "xml", "wants one of json, text"),
        ("PORT", "http", "wants a whole number"),
    ],
)
def test_an_error_names_the_variable_and_what_it_wants(name: str, value: str, wants: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ServerSettings.from_env({**KEYS, name: value})
    assert name in str(caught.value)
    assert wants in str(caught.value)


def test_a_missing_required_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="DORMOUSE_TRUSTED_KEYS is not set"):
        ServerSettings.from_env({})


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("ON", True), ("no", False), ("", False)])
def test_booleans_are_read_as_people_write_them(text: str, value: bool) -> None:
    assert Environment({"DORMOUSE_X": text}).boolean("DORMOUSE_X", False) is value


def test_another_boolean_is_an_error() -> None:
    with pytest.raises(SettingsError, match="DORMOUSE_X='maybe': wants true or false"):
        Environment({"DORMOUSE_X": "maybe"}).boolean("DORMOUSE_X", False)


def test_paths_and_defaults() -> None:
    env = Environment({"DORMOUSE_A": "/a"})
    assert env.path("DORMOUSE_A") == Path("/a")
    assert env.path("DORMOUSE_B", Path("/b")) == Path("/b")


def test_bad_settings_end_the_process_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, exit_on_bad_settings():
        raise SettingsError("DORMOUSE_X is not set")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "bad settings: DORMOUSE_X is not set\n"
