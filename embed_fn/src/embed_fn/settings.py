"""The settings of embed_fn, read from the environment once at start."""

from collections.abc import Mapping
from dataclasses import dataclass

from dormouse_runtime.settings import Environment

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds.

    ollama_url: no slash at its end. postgres_url: empty: no documents, and nothing is cached beyond this process.
    embed_model: empty for the first installed one that embeds. deep_model: what rewrites questions and ranks passages;
    empty for the first installed one that can answer. batch_inputs, batch_tokens: the most that one request to the
    model server holds; tokens are estimated. cache_bytes: vectors kept in memory. cache_days: how long unused ones are
    kept in Postgres. ingestions: how many at once. model_read_timeout_s: how long the model server may take for one
    request.
    """

    ollama_url: str
    postgres_url: str = ""
    embed_model: str = ""
    deep_model: str = ""
    batch_inputs: int = 64
    batch_tokens: int = 16_384
    cache_bytes: int = 32 * _MIB
    cache_days: int = 30
    ingestions: int = 8
    model_connect_timeout_s: float = 5.0
    model_read_timeout_s: float = 120.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError, which names the variable."""
        env = Environment(environ)
        return cls(
            ollama_url=env.ollama_url("OLLAMA_HOST"),
            postgres_url=env.postgres_url("DORMOUSE_POSTGRES_URL"),
            embed_model=env.text("DORMOUSE_EMBED_MODEL", ""),
            deep_model=env.text("DORMOUSE_DEEP_MODEL", ""),
            batch_inputs=env.integer("DORMOUSE_EMBED_BATCH_INPUTS", 64, least=1, most=2048),
            batch_tokens=env.integer("DORMOUSE_EMBED_BATCH_TOKENS", 16_384, least=1),
            cache_bytes=env.integer("DORMOUSE_EMBED_CACHE_MB", 32, most=4096) * _MIB,
            cache_days=env.integer("DORMOUSE_EMBED_CACHE_DAYS", 30, least=1, most=3650),
            ingestions=env.integer("DORMOUSE_INGESTIONS", 8, least=1, most=256),
            model_connect_timeout_s=env.seconds("DORMOUSE_MODEL_CONNECT_TIMEOUT_S", 5, least=0.01),
            model_read_timeout_s=env.seconds("DORMOUSE_MODEL_READ_TIMEOUT_S", 120, least=0.01),
        )
