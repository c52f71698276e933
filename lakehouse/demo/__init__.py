"""A small web of our own, served on loopback: what `lakehouse demo` crawls."""

from lakehouse.demo.server import DemoWeb

__all__ = ["DemoWeb"]
