"""Fine-tuning tasks: what a task is (base), its families and their tables of data sets, metrics."""
