"""Verdicts: from runs to words: intervals, comparisons, ranking, sensitivity, time to target and generalization."""
