/*
 * The queue with a plan: shelf, hand_out with its inboxes (dispatch "ready"; with SHARED the other one), a job
 * that comes again by put-back and timer, cancel() of it, the timekeeper, stop and stop_now.
 *
 * What Shelf::lock guards is one step, except in hand_out, in come_again and in a put, where words are read
 * or written that others see without it: there shelf_lock is held over the steps. `runnable` is stored in the
 * step that changes what it is made of.
 *
 * Job A may ask for another attempt, once; the other jobs are alike, and wait in `lane`. Who tells (tell_workers)
 * does not wait for it here: it is done in steps of its own, as slowly as it may be, and what is told again
 * before that has begun is told once. So there are orders more than in the code, and wake-ups fewer.
 * With ELASTIC there is one worker too many, or more, from some moment on (resize), and those leave after a job or
 * out of their sleep. Nobody is hired.
 * Not here: room (queue.pml), the ring (planned is set before the first job), keys, lanes, judged jobs.
 * Workers and producers are counted as in parking.pml, and a token is given as there; a section of Idlers.lock is one step.
 * Steps not named in parking.pxd or the README are named after the function they are in.
 */
#ifndef PRODUCERS
#define PRODUCERS 3
#endif
#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef JOBS
#define JOBS 5
#endif

#include "shelf_steps.pml"

mtype = { NOWHERE, LANE, TIMER, TAKEN };                        /* where job A is */
mtype = { PENDING, RUNNING, ENDING, ENDED };                    /* its state; ENDING: pending, and its word locked */
mtype = { NOTHING, LOOP, PICKED, PICKED_A, FOUND, FOUND_A, MISSED, MISSED_A };    /* hand_out, under shelf_lock */

byte n[STEPS];
byte idle, searching;
byte started = WORKERS, most = WORKERS, drained;
bool quiet, clock;              /* a waiter listed in Core::quiet; the timekeeper's token */
bool closed, stop_asked, shut;  /* shut: as shelf_close sets it */

bool shelf_lock;
byte lane;                      /* its jobs without A */
bool runnable;
mtype a = NOWHERE, a_state = PENDING;
bool a_asked, a_ends, a_again, a_begun;
mtype handing = NOTHING;

byte jobs = JOBS - 1;           /* not begun to put, without A */
bool a_to_put = true;
byte direct, resolved;              /* accepted; taken + removed */
bool read_out;                  /* results() has ended */
bool due, keepers = true;

#ifdef TIMEKEEPER
#define ACCEPTED ; direct++
#define SET_CLOCK ; clock = true
#else
#define ACCEPTED
#define SET_CLOCK
#endif
#define UNLOCKED (!shelf_lock)
#define PICKABLE (!shut && (lane != 0 || a == LANE))
#ifdef BUG_TIMER_FORGOTTEN
#define EMPTY (lane == 0 && a != LANE)
#else
#define EMPTY (lane == 0 && a != LANE && a != TIMER)
#endif
#define NOTHING_UNFINISHED (resolved == direct)
#ifdef BUG_DRAINED_STAY
#define SEEN_DRAINED 0
#else
#define SEEN_DRAINED drained
#endif

/* Jobs that wait for each other: none ends beside a job that waits and a worker that runs none. */
#ifdef JOBS_WAIT
#define MAY_END (n[RUN] + n[RUNNING_A] == WORKERS || (jobs == 0 && !a_to_put && n[FREE] == PRODUCERS && EMPTY))
#else
#define MAY_END true
#endif

inline look() {
    runnable = PICKABLE
}

inline unlist(to) {
    idle--; searching++;
    if
    :: AT(W2) -> STEP(W2, to)
    :: AT(W2_CLOSED) -> STEP(W2_CLOSED, to)
#if defined(TIMEKEEPER) || defined(ELASTIC)
    :: AT(QUIET) -> STEP(QUIET, to)
#endif
    :: AT(W3_NOW) -> STEP(W3_NOW, to)
    :: AT(W3) -> STEP(W3, to)
    fi
}

