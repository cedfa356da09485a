"""Processes that benchmark.py starts, also in other Pythons, measured; a server under load."""
