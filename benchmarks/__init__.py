"""Processes that benchmark.py starts, also in other Pythons; a server under load."""
