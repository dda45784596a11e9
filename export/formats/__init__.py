"""The formats that an endpoint is written in."""
