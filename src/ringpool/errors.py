"""The exceptions of this library; ``concurrent.futures`` has the rest."""


class QueueFull(RuntimeError):
    """The queue had no room; the job was not accepted and will not run."""


class QueueStopped(RuntimeError):
    """The queue was told to stop; the job was not accepted and will not run."""
