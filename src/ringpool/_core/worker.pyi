"""Types of the compiled worker."""

from logging import Logger

INITIALIZER_FAILED: str
logger: Logger
