"""What ringpool is measured by, for ``python -m ringpool bench`` and for benchmarks/."""
