/*
 * The queue without a plan: ring, parking (P1 to P4, W1 to W3, F1, F2), blocked producers, wait, close and
 * drain; dispatch "shared".
 *
 * A claim (step 1 of a put) and a take are one step each: ring.pml shows that they may be. A position is
 * hidden between claim and publish; a hand-back follows its take without condition, so a producer that has
 * to wait for it is one that is slow to publish. Each job is put by any of the producers.
 */
#ifndef LIMIT
#define LIMIT 2                 /* with JOBS nobody waits for room */
#endif
#ifndef PRODUCERS
#define PRODUCERS 3
#endif
#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef JOBS
#define JOBS 5
#endif

#define NEW 0                   /* hired, has not looked yet */
#define LOOK 1
#define F1 2
#define F2 3
#define F2_OLD 4
#define F2_TELL 5
#define F2_COUNT 6              /* P4: unlisted one, to be counted */
#define DONE 7
#if LIMIT < JOBS
#define RUN 8
#else
#define RUN DONE                /* nobody to wake */
#endif
#define NEXT 9
#define SEEN 10                 /* nothing found after the closed bit was seen */
#define UNDRAINED 11
#define W1 12
#define W2 13                   /* these are listed: */
#define W2_OLD 14
#define W2_CLOSED 15
#define W2_DRAINED 16
#define W2_FOUND 17
#ifdef WAITS
#define QUIET 18
#else
#define QUIET W3
#endif
#define QUIET_OLD 19
#define TELL_QUIET 20
#define W3 21
#define W2_COUNT 22             /* unlisted itself, to be counted */
#define DRAINED 23
#define DRAINED_COUNT 24
#define LEAVE 25
#define E2 26                   /* F2 of who leaves */
#define E2_OLD 27
#define E2_TELL 28
#define E2_COUNT 29
#define GO 30
#define TELL_GONE 31
#define GONE 32

byte gone;

byte tail, head;
bool closed;                    /* bit 63 of tail */
byte claimed, published;        /* positions, sets */
byte taken;                     /* Worker::taken, all of them: jobs run and settled */
byte jobs = JOBS;               /* that nobody has begun to put */

#define BIT(position) (1 << (position))
/* Jobs that wait for each other: none ends beside a job that waits and a worker that runs none. */
#ifdef JOBS_WAIT
#define MAY_END (n[DONE] == WORKERS || (jobs == 0 && n[FREE] == PRODUCERS && head == tail))
#else
#define MAY_END true
#endif
#define READY (published & BIT(head))
#ifdef BUG_W2_IGNORES_CLOSE
#define FOUND READY
#else
#define FOUND (READY || (closed && head == tail))
#endif

#include "parking.pml"

byte n[STEPS];

inline take() {
    published = published & ~BIT(head);
    head++
#ifdef FINE
    ;
    n[W2_OLD] = n[W2_OLD] + n[W2]; n[W2] = 0;
    n[F2_OLD] = n[F2_OLD] + n[F2]; n[F2] = 0;
    n[E2_OLD] = n[E2_OLD] + n[E2]; n[E2] = 0
#endif
}

inline ran() {
    taken++;
    n[QUIET_OLD] = n[QUIET_OLD] + n[QUIET]; n[QUIET] = 0
}

#define IS_CLOSED closed
#define IS_FULL (tail - head >= LIMIT)
#define CLAIM tail++; claimed = claimed | BIT(tail - 1)
#define PUBLISH_ANY \
    if \
    :: claimed & BIT(0) -> claimed = claimed & ~BIT(0); published = published | BIT(0) \
    :: claimed & BIT(1) -> claimed = claimed & ~BIT(1); published = published | BIT(1) \
    :: claimed & BIT(2) -> claimed = claimed & ~BIT(2); published = published | BIT(2) \
    :: claimed & BIT(3) -> claimed = claimed & ~BIT(3); published = published | BIT(3) \
    :: claimed & BIT(4) -> claimed = claimed & ~BIT(4); published = published | BIT(4) \
    fi

