"""Studies: the façade: compare, resume, rerun, export."""
