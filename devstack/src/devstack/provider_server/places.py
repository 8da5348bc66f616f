"""The places, and a weather that depends on nothing but the place and the day."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Place:
    """A town. warmth: the mean temperature in °C; swing: how much warmer its summer is. hours: of its clock to UTC."""

    id: int
    name: str
    latitude: float
    longitude: float
    country: str
    country_code: str
    admin1: str
    timezone: str
    hours: float
    population: int
    warmth: float
    swing: float


# In the order of the fields.
_TABLE = """
2950159 | Berlin | 52.52437 | 13.41053 | Germany | DE | State of Berlin | Europe/Berlin | 1 | 3426354 | 10 | 10
2988507 | Paris | 48.85341 | 2.3488 | France | FR | Île-de-France | Europe/Paris | 1 | 2138551 | 12 | 8
4717560 | Paris | 33.66094 | -95.55551 | United States | US | Texas | America/Chicago | -6 | 24782 | 18 | 11
2643743 | London | 51.50853 | -0.12574 | United Kingdom | GB | England | Europe/London | 0 | 8961989 | 11 | 7
5128581 | New York | 40.71427 | -74.00597 | United States | US | New York | America/New_York | -5 | 8804190 | 13 | 12
1850147 | Tokyo | 35.6895 | 139.69171 | Japan | JP | Tokyo | Asia/Tokyo | 9 | 9733276 | 16 | 11
2147714 | Sydney | -33.86785 | 151.20732 | Australia | AU | New South Wales | Australia/Sydney | 11 | 4627345 | 18 | -5
360630 | Cairo | 30.06263 | 31.24967 | Egypt | EG | Cairo Governorate | Africa/Cairo | 2 | 9606916 | 22 | 8
184745 | Nairobi | -1.28333 | 36.81667 | Kenya | KE | Nairobi County | Africa/Nairobi | 3 | 2750547 | 19 | -1
3413829 | Reykjavik | 64.13548 | -21.89541 | Iceland | IS | Capital Region | Atlantic/Reykjavik | 0 | 118918 | 5 | 6
4250542 | Springfield | 39.80172 | -89.64371 | United States | US | Illinois | America/Chicago | -6 | 116565 | 12 | 13
4409896 | Springfield | 37.21533 | -93.29824 | United States | US | Missouri | America/Chicago | -6 | 166810 | 14 | 12
"""


def _place(row: str) -> Place:
    number, name, latitude, longitude, country, code, admin1, zone, hours, people, warmth, swing = row.split(" | ")
    return Place(
        int(number), name, float(latitude), float(longitude), country, code, admin1, zone, float(hours), int(people),
        float(warmth), float(swing),
    )  # fmt: skip


PLACES = tuple(map(_place, _TABLE.strip().splitlines()))


@dataclass(frozen=True, slots=True)
class Day:
    """One day's weather: °C, mm, %, km/h, hours of the local clock."""

    date: date
    code: int
    low: float
    high: float
    rain: float
    chance: int
    wind: float
    direction: int
    humidity: int
    clouds: int
    sunrise: float
    sunset: float


def named(name: str) -> list[Place]:
    """Places whose name begins so (just that name below three letters), the largest first."""
    wanted = name.strip().casefold()
    fitting = [
        place
        for place in PLACES
        if place.name.casefold() == wanted or (len(wanted) >= 3 and place.name.casefold().startswith(wanted))
    ]
    return sorted(fitting, key=lambda place: -place.population)


def nearest(latitude: float, longitude: float) -> Place:
    """The place whose weather stands for these coordinates."""

    def distance(place: Place) -> float:
        around = (place.longitude - longitude + 180) % 360 - 180
        return (place.latitude - latitude) ** 2 + (around * math.cos(math.radians(latitude))) ** 2

    return min(PLACES, key=distance)


def weather(place: Place, day: date) -> Day:
    """The same for the same place and day, always."""
    chance = hashlib.sha256(f"{place.id} {day}".encode()).digest()
    season = math.cos((day.timetuple().tm_yday - 200) / 365 * 2 * math.pi)
    middle = place.warmth + place.swing * season + (chance[0] - 128) / 40
    spread = 3 + chance[1] / 64
    rain = round(max(chance[2] - 150, 0) / 8, 1)
    clouds = min(100, 30 * (rain > 0) + chance[3] * 100 // 255)
    # The length of the day, from the latitude and the sun's height over the equator.
    tilt = math.radians(-23.44 * math.cos((day.timetuple().tm_yday + 10) / 365 * 2 * math.pi))
    half = math.degrees(math.acos(max(-1, min(1, -math.tan(math.radians(place.latitude)) * math.tan(tilt))))) / 15
    noon = 12 - place.longitude / 15 + place.hours
    return Day(
        date=day,
        code=_code(rain, clouds, middle),
        low=round(middle - spread, 1),
        high=round(middle + spread, 1),
        rain=rain,
        chance=min(100, int(rain * 12) + chance[4] // 16),
        wind=round(5 + chance[5] / 8, 1),
        direction=chance[6] * 359 // 255,
        humidity=45 + chance[7] * 50 // 255,
        clouds=clouds,
        sunrise=noon - half,
        sunset=noon + half,
    )


def _code(rain: float, clouds: int, temperature: float) -> int:
    """The WMO code that fits."""
    if rain > 0:
        wet = (71, 73, 75) if temperature < 0 else (61, 63, 65)
        return wet[0 if rain < 2.5 else 1 if rain < 7.5 else 2]
    return 0 if clouds < 15 else 1 if clouds < 35 else 2 if clouds < 70 else 3


def days_from(place: Place, first: date, count: int) -> list[Day]:
    """The weather of so many days."""
    return [weather(place, first + timedelta(days=number)) for number in range(count)]
