"""The development provider server: what tools ask on the internet, on this machine, with a little made-up data."""
