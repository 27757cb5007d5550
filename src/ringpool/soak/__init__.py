"""Random rounds of jobs, each of which is accounted for: for ``python -m ringpool soak``."""
