"""Pre-training: instances and their masks, records and what describes them, objectives, recipes."""
