"""weather: the weather now and a forecast for a place."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.providers.open_meteo import Current, Forecast, OpenMeteo, Place, Units
from tool_fn.tool import Call, Tool, ToolError, typed_tool

_DESCRIPTION: Final = (
    "Returns the weather now and the forecast for up to 16 days (today first) for a place: temperature, rain, wind, "
    "sunrise. Name the place, with its state or country if the name is common ('Paris, Texas'), or give coordinates. "
    "It knows nothing of past weather."
)
_UNITS: Final = {"metric": Units(), "imperial": Units("fahrenheit", "mph", "inch")}
_MOST_OTHERS: Final = 5
# WMO code table 4677, as Open-Meteo uses it.
_CODES: Final = {
    0: "clear sky", 1: "mainly clear", 2: "partly cloudy", 3: "overcast", 45: "fog", 48: "fog with rime",
    51: "light drizzle", 53: "drizzle", 55: "dense drizzle", 56: "light freezing drizzle", 57: "freezing drizzle",
    61: "light rain", 63: "rain", 65: "heavy rain", 66: "light freezing rain", 67: "freezing rain", 71: "light snow",
    73: "snow", 75: "heavy snow", 77: "snow grains", 80: "light rain showers", 81: "rain showers",
    82: "violent rain showers", 85: "light snow showers", 86: "heavy snow showers", 95: "thunderstorm",
    96: "thunderstorm with light hail", 99: "thunderstorm with heavy hail",
}  # fmt: skip
_COMPASS: Final = ("north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest")


class Weather(Arguments):
    """Where and for how long."""

    place: Annotated[
        str, Meta(description="A town, region or postal code, such as 'Berlin' or 'Paris, Texas'.", max_length=200)
    ] = ""
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    days: Annotated[int, Meta(description="Days of forecast, 1 is today only.", ge=1, le=16)] = 3
    units: Annotated[Literal["metric", "imperial"], Meta(description="°C, km/h and mm, or °F, mph and inches.")] = (
        "metric"
    )


def build_tools(means: Means) -> Iterable[Tool]:
    config = means.config.weather
    service = OpenMeteo(means.http, config.geocoding_url, config.forecast_url)

    async def run(arguments: Weather, call: Call) -> str:
        place, others = await _place(service, arguments)
        units = _UNITS[arguments.units]
        forecast = await service.forecast(place.latitude, place.longitude, arguments.days, units)
        return _told(place, others, forecast)

    yield typed_tool(name="weather", description=_DESCRIPTION, input=Weather, run=run)


async def _place(service: OpenMeteo, arguments: Weather) -> tuple[Place, list[Place]]:
    """The place that is meant, and others of its name."""
    if arguments.latitude is not None and arguments.longitude is not None:
        name = f"{arguments.latitude:g}, {arguments.longitude:g}"
        return Place(arguments.place or name, arguments.latitude, arguments.longitude), []
    name, *narrower = (part.strip() for part in arguments.place.split(","))
    if not name:
        raise ToolError("Name a place, or give latitude and longitude.")
    found = await service.places(name)
    if not found:
        raise ToolError(f"There is no place {name!r}. Check the spelling, or name a larger town nearby.")
    fitting = [place for place in found if all(_is_in(place, part) for part in narrower if part)]
    if not fitting:
        known = "; ".join(place.text for place in found[:_MOST_OTHERS])
        raise ToolError(f"There is no {name!r} in {', '.join(narrower)}. Known are: {known}.")
    best = fitting[0]
    others = [place for place in fitting[1:] if place.name == best.name and place.text != best.text]
    return best, list({place.text: place for place in others}.values())[:_MOST_OTHERS]


def _is_in(place: Place, part: str) -> bool:
    wanted = part.casefold()
    names = (place.country, place.admin1, place.admin2)
    return wanted == place.country_code.casefold() or any(wanted in name.casefold() for name in names if name)


def _told(place: Place, others: Sequence[Place], forecast: Forecast) -> str:
    lines = [f"{place.text} ({place.latitude:.2f}, {place.longitude:.2f}), local time {forecast.timezone or 'unknown'}"]
    lines.append(f"Now: {_now(forecast.current, forecast.current_units)}")
    lines += ["", *_days(forecast)]
    if others:
        named = "; ".join(other.text for other in others)
        lines += ["", f"There are other places of this name: {named}. Call again with one of them if that is meant."]
    return "\n".join(lines)


def _now(now: Current, units: dict[str, str]) -> str:
    def value(name: str) -> str:
        return _with_unit(getattr(now, name), units.get(name, ""))

    parts = [f"{_sky(now.weather_code)} at {now.time.replace('T', ' ')}"]
    if now.temperature_2m is not None:
        parts.append(f"{value('temperature_2m')} (feels like {value('apparent_temperature')})")
    if now.relative_humidity_2m is not None:
        parts.append(f"humidity {value('relative_humidity_2m')}")
    if now.precipitation is not None:
        parts.append(f"precipitation {value('precipitation')}")
    if now.wind_speed_10m is not None:
        direction = "" if now.wind_direction_10m is None else f" from the {_compass(now.wind_direction_10m)}"
        parts.append(f"wind {value('wind_speed_10m')}{direction}, gusts {value('wind_gusts_10m')}")
    if now.cloud_cover is not None:
        parts.append(f"clouds {value('cloud_cover')}")
    return ", ".join(parts)


def _days(forecast: Forecast) -> Iterable[str]:
    daily, units = forecast.daily, forecast.daily_units
    degrees = units.get("temperature_2m_max", "°C")
    rain = units.get("precipitation_sum", "mm")
    wind = units.get("wind_speed_10m_max", "km/h")
    heads = ("day", "weather", f"low {degrees}", f"high {degrees}", f"rain {rain}", "chance %", f"wind {wind}")
    yield f"| {' | '.join(heads)} | sunrise | sunset |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for number, day in enumerate(daily.time):
        numbers = (
            _at(values, number)
            for values in (
                daily.temperature_2m_min,
                daily.temperature_2m_max,
                daily.precipitation_sum,
                daily.precipitation_probability_max,
                daily.wind_speed_10m_max,
            )
        )
        cells = [day, _sky(_at(daily.weather_code, number)), *map(_number, numbers)]
        cells += [(_at(times, number) or "")[-5:] for times in (daily.sunrise, daily.sunset)]
        yield f"| {' | '.join(cells)} |"


def _at(values: Sequence[Any], number: int) -> Any:
    return values[number] if number < len(values) else None


def _sky(code: int | None) -> str:
    return "unknown" if code is None else _CODES.get(code, f"WMO code {code}")


def _compass(degrees: float) -> str:
    return _COMPASS[round(degrees / 45) % 8]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _with_unit(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    return f"{value:g}{unit}" if unit in ("%", "°C", "°F") else f"{value:g} {unit}".strip()
