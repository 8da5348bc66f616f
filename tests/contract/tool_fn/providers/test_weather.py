"""weather and what Open-Meteo answers."""

import json
from typing import Any

import pytest

from tests.contract.tool_fn.providers.tools import ProviderServer, Tools


async def test_the_weather_of_a_place_is_told_with_its_days(online: Tools, server: ProviderServer) -> None:
    text = await online.call("weather", place="Berlin", days=2)
    lines = text.splitlines()
    assert lines[0] == "Berlin, State of Berlin, Germany (52.52, 13.41), local time Europe/Berlin"
    assert lines[1].startswith("Now: ")
    assert "°C (feels like" in lines[1]
    assert lines[3] == "| day | weather | low °C | high °C | rain mm | chance % | wind km/h | sunrise | sunset |"
    assert [line[:14] for line in lines[5:]] == ["| 2026-07-01 |", "| 2026-07-02 |"]
    places, forecast = (asked["path"] for asked in await server.asked())
    assert places == "/v1/search?name=Berlin&count=100&language=en&format=json"
    assert forecast.startswith("/v1/forecast?latitude=52.5244&longitude=13.4105&current=temperature_2m")
    assert "timezone=auto&forecast_days=2" in forecast


async def test_sixteen_days_are_the_most(online: Tools) -> None:
    text = await online.call("weather", place="Tokyo", days=16)
    assert text.count("| 2026-07-") == 16
    assert "days" in await online.error("weather", place="Tokyo", days=17)


async def test_other_units_are_asked_for_and_told(online: Tools, server: ProviderServer) -> None:
    text = await online.call("weather", place="New York", days=1, units="imperial")
    assert "| low °F | high °F | rain inch | chance % | wind mp/h |" in text
    asked = (await server.asked())[-1]["path"]
    assert "temperature_unit=fahrenheit&wind_speed_unit=mph&precipitation_unit=inch" in asked


async def test_the_best_known_place_of_a_name_is_taken_and_the_others_told(online: Tools) -> None:
    text = await online.call("weather", place="Paris", days=1)
    assert text.startswith("Paris, Île-de-France, France")
    assert "There are other places of this name: Paris, Texas, United States." in text


@pytest.mark.parametrize("place", ["Paris, Texas", "paris, tx, United States", "Paris,US", "Springfield, Illinois, US"])
async def test_a_state_or_country_narrows_it_down(place: str, online: Tools) -> None:
    if "tx" in place:
        assert "Known are: Paris, Île-de-France, France; Paris, Texas" in await online.error("weather", place=place)
        return
    text = await online.call("weather", place=place, days=1)
    assert text.split(" (")[0] in ("Paris, Texas, United States", "Springfield, Illinois, United States")
    assert "other places" not in text


async def test_a_place_that_does_not_exist_is_said(online: Tools) -> None:
    assert "There is no place 'Atlantis'" in await online.error("weather", place="Atlantis")


async def test_coordinates_need_no_place(online: Tools, server: ProviderServer) -> None:
    text = await online.call("weather", latitude=-33.9, longitude=151.2, days=1)
    assert "Australia/Sydney" in text
    assert len(await server.asked()) == 1


@pytest.mark.parametrize("arguments", [{}, {"place": " , "}, {"latitude": 1.0}, {"latitude": 91, "longitude": 0}])
async def test_half_a_place_is_none(arguments: dict[str, Any], online: Tools, server: ProviderServer) -> None:
    await online.error("weather", **arguments)
    assert await server.asked() == []


async def test_values_that_are_missing_are_left_out(online: Tools, server: ProviderServer) -> None:
    forecast = {
        "timezone": "GMT",
        "current": {"time": "2026-07-01T12:00", "interval": 900, "temperature_2m": 3, "weather_code": 42},
        "current_units": {"temperature_2m": "°C"},
        "daily": {"time": ["2026-07-01"], "weather_code": [None], "temperature_2m_max": [None]},
    }
    await server.fault(path="/v1/forecast", status=200, body=json.dumps(forecast))
    text = await online.call("weather", latitude=0, longitude=0)
    assert "Now: WMO code 42 at 2026-07-01 12:00, 3°C (feels like unknown)" in text
    assert text.endswith("| 2026-07-01 | unknown |  |  |  |  |  |  |  |")


@pytest.mark.parametrize(
    ("path", "status", "body", "says"),
    [
        ("/v1/search", 400, '{"error": true, "reason": "Parameter name is missing"}', "Parameter name is missing"),
        ("/v1/forecast", 400, '{"reason": "Latitude must be in range", "error": true}', "It says: Latitude must be"),
        ("/v1/forecast", 429, '{"error": true, "reason": "Minutely API request limit exceeded."}', "limit exceeded"),
        ("/v1/forecast", 502, "<html>", "fails at the moment (HTTP 502)"),
        ("/v1/forecast", 200, '{"current": []}', "not understood"),
        ("/v1/search", 200, "", "not JSON"),
    ],
)
async def test_what_goes_wrong_at_open_meteo_is_a_sentence(
    path: str, status: int, body: str, says: str, online: Tools, server: ProviderServer
) -> None:
    await server.fault(path=path, status=status, body=body)
    assert says in await online.error("weather", place="Berlin")
