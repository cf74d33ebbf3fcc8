"""Resampling: bagging, boosting, ensembles and the bias–variance decomposition."""
