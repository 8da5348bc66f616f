"""What a run may use up before its agent has to answer with what it has."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunLimits:
    """`iterations` are turns of the model, `tokens` prompt and completion of all model calls together."""

    iterations: int = 10
    tool_calls: int = 30
    tokens: int = 200_000

    def lowered(self, iterations: int, tool_calls: int, tokens: int) -> "RunLimits":
        """These limits where the caller wants 0, else the lower of both."""
        return RunLimits(
            min(iterations or self.iterations, self.iterations),
            min(tool_calls or self.tool_calls, self.tool_calls),
            min(tokens or self.tokens, self.tokens),
        )
