"""What runs inside of Locust's processes, which gevent patches: nothing with asyncio may import it but `settings`."""