proctype Threads() {
    do
    /* ---- producers ---- */
    :: atomic { AT(FREE) && jobs != 0 && closed -> jobs = 0 }
#ifdef BUG_TELL_BEFORE_PUT
    :: atomic { AT(FREE) && jobs != 0 && !closed && !IS_FULL && NOBODY -> STEP(FREE, P2); jobs-- }
    :: atomic { AT(FREE) && jobs != 0 && !closed && !IS_FULL && SOMEBODY -> STEP(FREE, P2); jobs--; unlist_one(); count_one() }
    :: atomic { AT(P2) && !closed -> STEP(P2, P1); CLAIM }
    :: atomic { AT(P2) && closed -> STEP(P2, FREE) }
    :: atomic { AT(P1) -> STEP(P1, FREE); PUBLISH_ANY }
#else
    :: atomic { AT(FREE) && jobs != 0 && !closed && !IS_FULL && queueing == 0 -> STEP(FREE, P1); jobs--; CLAIM }
    :: atomic { AT(P1) -> STEP(P1, P2); PUBLISH_ANY }
    :: atomic { AT(P2) && NOBODY -> STEP(P2, FREE) }
#ifdef FINE
    :: atomic { AT(P2) && SOMEBODY -> STEP(P2, P2_COUNT); unlist_one() }
    :: atomic { AT(P2_COUNT) -> STEP(P2_COUNT, FREE); count_one() }
#else
    :: atomic { AT(P2) && SOMEBODY -> STEP(P2, FREE); unlist_one(); count_one() }
#endif
#endif
#if LIMIT < JOBS
    :: atomic { AT(FREE) && jobs != 0 && !closed && (IS_FULL || queueing != 0) -> STEP(FREE, ENTER); jobs-- }
#ifdef BUG_TRY_BEFORE_ENTERING
    :: atomic { AT(ENTER) -> STEP(ENTER, SLEEP) }
#endif
    WAITS_FOR_ROOM
#ifdef DEADLINE
    GIVES_UP
#endif
#endif

    /* ---- workers ---- */
    :: atomic { AT(NEW) -> STEP(NEW, LOOK); searching++ }

    :: atomic { AT(LOOK) && READY -> take(); STEP(LOOK, F1) }
    /* The closed bit is read before the queue: if it is set now, it may not have been then. */
    :: atomic { AT(LOOK) && !READY && closed -> STEP(LOOK, SEEN) }
    :: atomic { AT(LOOK) && !READY -> STEP(LOOK, W1) }

#ifdef BUG_NO_F2
    :: atomic { AT(F1) -> STEP(F1, RUN); searching-- }
#elif defined(BUG_F2_BEFORE_F1)
    :: atomic { AT(F1) && READY -> STEP(F1, RUN); searching--; if :: SOMEBODY -> unlist_one(); count_one() :: else fi }
    :: atomic { AT(F1) && !READY -> STEP(F1, F2) }
    :: atomic { AT(F2) -> STEP(F2, RUN); searching-- }
#else
    :: atomic { AT(F1) && searching == 1 -> STEP(F1, F2); searching-- }
    :: atomic { AT(F1) && searching > 1 -> STEP(F1, RUN); searching-- }
#ifdef FINE
    :: atomic { AT(F2) && READY -> STEP(F2, F2_TELL) }
    :: atomic { AT(F2) && !READY -> STEP(F2, RUN) }
    :: atomic { AT(F2_OLD) && READY -> STEP(F2_OLD, F2_TELL) }
    :: atomic { AT(F2_OLD) -> STEP(F2_OLD, RUN) }
    :: atomic { AT(F2_TELL) && NOBODY -> STEP(F2_TELL, RUN) }
    :: atomic { AT(F2_TELL) && SOMEBODY -> STEP(F2_TELL, F2_COUNT); unlist_one() }
    :: atomic { AT(F2_COUNT) -> STEP(F2_COUNT, RUN); count_one() }
#else
    :: atomic { AT(F2) && READY && SOMEBODY -> STEP(F2, RUN); unlist_one(); count_one() }
    :: atomic { AT(F2) && !(READY && SOMEBODY) -> STEP(F2, RUN) }
#endif
#endif

#if LIMIT < JOBS
    :: atomic { AT(RUN) -> STEP(RUN, DONE); wake_room() }
#endif
#ifdef WAITS
    :: atomic { AT(DONE) -> STEP(DONE, NEXT); ran() }
    :: atomic { AT(NEXT) && READY -> take(); STEP(NEXT, RUN) }
    :: atomic { AT(NEXT) -> STEP(NEXT, LOOK); searching++ }     /* found nothing, at that moment or before */
#else
    :: atomic { AT(DONE) && MAY_END && READY -> taken++; take(); STEP(DONE, RUN) }
    :: atomic { AT(DONE) && MAY_END -> taken++; STEP(DONE, LOOK); searching++ }
#endif

#ifdef BUG_LEAVE_ON_EMPTY_LOOK
    :: atomic { AT(SEEN) -> STEP(SEEN, DRAINED) }
#endif
    :: atomic { AT(SEEN) && head == tail -> STEP(SEEN, DRAINED) }
    :: atomic { AT(SEEN) && head != tail -> STEP(SEEN, UNDRAINED) }
    :: atomic { AT(UNDRAINED) && head == tail -> STEP(UNDRAINED, W1) }
    :: atomic { AT(UNDRAINED) && READY -> STEP(UNDRAINED, LOOK) }               /* relax() until then */

#ifdef BUG_NO_W2
    :: atomic { AT(W1) -> STEP(W1, W3); idle++; searching-- }
#elif defined(BUG_LOOK_BEFORE_W1)
    :: atomic { AT(W1) && FOUND -> STEP(W1, LOOK) }
    :: atomic { AT(W1) && !(FOUND) -> STEP(W1, W2_COUNT) }
    :: atomic { AT(W2_COUNT) -> STEP(W2_COUNT, W3); idle++; searching-- }
#else
    :: atomic { AT(W1) && !idlers_lock -> STEP(W1, W2); idle++; searching-- }
#ifndef FINE
    :: atomic { AT(W2) && FOUND -> STEP(W2, LOOK); idle--; searching++ }
    :: atomic { AT(W2) && !(FOUND) -> STEP(W2, QUIET) }
#else
    :: atomic { AT(W2) && READY -> STEP(W2, W2_FOUND) }
    :: atomic { AT(W2) && !READY -> STEP(W2, W2_CLOSED) }
    :: atomic { AT(W2_OLD) && READY -> STEP(W2_OLD, W2_FOUND) }
    :: atomic { AT(W2_OLD) -> STEP(W2_OLD, W2_CLOSED) }
    :: atomic { AT(W2_CLOSED) && closed -> STEP(W2_CLOSED, W2_DRAINED) }
    :: atomic { AT(W2_CLOSED) && !closed -> STEP(W2_CLOSED, QUIET) }
    :: atomic { AT(W2_DRAINED) && head == tail -> STEP(W2_DRAINED, W2_FOUND) }
    :: atomic { AT(W2_DRAINED) && head != tail -> STEP(W2_DRAINED, QUIET) }
    :: atomic { AT(W2_FOUND) && !idlers_lock -> STEP(W2_FOUND, W2_COUNT); idle--; idlers_lock = true }
    :: atomic { AT(W2_COUNT) -> n[W2_COUNT]--; count_one() }
#endif
#endif
    /* tell_if_quiet: what is done was read when QUIET was reached, or since; who is unlisted meanwhile
       leaves it at that, and tells the next time */
#if defined(WAITS) && !defined(BUG_NO_LOOK_AT_QUIET)
    :: atomic { AT(QUIET) && taken == tail -> STEP(QUIET, TELL_QUIET) }
    :: atomic { AT(QUIET) && taken != tail -> STEP(QUIET, W3) }
    :: atomic { AT(QUIET_OLD) && taken == tail -> STEP(QUIET_OLD, TELL_QUIET) }
    :: atomic { AT(QUIET_OLD) -> STEP(QUIET_OLD, W3) }
    :: atomic { AT(TELL_QUIET) -> STEP(TELL_QUIET, W3); quiet = false }
#elif defined(WAITS)
    :: atomic { AT(QUIET) -> STEP(QUIET, W3) }
    :: atomic { AT(QUIET_OLD) -> STEP(QUIET_OLD, W3) }
#endif

#ifdef FINE
    :: atomic { AT(DRAINED) && !idlers_lock && idle == 0 -> STEP(DRAINED, LEAVE) }
    :: atomic { AT(DRAINED) && !idlers_lock && idle != 0 -> STEP(DRAINED, DRAINED_COUNT); unlist_one() }
    :: atomic { AT(DRAINED_COUNT) -> STEP(DRAINED_COUNT, DRAINED); count_one() }
    :: atomic { AT(E2) && READY -> STEP(E2, E2_TELL) }
    :: atomic { AT(E2) && !READY -> STEP(E2, GO) }
    :: atomic { AT(E2_OLD) && READY -> STEP(E2_OLD, E2_TELL) }
    :: atomic { AT(E2_OLD) -> STEP(E2_OLD, GO) }
    :: atomic { AT(E2_TELL) && NOBODY -> STEP(E2_TELL, GO) }
    :: atomic { AT(E2_TELL) && SOMEBODY -> STEP(E2_TELL, E2_COUNT); unlist_one() }
    :: atomic { AT(E2_COUNT) -> STEP(E2_COUNT, GO); count_one() }
#else
    :: atomic { AT(DRAINED) ->
            STEP(DRAINED, LEAVE);
            do
            :: idle != 0 -> unlist_one(); count_one()
            :: else -> break
            od
        }
    :: atomic { AT(E2) && READY && SOMEBODY -> STEP(E2, GO); unlist_one(); count_one() }
    :: atomic { AT(E2) && !(READY && SOMEBODY) -> STEP(E2, GO) }
#endif
    :: atomic { AT(LEAVE) && searching == 1 -> STEP(LEAVE, E2); searching-- }
    :: atomic { AT(LEAVE) && searching > 1 -> STEP(LEAVE, GO); searching-- }
    :: atomic { AT(GO) -> STEP(GO, TELL_GONE); gone++ }
    :: atomic { AT(TELL_GONE) -> STEP(TELL_GONE, GONE); quiet = false }

    :: atomic { n[GONE] == WORKERS && n[FREE] == PRODUCERS && jobs == 0 -> break }
    od
}

