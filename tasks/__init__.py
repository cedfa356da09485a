"""Fine-tuning tasks: what a task is (base), four families, their data sets (*_data), metrics."""
