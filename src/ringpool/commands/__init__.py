"""What ``python -m ringpool`` can do, one module a command."""