/* unfinished() == 0, what is done first: its tallies are read one by one, and the sum lies between what it
   was at the first and what it is at the last. */
inline look_if_quiet(workers_too) {
    at = taken;
    atomic {
        if
        :: is_quiet = at == tail
        :: is_quiet = taken == tail
        fi;
        at = 0
    };
    atomic { is_quiet = is_quiet && (!workers_too || gone == WORKERS) }
}

inline wait_until_quiet(workers_too) {
    do
    ::  look_if_quiet(workers_too);
        if
        :: is_quiet -> break
        :: else
        fi;
        quiet = true;
        look_if_quiet(workers_too);
        if
        :: atomic { is_quiet -> quiet = false; break }
        :: else
        fi;
        !quiet
    od
}

init {
    byte at;
    bool is_quiet;

    atomic {
        n[NEW] = WORKERS;
        n[FREE] = PRODUCERS;
        run Threads()
    };
#ifdef WAITS
    if
    :: wait_until_quiet(false)                                  /* wait(), with nothing closed */
    :: true
    fi;
#endif
#ifdef STOP_LAST
    jobs == 0 && n[FREE] == PRODUCERS;                          /* so no close wakes who waits for room */
#endif
Close:
    closed = true;
#ifndef BUG_CLOSE_WITHOUT_WAKE
    wake_all();
#endif
    wake_room_all();
#ifdef WAITS
    wait_until_quiet(true);
#else
    gone == WORKERS;
#endif
    assert(taken == tail && head == tail && published == 0)     /* accepted is resolved */
}