inline wake_all() {
    atomic {
        do
        :: idle != 0 -> unlist(LOOK)
        :: idle == 0 -> break
        od
    }
}

#ifdef BUG_COME_AGAIN_IGNORES_STATE
#define A_WAS_CANCELLED false
#else
#define A_WAS_CANCELLED (a_state != PENDING && a_state != ENDING)
#endif
#ifdef BUG_COME_AGAIN_LOOKS_WITHOUT_LOCK
#define A_UNLOCKED true
#else
#define A_UNLOCKED (a_state != ENDING)
#endif
#ifdef BUG_COME_AGAIN_IGNORES_STOP
#define STOPS false
#else
#define STOPS stop_asked
#endif

#define WAITS (a == TIMER || a == LANE)

inline take_out() {             /* under the lock, if A waits */
    a = NOWHERE; look(); n[TELL] = n[TELL] || runnable
}

proctype Threads() {
    do
    /* ---- producers: shelf_put, then tell ---- */
    :: atomic { AT(FREE) && (jobs != 0 || a_to_put) && UNLOCKED && closed -> jobs = 0; a_to_put = false }
    :: atomic { AT(FREE) && jobs != 0 && UNLOCKED && !closed -> STEP(FREE, ADD); jobs--; shelf_lock = true }
    :: atomic { AT(FREE) && a_to_put && UNLOCKED && !closed -> STEP(FREE, ADD); a_to_put = false; shelf_lock = true; a = TAKEN }
    :: atomic { AT(ADD) ->                                      /* P1 */
            STEP(ADD, COUNT);
            if
            :: a == TAKEN && a_state != RUNNING && !a_begun -> a = LANE; a_begun = true
            :: else -> lane++
            fi;
            look()
        }
    :: atomic { AT(COUNT) -> STEP(COUNT, P2); assert(!read_out) ACCEPTED; shelf_lock = false }
#ifdef BUG_PUT_WITHOUT_TELL
    :: atomic { AT(P2) -> STEP(P2, FREE) }
#else
    :: atomic { AT(P2) -> STEP(P2, FREE); n[TELL] = 1 }
#endif

    /* ---- tell_workers ---- */
#ifdef SHARED
    :: atomic { AT(TELL) -> n[TELL] = 0; n[JOB_PUT] = 1 }
#else
    :: atomic { AT(TELL) && idle == 0 -> n[TELL] = 0; n[JOB_PUT] = 1 }
    :: atomic { AT(TELL) && idle != 0 && UNLOCKED -> n[TELL] = 0; shelf_lock = true; handing = LOOP }   /* hand_out */
    :: atomic { handing == LOOP && (idle == 0 || !PICKABLE) -> handing = NOTHING; shelf_lock = false }
    :: atomic { handing == LOOP && idle != 0 && !shut && lane != 0 -> handing = PICKED; lane--; look() }
    :: atomic { handing == LOOP && idle != 0 && !shut && a == LANE -> handing = PICKED_A; a = TAKEN; look() }
    :: atomic { handing == PICKED && idle != 0 -> handing = FOUND; unlist(UNLISTED) }           /* unlist_for */
    :: atomic { handing == PICKED_A && idle != 0 -> handing = FOUND_A; unlist(UNLISTED) }
    :: atomic { handing == FOUND -> handing = LOOP; STEP(UNLISTED, F1) }        /* inbox, then token */
    :: atomic { handing == FOUND_A -> handing = LOOP; STEP(UNLISTED, F1_A) }
    :: atomic { handing == PICKED && idle == 0 -> handing = MISSED }            /* the last one has woken by itself */
    :: atomic { handing == PICKED_A && idle == 0 -> handing = MISSED_A }
    :: atomic { (handing == MISSED || handing == MISSED_A) ->                   /* put_back */
            if
            :: handing == MISSED -> lane++
            :: else -> a = LANE
            fi;
            look();
            handing = NOTHING; shelf_lock = false;
            n[JOB_PUT] = 1
        }
#endif
    :: atomic { AT(JOB_PUT) && (searching != 0 || idle == 0) -> n[JOB_PUT]-- }                  /* P2, P3 */
    :: atomic { AT(JOB_PUT) && searching == 0 && idle != 0 -> n[JOB_PUT]--; unlist(LOOK) }      /* P4 */

    /* ---- workers ---- */
    :: atomic { AT(NEW) -> STEP(NEW, LOOK); searching++ }
    :: atomic { AT(LOOK) && UNLOCKED && !shut && lane != 0 -> STEP(LOOK, F1); lane--; look() }
    :: atomic { AT(LOOK) && UNLOCKED && !shut && a == LANE -> STEP(LOOK, F1_A); a = TAKEN; look() }
    /* The closed bit is read before: if it is set now, it may not have been then. */
    :: atomic { AT(LOOK) && UNLOCKED && !PICKABLE && closed -> STEP(LOOK, SEEN) }
    :: atomic { AT(LOOK) && UNLOCKED && !PICKABLE -> STEP(LOOK, W1) }

    :: atomic { AT(F1) && searching == 1 -> STEP(F1, F2); searching-- }
    :: atomic { AT(F1) && searching > 1 -> STEP(F1, RUN); searching-- }
    :: atomic { AT(F1_A) && searching == 1 -> STEP(F1_A, F2_A); searching-- }
    :: atomic { AT(F1_A) && searching > 1 -> STEP(F1_A, RUN_A); searching-- }
#ifdef BUG_NO_F2
    :: atomic { AT(F2) -> STEP(F2, RUN) }
    :: atomic { AT(F2_A) -> STEP(F2_A, RUN_A) }
#else
    :: atomic { AT(F2) -> STEP(F2, RUN); n[TELL] = n[TELL] || runnable }
    :: atomic { AT(F2_A) -> STEP(F2_A, RUN_A); n[TELL] = n[TELL] || runnable }
#endif
    :: atomic { AT(RUN) && MAY_END -> STEP(RUN, PUT_DOWN) }
    :: atomic { AT(PUT_DOWN) && UNLOCKED -> STEP(PUT_DOWN, DONE); n[TELL] = n[TELL] || runnable }
#ifdef TIMEKEEPER
    :: atomic { AT(DONE) -> STEP(DONE, AFTER_JOB); resolved++ }
#endif
    :: atomic { AT(NEXT) && UNLOCKED && !shut && lane != 0 -> STEP(NEXT, RUN); lane--; look() }
    :: atomic { AT(NEXT) && UNLOCKED && !shut && a == LANE -> STEP(NEXT, RUN_A); a = TAKEN; look() }
    :: atomic { AT(NEXT) && UNLOCKED -> STEP(NEXT, LOOK); searching++ }         /* found nothing, then or before */

    /* job A: run_planned, come_again */
    :: atomic { AT(RUN_A) && a_state != ENDING ->
            STEP(RUN_A, START_A);
            if
            :: stop_asked && a_state == PENDING -> a_state = ENDED              /* taken before the purge */
            :: else
            fi
        }
    :: atomic { AT(START_A) && a_state == PENDING -> STEP(START_A, RUNNING_A); a_state = RUNNING }
    :: atomic { AT(START_A) && a_state == ENDED -> STEP(START_A, PUT_DOWN); a = NOWHERE }       /* a tombstone */
    :: atomic { AT(RUNNING_A) && MAY_END -> STEP(RUNNING_A, PUT_DOWN); a_state = ENDED; a = NOWHERE }
    :: atomic { AT(RUNNING_A) && !a_again -> STEP(RUNNING_A, AGAIN_PUT_DOWN); a_state = PENDING; a_again = true }
    :: atomic { AT(AGAIN_PUT_DOWN) && UNLOCKED -> STEP(AGAIN_PUT_DOWN, AGAIN_STOP); n[TELL] = n[TELL] || runnable }
    :: atomic { AT(AGAIN_STOP) && UNLOCKED -> STEP(AGAIN_STOP, AGAIN_ASKED); shelf_lock = true; a_ends = STOPS }
    :: atomic { AT(AGAIN_ASKED) -> STEP(AGAIN_ASKED, AGAIN_SET); a_ends = a_ends || a_asked }
    :: atomic { AT(AGAIN_SET) && a_ends ->
            STEP(AGAIN_SET, RESOLVE_A);
            shelf_lock = false; a_ends = false;
            n[TELL] = n[TELL] || runnable
        }
    :: atomic { AT(AGAIN_SET) && !a_ends -> STEP(AGAIN_SET, AGAIN_LOOK); shelf_lock = false; a = TIMER SET_CLOCK }
    :: atomic { AT(AGAIN_SET) && !a_ends ->
            STEP(AGAIN_SET, AGAIN_LOOK);
            shelf_lock = false; a = LANE; look();
            n[TELL] = n[TELL] || runnable
        }
    :: atomic { AT(AGAIN_LOOK) && A_WAS_CANCELLED -> STEP(AGAIN_LOOK, AGAIN_TAKE_OUT) }
    :: atomic { AT(AGAIN_LOOK) && A_UNLOCKED && !A_WAS_CANCELLED -> STEP(AGAIN_LOOK, AFTER_JOB) }
    :: atomic { AT(AGAIN_TAKE_OUT) && UNLOCKED && WAITS -> STEP(AGAIN_TAKE_OUT, DONE); take_out() }
    :: atomic { AT(AGAIN_TAKE_OUT) && UNLOCKED && !WAITS -> STEP(AGAIN_TAKE_OUT, AFTER_JOB) }
    :: atomic { AT(RESOLVE_A) && a_state != ENDING -> STEP(RESOLVE_A, DONE); a_state = ENDED; a = NOWHERE }

#ifdef ELASTIC
    :: atomic { AT(SEAT) && started == 1 -> STEP(SEAT, NEXT) }
    :: atomic { AT(SEAT) && started > 1 -> STEP(SEAT, SEES_2 + started - 2) }
    :: atomic { AT(SEES_2) && 2 > most + SEEN_DRAINED -> STEP(SEES_2, SWAPS_2) }
    :: atomic { AT(SEES_2) && 2 <= most + SEEN_DRAINED -> STEP(SEES_2, NEXT) }
    :: atomic { AT(SEES_3) && 3 > most + SEEN_DRAINED -> STEP(SEES_3, SWAPS_3) }
    :: atomic { AT(SEES_3) && 3 <= most + SEEN_DRAINED -> STEP(SEES_3, NEXT) }
    :: atomic { AT(SWAPS_2) && started == 2 -> STEP(SWAPS_2, LEFT); started--; searching++ }
    :: atomic { AT(SWAPS_2) && started != 2 -> STEP(SWAPS_2, SEAT) }
    :: atomic { AT(SWAPS_3) && started == 3 -> STEP(SWAPS_3, LEFT); started--; searching++ }
    :: atomic { AT(SWAPS_3) && started != 3 -> STEP(SWAPS_3, SEAT) }
#ifdef BUG_LEAVER_WAKES_NOBODY
    :: atomic { AT(LEFT) -> STEP(LEFT, LEAVE) }
#else
    :: atomic { AT(LEFT) && !closed -> STEP(LEFT, LEAVE) }
    :: atomic { AT(LEFT) && UNLOCKED && closed && !EMPTY -> STEP(LEFT, LEAVE) }
    :: atomic { AT(LEFT) && UNLOCKED && closed && EMPTY -> STEP(LEFT, DRAINED) }
#endif
    :: atomic { AT(PARKS) && started > most + SEEN_DRAINED -> STEP(PARKS, W3_NOW) }
    :: atomic { AT(PARKS) && started <= most + SEEN_DRAINED -> STEP(PARKS, W3) }
    :: atomic { AT(W3_NOW) -> STEP(W3_NOW, SEAT); idle-- }      /* that it is searching comes below */
    :: atomic { most == WORKERS -> most = 1; n[TELL] = n[TELL] || runnable }    /* resize; whom it wakes would help */
    :: atomic { AT(SEEN) && UNLOCKED && EMPTY -> STEP(SEEN, COUNTS) }
    :: atomic { AT(COUNTS) -> STEP(COUNTS, COUNTED); drained++ }
#ifdef BUG_COUNTED_WITHOUT_LOOK
    :: atomic { AT(COUNTED) -> STEP(COUNTED, DRAINED) }
#else
    :: atomic { AT(COUNTED) && UNLOCKED && EMPTY -> STEP(COUNTED, DRAINED) }
    :: atomic { AT(COUNTED) && UNLOCKED && !EMPTY -> STEP(COUNTED, LOOK); drained-- }
#endif
#else
    :: atomic { AT(SEEN) && UNLOCKED && EMPTY -> STEP(SEEN, DRAINED) }
#endif
    :: atomic { AT(SEEN) && UNLOCKED && !EMPTY -> STEP(SEEN, W1) }
    :: atomic { AT(W1) -> STEP(W1, W2); idle++; searching-- }
#ifdef BUG_NO_W2
    :: atomic { AT(W2) -> STEP(W2, QUIET) }
#else
    :: atomic { AT(W2) && runnable -> STEP(W2, LOOK); idle--; searching++ }
    :: atomic { AT(W2) && !runnable -> STEP(W2, W2_CLOSED) }
#endif
    :: atomic { AT(W2_CLOSED) && UNLOCKED && closed && EMPTY -> STEP(W2_CLOSED, LOOK); idle--; searching++ }
    :: atomic { AT(W2_CLOSED) && !closed -> STEP(W2_CLOSED, QUIET) }    /* closed may be read before all_taken */
    :: atomic { AT(W2_CLOSED) && UNLOCKED && closed && !EMPTY -> STEP(W2_CLOSED, QUIET) }
#ifdef TIMEKEEPER
    :: atomic { AT(QUIET) ->                                    /* tell_if_quiet */
            STEP(QUIET, W3);
            if
            :: NOTHING_UNFINISHED -> quiet = false; clock = clock || closed
            :: else
            fi
        }
#endif
#ifdef BUG_LAST_WAKES_NOBODY
    :: atomic { AT(DRAINED) -> STEP(DRAINED, LEAVE) }
#else
    :: atomic { AT(DRAINED) ->
            STEP(DRAINED, LEAVE);
            do
            :: idle != 0 -> unlist(LOOK)
            :: idle == 0 -> break
            od
        }
#endif
    :: atomic { AT(LEAVE) -> STEP(LEAVE, GO); searching--; n[TELL] = n[TELL] || (searching == 0 && runnable) }
#ifdef TIMEKEEPER
    :: atomic { AT(GO) ->                                       /* tell_if_quiet, gone, gate_wake_all */
            STEP(GO, GONE);
            clock = clock || NOTHING_UNFINISHED;
            quiet = false
        }
#else
    /* A time has come; not to whom has ended, or it might help a take_out() that is missing. */
    :: atomic { a == TIMER && UNLOCKED && a_state == PENDING -> a = LANE; look(); n[TELL] = 1 }
#endif

    :: atomic {
            n[GONE] == WORKERS && n[FREE] == PRODUCERS && jobs == 0 && !a_to_put &&
            !AT(TELL) && !AT(JOB_PUT) && handing == NOTHING -> break
        }
    od
}

