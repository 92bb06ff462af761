"""The gateway in plain Python: no platform import, no clock, no global state."""
