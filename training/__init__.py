"""What pre-training and fine-tuning share: one training step, devices, checkpoints, input."""
