"""Trained models in service: exports, engines that run them, the predictor."""
