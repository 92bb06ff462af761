"""Hypothesis' few compiled functions in Python, because its wheels hold none that were compiled for Pyodide."""

from importlib.metadata import version

__version__ = version("hypothesis")
