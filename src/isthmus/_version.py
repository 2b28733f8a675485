"""The version of isthmus."""

__version__ = "0.3.0"
