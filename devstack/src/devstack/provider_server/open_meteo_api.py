"""Open-Meteo's geocoding and forecast."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from aiohttp import web

from devstack.provider_server.places import Day, Place, days_from, named, nearest
from devstack.provider_server.state import STATE, json_response

_CURRENT = {
    "temperature_2m", "relative_humidity_2m", "apparent_temperature", "is_day", "precipitation", "rain",
    "weather_code", "cloud_cover", "wind_speed_10m", "wind_direction_10m", "wind_gusts_10m",
}  # fmt: skip
_DAILY = {
    "weather_code", "temperature_2m_max", "temperature_2m_min", "precipitation_sum", "precipitation_probability_max",
    "wind_speed_10m_max", "sunrise", "sunset",
}  # fmt: skip
_FACTORS = {"kmh": 1.0, "ms": 1 / 3.6, "mph": 0.621371, "kn": 0.539957}
_WIND = {"kmh": "km/h", "ms": "m/s", "mph": "mp/h", "kn": "kn"}


def add_routes(router: web.UrlDispatcher) -> None:
    """Register these endpoints."""
    router.add_get("/v1/search", _search)
    router.add_get("/v1/forecast", _forecast)


class _WrongError(ValueError):
    """A parameter that the service refuses; the text is its reason."""


async def _search(request: web.Request) -> web.Response:
    name = request.query.get("name")
    if name is None:
        return _refusal("Parameter 'name' is missing")
    found = [_shown(place) for place in named(name) if _fits(place, request.query.get("countryCode", ""))]
    count = int(request.query.get("count", "10"))
    # Without a place there is no list at all.
    return json_response({**({"results": found[:count]} if found else {}), "generationtime_ms": 0.1})


def _fits(place: Place, country_code: str) -> bool:
    return country_code.upper() in ("", place.country_code)


def _shown(place: Place) -> dict[str, Any]:
    shown = asdict(place)
    for inner in ("hours", "warmth", "swing"):
        del shown[inner]
    return {**shown, "elevation": 30.0, "feature_code": "PPL", "country_id": place.id + 1, "admin1_id": place.id + 2}


async def _forecast(request: web.Request) -> web.Response:
    try:
        return json_response(_answer(request))
    except _WrongError as error:
        return _refusal(str(error))


def _answer(request: web.Request) -> dict[str, Any]:
    query = request.query
    latitude, longitude = _number(query, "latitude", 90), _number(query, "longitude", 180)
    try:
        count = int(query.get("forecast_days", "7"))
    except ValueError:
        raise _WrongError("Parameter 'forecast_days' is not a number") from None
    if not 0 <= count <= 16:
        raise _WrongError(f"Forecast days is invalid. Allowed range 0 to 16. Given {count}.")
    current = _variables(query.get("current", ""), _CURRENT)
    daily = _variables(query.get("daily", ""), _DAILY)
    if daily and "timezone" not in query:
        raise _WrongError("Timezone is required")
    units = _units(query)
    place = nearest(latitude, longitude)
    now = datetime.now(UTC).astimezone(timezone(timedelta(hours=place.hours)))
    today = request.app[STATE].today or now.date()
    days = days_from(place, today, max(count, 1))
    answer: dict[str, Any] = {
        "latitude": round(latitude, 2),
        "longitude": round(longitude, 2),
        "generationtime_ms": 0.1,
        "utc_offset_seconds": int(place.hours * 3600),
        "timezone": place.timezone,
        "timezone_abbreviation": f"GMT{place.hours:+g}",
        "elevation": 30.0,
    }
    if current:
        values = _now(days[0], today, units)
        answer["current_units"] = {"time": "iso8601", "interval": "seconds", **_names(current, units)}
        answer["current"] = {
            "time": f"{today}T12:00", "interval": 900, **{name: values[name] for name in current}
        }  # fmt: skip
    if daily:
        rows = [_day(day, units) for day in days[:count]]
        answer["daily_units"] = {"time": "iso8601", **_names(daily, units)}
        answer["daily"] = {
            "time": [str(day.date) for day in days[:count]],
            **{name: [row[name] for row in rows] for name in daily},
        }
    return answer


def _number(query: Any, name: str, limit: float) -> float:
    try:
        value = float(query[name])
    except KeyError:
        raise _WrongError(f"Parameter '{name}' and its partner must have the same number of elements") from None
    except ValueError:
        raise _WrongError(f"Parameter '{name}' is not a number") from None
    if not -limit <= value <= limit:
        raise _WrongError(f"{name.capitalize()} must be in range of -{limit:g} to {limit:g}°. Given: {value}.")
    return value


def _variables(text: str, known: set[str]) -> list[str]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            raise _WrongError(f"Cannot initialize variable from invalid String value {name} for key current or daily")
    return names


def _units(query: Any) -> tuple[str, str, str]:
    units = (
        query.get("temperature_unit", "celsius"),
        query.get("wind_speed_unit", "kmh"),
        query.get("precipitation_unit", "mm"),
    )
    for unit, known in zip(units, (("celsius", "fahrenheit"), _FACTORS, ("mm", "inch")), strict=True):
        if unit not in known:
            raise _WrongError(f"Cannot initialize unit from invalid String value {unit}")
    return units


def _names(variables: list[str], units: tuple[str, str, str]) -> dict[str, str]:
    def unit(name: str) -> str:
        if "temperature" in name:
            return "°F" if units[0] == "fahrenheit" else "°C"
        if name.startswith("wind_direction"):
            return "°"
        if name.startswith("wind"):
            return _WIND[units[1]]
        if name in ("precipitation", "rain", "precipitation_sum"):
            return units[2]
        return "wmo code" if name == "weather_code" else "iso8601" if name.startswith("sun") else "%"

    return {name: "" if name == "is_day" else unit(name) for name in variables}


def _now(day: Day, today: date, units: tuple[str, str, str]) -> dict[str, float]:
    temperature = (day.low + 2 * day.high) / 3
    return {
        "temperature_2m": _temperature(temperature, units[0]),
        "apparent_temperature": _temperature(temperature - day.wind / 10, units[0]),
        "relative_humidity_2m": day.humidity,
        "is_day": 1,
        "precipitation": _length(day.rain / 10, units[2]),
        "rain": _length(day.rain / 10, units[2]),
        "weather_code": day.code,
        "cloud_cover": day.clouds,
        "wind_speed_10m": round(day.wind * 0.7 * _FACTORS[units[1]], 1),
        "wind_direction_10m": day.direction,
        "wind_gusts_10m": round(day.wind * 1.4 * _FACTORS[units[1]], 1),
    }


def _day(day: Day, units: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "weather_code": day.code,
        "temperature_2m_max": _temperature(day.high, units[0]),
        "temperature_2m_min": _temperature(day.low, units[0]),
        "precipitation_sum": _length(day.rain, units[2]),
        "precipitation_probability_max": day.chance,
        "wind_speed_10m_max": round(day.wind * _FACTORS[units[1]], 1),
        "sunrise": f"{day.date}T{_clock(day.sunrise)}",
        "sunset": f"{day.date}T{_clock(day.sunset)}",
    }


def _temperature(celsius: float, unit: str) -> float:
    return round(celsius * 1.8 + 32 if unit == "fahrenheit" else celsius, 1)


def _length(millimetres: float, unit: str) -> float:
    return round(millimetres / 25.4, 3) if unit == "inch" else round(millimetres, 2)


def _clock(hours: float) -> str:
    minutes = round(hours * 60) % (24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _refusal(reason: str) -> web.Response:
    return json_response({"error": True, "reason": reason}, 400)
