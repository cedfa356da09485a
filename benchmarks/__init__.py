"""Processes that benchmark.py starts, also in other Pythons."""
