"""What benchmark.py starts in other processes and in other Pythons."""
