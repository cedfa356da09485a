"""Below everything else: errors, console, commands, platforms, files, workers, TFRecords."""
