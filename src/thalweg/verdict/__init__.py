"""Verdicts: from runs to words: intervals, comparisons, ranking, sensitivity, time to target and generalization; what a
smaller search would have given, what each factor matters, and which setting is ahead after each epoch."""
