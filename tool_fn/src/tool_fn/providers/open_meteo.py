"""Open-Meteo: places by name, and their weather (https://open-meteo.com/en/docs and /en/docs/geocoding-api)."""

from dataclasses import dataclass
from typing import Final

import msgspec

from tool_fn.providers.provider import Provider
from tool_fn.web import WebClient

_CURRENT: Final = (
    "temperature_2m,relative_humidity_2m,apparent_temperature,precipitation,weather_code,cloud_cover,wind_speed_10m,"
    "wind_direction_10m,wind_gusts_10m"
)
_DAILY: Final = (
    "weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum,precipitation_probability_max,"
    "wind_speed_10m_max,sunrise,sunset"
)
# Enough to find one of many places of a name by its country or state.
_MOST_PLACES: Final = 100


class Place(msgspec.Struct, frozen=True):
    """Where on Earth; the last fields may be missing for small places."""

    name: str
    latitude: float
    longitude: float
    country: str = ""
    country_code: str = ""
    admin1: str = ""
    admin2: str = ""
    timezone: str = ""

    @property
    def text(self) -> str:
        """ "Paris, Texas, United States" """
        return ", ".join(dict.fromkeys(part for part in (self.name, self.admin1, self.country) if part))


class _Places(msgspec.Struct):
    results: list[Place] = []


class Current(msgspec.Struct):
    """The weather now. Values may be missing."""

    time: str = ""
    temperature_2m: float | None = None
    relative_humidity_2m: float | None = None
    apparent_temperature: float | None = None
    precipitation: float | None = None
    weather_code: int | None = None
    cloud_cover: float | None = None
    wind_speed_10m: float | None = None
    wind_direction_10m: float | None = None
    wind_gusts_10m: float | None = None


class Daily(msgspec.Struct):
    """One entry a day in every list; values may be missing."""

    time: list[str] = []
    weather_code: list[int | None] = []
    temperature_2m_max: list[float | None] = []
    temperature_2m_min: list[float | None] = []
    precipitation_sum: list[float | None] = []
    precipitation_probability_max: list[float | None] = []
    wind_speed_10m_max: list[float | None] = []
    sunrise: list[str | None] = []
    sunset: list[str | None] = []


class Forecast(msgspec.Struct):
    """The weather at one place. units: of every value, by its name."""

    timezone: str = ""
    current: Current = msgspec.field(default_factory=Current)
    current_units: dict[str, str] = {}
    daily: Daily = msgspec.field(default_factory=Daily)
    daily_units: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Units:
    """As Open-Meteo names them."""

    temperature: str = "celsius"
    wind: str = "kmh"
    precipitation: str = "mm"


class OpenMeteo:
    """Both of its services."""

    def __init__(self, web: WebClient, geocoding_url: str, forecast_url: str) -> None:
        self._provider = Provider("Open-Meteo", web)
        self._geocoding_url = geocoding_url.rstrip("/") + "/v1/search"
        self._forecast_url = forecast_url.rstrip("/") + "/v1/forecast"

    async def places(self, name: str) -> list[Place]:
        """Places of this name, the best known first. Raises ToolError."""
        params = {"name": name, "count": str(_MOST_PLACES), "language": "en", "format": "json"}
        return (await self._provider.get(self._geocoding_url, params, _Places)).results

    async def forecast(self, latitude: float, longitude: float, days: int, units: Units) -> Forecast:
        """The weather now and on 1 to 16 days, today first, in the place's own time. Raises ToolError."""
        params = {
            "latitude": f"{latitude:.4f}",
            "longitude": f"{longitude:.4f}",
            "current": _CURRENT,
            "daily": _DAILY,
            "timezone": "auto",
            "forecast_days": str(days),
            "temperature_unit": units.temperature,
            "wind_speed_unit": units.wind,
            "precipitation_unit": units.precipitation,
        }
        return await self._provider.get(self._forecast_url, params, Forecast)
