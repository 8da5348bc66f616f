"""The page of the API, as a browser gets it."""

import re

import httpx

from tests.stack import Platform


async def test_the_page_loads_nothing_from_elsewhere(platform: Platform) -> None:
    async with httpx.AsyncClient(base_url=platform.edge.url) as http:
        page = (await http.get("/docs")).text
        sources = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)
        assert len(sources) >= 2
        for source in sources:
            assert source.startswith("/")
            assert (await http.get(source)).status_code == 200
        assert "https://" not in page
        assert (await http.get("/openapi.json")).json()["info"]["title"] == "Dormouse"
