"""The models this server has, and how Ollama describes a model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from devstack.model_server.errors import ModelNotFoundError

CONTEXT_LENGTH = 32768
DEFAULT_NUM_CTX = 4096
EMBEDDING_LENGTH = 384

_TURN = (
    "{{- range $i, $_ := .Messages }}\n{{- $last := eq (len (slice $.Messages $i)) 1 }}\n"
    "<|{{ .Role }}|>\n{{ .Content }}"
)
# With $last the assistant's turn stays open when it is the last message: that is what makes prefill work in Ollama.
PREFILL_TEMPLATE = (
    _TURN + '{{ if not (and $last (eq .Role "assistant")) }}<|end|>\n{{ end }}\n{{- end }}<|assistant|>\n'
)
CLOSED_TEMPLATE = "{{- range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>\n"
TOOLS_TEMPLATE = "{{- if .Tools }}<|tools|>{{ .Tools }}<|end|>\n{{ end }}"


@dataclass(frozen=True, slots=True)
class Model:
    """One model. `simulated` answers with a fixed number of tokens, `prefill` continues an assistant message.

    `gullible` obeys whatever it reads.
    """

    name: str
    capabilities: tuple[str, ...]
    prefill: bool = True
    simulated: bool = False
    gullible: bool = False

    @property
    def can_complete(self) -> bool:
        """Whether the model chats; otherwise it embeds."""
        return "completion" in self.capabilities

    @property
    def digest(self) -> str:
        """A stable digest, hexadecimal."""
        return hashlib.sha256(f"dormouse development model {self.name}".encode()).hexdigest()

    @property
    def size(self) -> int:
        """The size in bytes that lists show: that of a small program, not of weights."""
        return 65536

    @property
    def template(self) -> str:
        """The prompt template; agents look in it whether an assistant's turn can be continued."""
        if not self.can_complete:
            return "{{ .Prompt }}"
        tools = TOOLS_TEMPLATE if "tools" in self.capabilities else ""
        return tools + (PREFILL_TEMPLATE if self.prefill else CLOSED_TEMPLATE)

    def details(self) -> dict[str, Any]:
        """The `details` object of tags, show and ps."""
        return {
            "parent_model": "",
            "format": "program",
            "family": "dormouse-dev",
            "families": ["dormouse-dev"],
            "parameter_size": "0",
            "quantization_level": "none",
        }

    def tag(self, modified_at: str) -> dict[str, Any]:
        """The model in /api/tags."""
        return {
            "name": self.name,
            "model": self.name,
            "modified_at": modified_at,
            "size": self.size,
            "digest": self.digest,
            "details": self.details(),
            "capabilities": list(self.capabilities),
        }

    def shown(self, modified_at: str) -> dict[str, Any]:
        """The model in /api/show."""
        family = "dormouse-dev"
        info: dict[str, Any] = {
            "general.architecture": family,
            "general.basename": self.name.partition(":")[0],
            "general.parameter_count": 0,
            "general.description": "A small deterministic program, not a language model.",
            f"{family}.context_length": CONTEXT_LENGTH,
            f"{family}.embedding_length": EMBEDDING_LENGTH,
        }
        return {
            "license": "Apache-2.0",
            "modelfile": f"# Dormouse's development model, not a language model.\nFROM {self.name}\n",
            "parameters": f"num_ctx {DEFAULT_NUM_CTX}",
            "template": self.template,
            "details": self.details(),
            "model_info": info,
            "capabilities": list(self.capabilities),
            "modified_at": modified_at,
        }


BUILT_IN = (
    Model("dormouse-dev:latest", ("completion", "tools", "thinking", "vision")),
    Model("dormouse-dev-notools:latest", ("completion",)),
    Model("dormouse-dev-noprefill:latest", ("completion",), prefill=False),
    Model("sim:latest", ("completion",), simulated=True),
    Model("dormouse-dev-embed:latest", ("embedding",)),
    Model("dormouse-dev-gullible:latest", ("completion", "tools"), gullible=True),
)


class Catalog:
    """The models that are installed now."""

    def __init__(self, modified_at: str) -> None:
        self._models = {model.name: model for model in BUILT_IN}
        self._modified_at = modified_at

    def get(self, name: str) -> Model:
        """The model with this name; `:latest` may be left out. Raises ModelNotFoundError."""
        try:
            return self._models[full_name(name)]
        except KeyError:
            raise ModelNotFoundError(name) from None

    def tags(self) -> list[dict[str, Any]]:
        """Every model as /api/tags shows it."""
        return [model.tag(self._modified_at) for model in self._models.values()]

    def shown(self, name: str) -> dict[str, Any]:
        """One model as /api/show shows it."""
        return self.get(name).shown(self._modified_at)

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name. Raises ModelNotFoundError."""
        name = full_name(destination)
        self._models[name] = replace(self.get(source), name=name)

    def delete(self, name: str) -> None:
        """Remove a model until it is pulled again. Raises ModelNotFoundError."""
        del self._models[self.get(name).name]

    def pull(self, name: str) -> Model:
        """Install a built-in model again. Raises ModelNotFoundError for any other that is not installed."""
        for model in BUILT_IN:
            if model.name == full_name(name):
                self._models.setdefault(model.name, model)
        return self.get(name)


def full_name(name: str) -> str:
    """The name with its tag."""
    return name if ":" in name else f"{name}:latest"
