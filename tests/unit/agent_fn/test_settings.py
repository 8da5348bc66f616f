"""The environment of agent_fn."""

import pytest
from agent_fn.settings import Settings
from dormouse_runtime.settings import SettingsError


def test_everything_has_a_default() -> None:
    settings = Settings.from_env({})
    assert settings.ollama_url == "http://127.0.0.1:11434"
    assert settings.default_model == ""
    assert settings.postgres_url == ""
    assert settings.execute_budget_s == 240
    assert settings.model_connect_timeout_s == 5
    assert settings.model_first_token_timeout_s == settings.model_read_timeout_s == 120
    assert settings.prefill is None
    assert (settings.tool_target, settings.tool_retry_s) == ("", 30)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("gpu", "http://gpu:11434"),
        ("gpu:1234", "http://gpu:1234"),
        ("http://gpu", "http://gpu:80"),
        ("https://gpu", "https://gpu:443"),
        ("https://gpu:1234/ollama/", "https://gpu:1234/ollama"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("[::1]:1234", "http://[::1]:1234"),
        ("[::]", "http://[::1]:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("  gpu  ", "http://gpu:11434"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(written: str, read: str) -> None:
    assert Settings.from_env({"OLLAMA_HOST": written}).ollama_url == read


def test_the_first_token_waits_as_long_as_the_others_unless_told() -> None:
    assert Settings.from_env({"DORMOUSE_MODEL_READ_TIMEOUT_S": "7"}).model_first_token_timeout_s == 7
    told = Settings.from_env({"DORMOUSE_MODEL_READ_TIMEOUT_S": "7", "DORMOUSE_MODEL_FIRST_TOKEN_TIMEOUT_S": "300"})
    assert (told.model_first_token_timeout_s, told.model_read_timeout_s) == (300, 7)


@pytest.mark.parametrize(("written", "read"), [("auto", None), ("always", True), ("never", False), ("Never", False)])
def test_prefill_can_be_overridden(written: str, read: bool | None) -> None:
    assert Settings.from_env({"DORMOUSE_MODEL_PREFILL": written}).prefill is read


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OLLAMA_HOST", "ftp://gpu"),
        ("OLLAMA_HOST", "gpu:port"),
        ("DORMOUSE_POSTGRES_URL", "mysql://x"),
        ("DORMOUSE_EXECUTE_BUDGET_S", "soon"),
        ("DORMOUSE_EXECUTE_BUDGET_S", "0"),
        ("DORMOUSE_MODEL_CONNECT_TIMEOUT_S", "-1"),
        ("DORMOUSE_MODEL_READ_TIMEOUT_S", "nan"),
        ("DORMOUSE_MODEL_FIRST_TOKEN_TIMEOUT_S", "inf"),
        ("DORMOUSE_MODEL_PREFILL", "sometimes"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({name: value})
