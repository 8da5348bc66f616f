"""The settings of agent_fn, read from the environment once at start."""

from collections.abc import Mapping
from dataclasses import dataclass

from dormouse_runtime.settings import Environment

_PREFILL = {"auto": None, "always": True, "never": False}


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds.

    ollama_url: no slash at its end. default_model: empty for the first installed one that can answer. postgres_url:
    empty where there are no threads. execute_budget_s: see executor. model_first_token_timeout_s: silence before the
    first token, which may hold a wait in the model server's queue and the load of a model. model_read_timeout_s:
    silence after it. prefill: whether models can go on with an answer that was cut off; None: as their templates say.
    tool_target: where ToolService is, as gRPC names it; empty where there are no tools. tool_retry_s: how long calls
    are tried again that it could not take or broke off.
    """

    ollama_url: str
    default_model: str
    postgres_url: str
    execute_budget_s: float
    model_connect_timeout_s: float
    model_first_token_timeout_s: float
    model_read_timeout_s: float
    prefill: bool | None
    tool_target: str = ""
    tool_retry_s: float = 30

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Reads the variables; raises SettingsError."""
        env = Environment(environ)
        read_timeout_s = env.seconds("DORMOUSE_MODEL_READ_TIMEOUT_S", 120, least=0.01)
        return cls(
            ollama_url=env.ollama_url("OLLAMA_HOST"),
            default_model=env.text("DORMOUSE_DEFAULT_MODEL", ""),
            postgres_url=env.postgres_url("DORMOUSE_POSTGRES_URL"),
            execute_budget_s=env.seconds("DORMOUSE_EXECUTE_BUDGET_S", 240, least=0.01),
            model_connect_timeout_s=env.seconds("DORMOUSE_MODEL_CONNECT_TIMEOUT_S", 5, least=0.01),
            model_first_token_timeout_s=env.seconds("DORMOUSE_MODEL_FIRST_TOKEN_TIMEOUT_S", read_timeout_s, least=0.01),
            model_read_timeout_s=read_timeout_s,
            prefill=_PREFILL[env.choice("DORMOUSE_MODEL_PREFILL", tuple(_PREFILL), "auto")],
            tool_target=env.text("DORMOUSE_TOOL_TARGET", ""),
            tool_retry_s=env.seconds("DORMOUSE_TOOL_RETRY_S", 30),
        )
