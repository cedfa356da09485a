"""The one fine-tuning harness: features, training, scores, predictions, grids, vectors."""
