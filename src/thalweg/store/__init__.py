"""Stores: the file a study lives in, and the provenance it holds."""
