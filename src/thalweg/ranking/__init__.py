"""Runs made elsewhere: a table of them is read, its columns are named, and its candidates are ranked."""
