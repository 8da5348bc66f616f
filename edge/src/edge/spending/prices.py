"""What tokens cost: the operator's price list."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .model import Use, Work

EVERY_MODEL: Final = "*"
_PER: Final = Decimal(1_000_000)
_EXACT: Final = Decimal("0.000000001")

Amount = Annotated[Decimal, Field(ge=0, le=1_000_000)]


class PricesError(ValueError):
    """The price list cannot be used; says which place in it is wrong."""


class Price(BaseModel):
    """Of a million tokens, in the list's currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Amount = Decimal(0)
    output: Amount = Decimal(0)
    cached: Amount | None = None
    """Of the input, what the model server did not have to read. Left out: as any input."""
    embedding: Amount | None = None
    """Left out: as any input."""

    def of(self, use: Use, work: Work) -> Decimal:
        """What it costs, exact to a billionth."""
        if work in (Work.EMBEDDING, Work.INGESTION):
            price = self.input if self.embedding is None else self.embedding
            return (use.prompt_tokens * price / _PER).quantize(_EXACT)
        cached = min(use.cached_tokens, use.prompt_tokens)
        total = (use.prompt_tokens - cached) * self.input + use.completion_tokens * self.output
        total += cached * (self.input if self.cached is None else self.cached)
        return (total / _PER).quantize(_EXACT)


NOTHING: Final = Price()


class _Since(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    since: date
    models: Mapping[Annotated[str, Field(min_length=1, max_length=256)], Price]


class _List(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    prices: Annotated[tuple[_Since, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices from the day on that they are said to count."""

    currency: str = "USD"
    days: Sequence[date] = ()
    prices: Sequence[Mapping[str, Price]] = ()

    @property
    def is_empty(self) -> bool:
        """Whether everything is free."""
        return not self.prices

    def price(self, model: str, day: date) -> Price:
        """A model's on a day: its own, with or without Ollama's `:latest`, else that of every model, else nothing."""
        index = bisect_right(self.days, day) - 1
        if index < 0:
            return NOTHING
        prices = self.prices[index]
        for name in (model, model.removesuffix(":latest"), EVERY_MODEL):
            if (price := prices.get(name)) is not None:
                return price
        return NOTHING

    def cost(self, use: Use, work: Work, day: date) -> Decimal:
        """What the tokens cost on that day."""
        return Decimal(0) if self.is_empty else self.price(use.model, day).of(use, work)


def load_prices(path: Path | None) -> PriceList:
    """The list in a YAML or JSON file; without one everything is free. Raises PricesError."""
    if path is None:
        return PriceList()
    import yaml  # only where there is such a file

    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        given = _List.model_validate(document)
    except OSError as error:
        raise PricesError(f"wants a file that can be read; {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PricesError(f"wants YAML or JSON; {path}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise PricesError(f"{path}, {place}: {problem['msg']}") from None
    ordered = sorted(given.prices, key=lambda prices: prices.since)
    days = [prices.since for prices in ordered]
    if len(set(days)) < len(days):
        raise PricesError(f"{path}: two lists count from the same day")
    return PriceList(given.currency, days, [prices.models for prices in ordered])
