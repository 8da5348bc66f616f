"""What runs inside of Locust's processes. They are patched by gevent: nothing with asyncio may import from here."""