#ifdef TIMEKEEPER
proctype Timekeeper() {
    bool seen_closed;

again:
    seen_closed = closed;
    atomic {                                                    /* _make_due */
        UNLOCKED ->
        if
        :: a == TIMER -> a = LANE; look(); n[TELL] = 1
        :: a == TIMER -> due = true                             /* not yet, but it knows when */
        :: a != TIMER
        fi
    };
    if
    :: atomic { seen_closed && NOTHING_UNFINISHED -> goto leave }
    :: else
    fi;
    if
    :: atomic { clock -> clock = false; due = false; goto again }
    :: atomic { due -> due = false; goto again }
    fi;
leave:
    atomic { due = false; keepers = false };
    if
    :: atomic { UNLOCKED && a == TIMER -> keepers = true; goto again }
    :: atomic { UNLOCKED && a != TIMER }
    fi;
    quiet = false                                               /* gate_wake_all */
}
#endif

#ifdef CANCEL
active proctype Canceller() {
    if
    :: atomic { a_state == PENDING -> a_state = ENDING };
        if
        :: atomic { UNLOCKED && WAITS -> take_out() };
        a_state = ENDED;
#ifdef TIMEKEEPER
            resolved++;                                         /* has_left */
#endif
#ifndef BUG_LETS_NOBODY_GO
            if                                                  /* let_go_if_drained */
            :: atomic { UNLOCKED && closed && EMPTY -> skip };
                wake_all()
            :: atomic { UNLOCKED && !(closed && EMPTY) -> skip }
            fi;
#endif
#ifdef TIMEKEEPER
            atomic {                                            /* tell_if_quiet */
                if
                :: NOTHING_UNFINISHED -> quiet = false; clock = clock || closed
                :: else
                fi
            }
#else
            skip
#endif
        :: atomic { UNLOCKED && !WAITS -> skip };
        a_state = ENDED
        fi
    :: atomic { a_state == RUNNING -> a_asked = true }
    :: true
    fi
}
#endif

