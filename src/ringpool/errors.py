"""The exceptions of this library; ``concurrent.futures`` has the rest."""


class QueueFull(RuntimeError):
    """The queue had no room; the job was not accepted and will not run."""


class QueueStopped(RuntimeError):
    """The queue was told to stop; the job was not accepted and will not run."""


class JobDropped(RuntimeError):
    """The job was accepted and then dropped, by an overflow policy or by shedding, before it started."""


class JobExpired(RuntimeError):
    """The job did not start in the time that it was good for, and will not run."""


class JobTimeout(TimeoutError):
    """The job was not done in its time. Its function may still be running."""


class DeadlockError(RuntimeError):
    """The wait could never end: the job waits for a job that cannot start, or end, before it ends itself."""
