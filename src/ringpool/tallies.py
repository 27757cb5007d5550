"""Numbers of the counters that a face keeps in the core; see ``_core.plan.count``."""

TIMED_OUT = 0  # attempts that were not done in time
STUCK = 1  # warnings of the watchdog
SPILLED = 2  # jobs that went to the queue given as overflow
CALLER_RAN = 3  # jobs that their submitter ran
RETURNED = 4  # futures returned that carry QueueFull
SHED = 5  # jobs dropped because the wait was too long
RESIZED = 6  # calls of resize
DROPPED_NEWEST = 7  # jobs dropped for want of room as they came
DROPPED_OLDEST = 8  # jobs dropped to make room