#ifdef RESULTS
active proctype Reader() {      /* results(): ends when it has seen the closed bit and then nothing unfinished */
    closed;
#ifdef BUG_LOOKS_WITHOUT_LOCK
    atomic { NOTHING_UNFINISHED -> read_out = true }
#else
    atomic { UNLOCKED && NOTHING_UNFINISHED -> read_out = true }        /* `unfinished` takes the lock once */
#endif
}
#endif

init {
    atomic {
        n[NEW] = WORKERS;
        n[FREE] = PRODUCERS;
#ifdef TIMEKEEPER
        run Timekeeper();
#endif
#ifndef RETRY
        a_again = true;
#endif
        run Threads()
    };
#ifdef STOP_LAST
    jobs == 0 && !a_to_put && n[FREE] == PRODUCERS;
#endif
Close:
    closed = true;
    wake_all();
#ifdef TIMEKEEPER
    clock = true;
#endif
#ifdef STOP_NOW
    stop_asked = true;
    atomic { UNLOCKED -> shut = true; look() };                 /* shelf_close */
    do                                                          /* resolve_queued */
    :: atomic { UNLOCKED && lane != 0 -> lane-- };
        resolved++
    :: atomic { UNLOCKED && (a == LANE || a == TIMER) -> a = NOWHERE };
        atomic { a_state != ENDING -> a_state = ENDED };
        resolved++
    :: atomic { UNLOCKED && EMPTY -> break }
    od;
    wake_all();
#ifdef TIMEKEEPER
    if
    :: atomic { NOTHING_UNFINISHED -> clock = true }            /* tell_if_quiet */
    :: else
    fi;
#endif
#endif
#ifdef TIMEKEEPER
    do                                                          /* _wait_until_quiet */
    :: atomic { NOTHING_UNFINISHED && n[GONE] == WORKERS && !keepers -> break }
    :: else ->
        quiet = true;
        if
        :: atomic { NOTHING_UNFINISHED && n[GONE] == WORKERS && !keepers -> quiet = false; break }
        :: else
        fi;
        !quiet
    od;
#else
    n[GONE] == WORKERS;
#endif
    assert(EMPTY && a != TAKEN)                                 /* accepted is resolved */
}
