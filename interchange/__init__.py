"""Checkpoints of other codes: names and shapes as tables, reading, writing, proof."""
