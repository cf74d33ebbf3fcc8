"""Plans: what a study trains: factors and their levels, settings, seeds, folds and budget."""
