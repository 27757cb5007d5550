/*
 * ring.pxd: put, take and close, each load, store and compare-and-swap a step of its own.
 *
 * Claims: what is accepted is taken once, by position in the order in which its producer put it; FULL is
 * said only of a ring that was full; a closed ring that was seen drained gets no position any more.
 * The other models build on them: there a claim, and a take, is one step.
 *
 * Memory is sequentially consistent here. In the code turn's exchange, head, tail and overflowing are; turn's
 * other accesses are acquire and release and carry the item.
 */
#ifndef LIMIT
#define LIMIT 2
#endif
#define SIZE LIMIT              /* a power of two: slots */
#define PRODUCERS 2
#define WORKERS 2
#ifndef JOBS
#define JOBS 4
#endif

byte tail, head;
bool closed;                    /* bit 63 of tail: read and changed with it */
byte turn[SIZE];                /* 2 * lap: free; 2 * lap + 1: full */
byte item[SIZE];

bool ring_lock;
byte overflowing;
#ifdef OVERFLOW
chan overflow = [JOBS] of { byte };
#endif

/* The ledger: what the claims speak of, and no thread reads. */
byte ended;                     /* producers */
byte accepted, taken;           /* sets of jobs */
byte placed[PRODUCERS];         /* of its jobs the next to get a position */
bool left;                      /* a worker has left */

#define OF(p) ((p) == 0 -> 0 : ((p) == 1 -> 2 : JOBS))  /* a producer's first job */
#define OWNER(j) ((j) / 2)
#define SET(j) (1 << (j))

inline got_position(j) {
    assert(tail - head <= LIMIT);                       /* I1 */
    assert(!left);
    assert(placed[OWNER(j)] == j - OF(OWNER(j)));
    placed[OWNER(j)]++
}

inline fill(p, j) {             /* steps 2 and 3 of a put */
#ifndef BUG_FILL_WITHOUT_TURN
    atomic { turn[p % SIZE] == 2 * (p / SIZE) -> item[p % SIZE] = j + 1 };
#else
    item[p % SIZE] = j + 1;
#endif
    turn[p % SIZE] = 2 * (p / SIZE) + 1
}

proctype Producer(byte me) {
    byte job = OF(me), t, h;
    bool was_full;

again:
    if
    :: job == OF(me + 1) || job == JOBS -> goto end
    :: else
    fi;
#ifdef OVERFLOW
    if
    :: overflowing != 0 -> goto behind
    :: else
    fi;
#endif
load:
    atomic {                    /* step 1 of a put */
        if
        :: closed -> goto end
        :: else -> t = tail
        fi
    };
    atomic {
        h = head;
        if
        :: ((t - h) & 255) < LIMIT -> h = 0; goto claim
        :: else -> was_full = tail - h >= LIMIT; h = 0
        fi
    };
    atomic {
#ifndef BUG_FULL_WITHOUT_LOOK
        if
        :: tail != t || closed -> was_full = false; t = 0; goto load
        :: else
        fi;
#endif
        assert(was_full);
        was_full = false; t = 0
    };
#ifdef OVERFLOW
    goto behind;
#else
    atomic { tail - head < LIMIT || closed -> goto again };     /* what the caller does: waits */
#endif
claim:
#ifdef BUG_CLOSE_APART
    atomic {
        if
        :: tail == t -> tail++; got_position(job); accepted = accepted | SET(job)
        :: else -> goto load
        fi
    };
#else
    atomic {
        if
        :: tail == t && !closed -> tail++; got_position(job); accepted = accepted | SET(job)
        :: else -> goto load
        fi
    };
#endif
    fill(t, job);
    atomic { t = 0; job++; goto again };
#ifdef OVERFLOW
behind:
    atomic {
        !ring_lock -> ring_lock = true;
        if
        :: closed -> ring_lock = false; goto end
        :: else
        fi
    };
    atomic { overflow!job; overflowing++; accepted = accepted | SET(job); ring_lock = false; job++; goto again };
#endif
end:
    atomic { ended++; job = 0; t = 0 }
}

proctype Worker() {
    byte h, t, j;
    bool seen_closed;

look:
    seen_closed = closed;
take:
    h = head;
inspect:
    atomic {
        if
        :: turn[h % SIZE] == 2 * (h / SIZE) + 1
        :: else -> goto not_ready
        fi
    };
    atomic {
        if
        :: head == h -> head++
        :: else -> h = head; goto inspect
        fi
    };
#ifdef BUG_HAND_BACK_FIRST
    turn[h % SIZE] = 2 * (h / SIZE + 1);
#endif
    atomic {
        j = item[h % SIZE] - 1;
        assert(accepted & SET(j));
        assert(!(taken & SET(j)));
        taken = taken | SET(j);
        j = 0
    };
#ifndef BUG_HAND_BACK_FIRST
    turn[h % SIZE] = 2 * (h / SIZE + 1);
#endif
    atomic { h = 0; seen_closed = false; goto look };
not_ready:
    atomic {
        if
        :: head != h -> h = head; goto inspect
        :: else -> h = 0
        fi
    };
#ifdef OVERFLOW
    if
    :: overflowing == 0 -> goto nothing
    :: else
    fi;
    /* _refill */
    atomic { !ring_lock -> ring_lock = true };
    do
    :: atomic { overflowing == 0 -> ring_lock = false; break }
    :: atomic { overflowing != 0 -> t = tail };         /* _move_in: past the closed bit */
move:   if
        :: atomic { t - head >= LIMIT -> ring_lock = false; t = 0; break }
        :: else
        fi;
        atomic {
            if
            :: tail == t -> tail++; overflow?<j>; got_position(j)
            :: else -> t = tail; goto move
            fi
        };
        fill(t, j);
        atomic { overflow?_; overflowing--; t = 0; j = 0 }
    od;
    goto take;
nothing:
#endif
    atomic {
        if
        :: seen_closed
        :: else -> closed || overflowing || turn[head % SIZE] == 2 * (head / SIZE) + 1; goto look    /* sleeps */
        fi
    };
#ifndef BUG_LEAVE_ON_EMPTY_LOOK
    atomic {                    /* ring_is_drained: overflowing first */
        if
        :: overflowing != 0 -> seen_closed = false; goto look
        :: else
        fi
    };
    atomic {
        if
        :: tail != head -> seen_closed = false; goto look
        :: else
        fi
    };
#endif
    left = true
}

init {
    byte p;
    atomic {
        for (p : 0 .. PRODUCERS - 1) { run Producer(p) };
        for (p : 0 .. WORKERS - 1) { run Worker() };
        p = 0
    };
    if
    :: ended == PRODUCERS
    :: true
    fi;
    atomic { !ring_lock -> closed = true };             /* ring_close */
    _nr_pr == 1;
    assert(taken == accepted)
}
