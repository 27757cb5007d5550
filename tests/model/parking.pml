/*
 * parking.pxd, for queue.pml: idle workers, and the gates of who waits for room or for quiet.
 *
 * Workers are alike, and so are producers, so the model counts them: n[W3] workers stand at step W3. With
 * FINE a step is one sequentially consistent operation on a word that others read without a lock (searching,
 * idlers.count, a gate's count, queueing, the closed bit, ring), with what only its own thread can see.
 * Without FINE each of these is one step too: W2 (its looks and the unlisting), F2 (its look and P2 to P4),
 * P2 to P4, wake_all. Memory is sequentially consistent here, as those words are in the code.
 *
 * What is one step with FINE without being one operation, and why it may be:
 * - P2, P3 and the looks under Idlers.lock: the section repeats the first two, so each decides what the
 *   section would have decided at that moment. Likewise a gate's count and its list.
 * - W1, under the lock: who looks at searching, or waits for the lock, cannot tell its two words' times.
 * - A token is given with the unlisting and the counting: its owner alone sees it, and to see it late is to
 *   be slow. So who is unlisted stands at LOOK again, and whatever it found in W2 it parks, is woken, looks.
 * - A look that reads head and then the head's slot: read with the step before it, a head is as old as it
 *   can be; what a younger one says is allowed besides (..._OLD: head has moved since).
 *
 * Lists are sets: the code wakes the top, or the first; here any, so nothing relies on the order.
 */

#define AT(step) (n[step] != 0)
#define STEP(from, to) n[from]--; n[to]++

byte idle;                      /* idlers.count */
byte searching;
bool idlers_lock;               /* while a worker is unlisted and not yet counted as searching */

byte queueing;
bool quiet;                     /* the gate of who waits until the queue is quiet: somebody is listed */

inline unlist_one() {
    idlers_lock = true;
    idle--;
    if
    :: AT(W2) -> n[W2]--
#ifdef FINE
    :: AT(W2_OLD) -> n[W2_OLD]--
    :: AT(W2_CLOSED) -> n[W2_CLOSED]--
    :: AT(W2_DRAINED) -> n[W2_DRAINED]--
    :: AT(W2_FOUND) -> n[W2_FOUND]--
#endif
#ifdef WAITS
    :: AT(QUIET) -> n[QUIET]--
    :: AT(QUIET_OLD) -> n[QUIET_OLD]--
    :: AT(TELL_QUIET) -> n[TELL_QUIET]--
#endif
    :: AT(W3) -> n[W3]--
    fi
}

inline count_one() {
    searching++;
    n[LOOK]++;
    idlers_lock = false
}

/* The guards of P2 to P4: nobody is to be woken, or somebody. */
#define NOBODY (searching != 0 || idle == 0)
#define SOMEBODY (searching == 0 && idle != 0 && !idlers_lock)

inline job_put() {              /* P2 to P4 */
    if
    :: NOBODY
#ifdef FINE
    :: atomic { SOMEBODY -> unlist_one() };
        atomic { count_one() }
#else
    :: atomic { SOMEBODY -> unlist_one(); count_one() }
#endif
    fi
}

inline wake_all() {
    do
    :: atomic { !idlers_lock && idle == 0 -> break }
#ifdef FINE
    :: atomic { !idlers_lock && idle != 0 -> unlist_one() };
        atomic { count_one() };
#else
    :: atomic { idle != 0 -> unlist_one(); count_one() };
#endif
    od
}

/*
 * Producers, each with one of the model's jobs at a time. In the line for room (room.pxd) what one remembers
 * is part of its step: not woken yet, woken once, in vain (counted in queueing), late (its deadline has
 * passed, one last try), late and in vain. LISTED steps, whose turn it is, turn into their UNLISTED ones when
 * one is woken; asleep, it goes on. To publish and to leave the line are one step: to be unlisted between
 * them is the same as before them. BEHIND is listed where it is not one's turn.
 *
 * Who is woken while somebody has the turn is that one, who is the first; else any of those that sleep. Not
 * here: the main thread, which leaves the line now and then, and workers, which are all woken to look again.
 */
#define FREE 40
#define P1 41
#define P2 42
#define P2_COUNT 43
#define ENTER 44                /* + what it remembers, 0 to 4 */
#define LISTED 49               /* about to try */
#define UNLISTED 54
#define PUBLISH 59              /* + 1 if counted in queueing; listed */
#define PUBLISH_UNLISTED 61
#define PASS_ON 63              /* has put; took a token that it does not need */
#define VAIN 65                 /* listed, not yet counted in queueing */
#define VAIN_UNLISTED 66
#define SLEEP 67
#define SLEEP_IN_VAIN 68
#define TURN 69                 /* has put, and is still counted in queueing */
#define LEFT 70                 /* has put: is there more room? */
#define LEFT_ROOM 71
#define REFUSED 72              /* + 1 if counted in queueing: took a token that it does not need */
#define REFUSED_TURN 74
#define REFUSED_LEFT 75
#define REFUSED_ROOM 76
#define BEHIND 77               /* + 1 if counted in queueing: about to look whether it is closed */
#define BEHIND_UNLISTED 79
#define STEPS 81

byte woken;                     /* on the way, to look */

#define HAS_TURN \
    (n[LISTED] + n[LISTED + 1] + n[LISTED + 2] + n[LISTED + 3] + n[LISTED + 4] + n[PUBLISH] + n[PUBLISH + 1] + n[VAIN])
#define NOBODY_WAITS (HAS_TURN + n[SLEEP] + n[SLEEP_IN_VAIN] + n[BEHIND] + n[BEHIND + 1] == 0)

inline unlist_waiter() {
    woken++;
    if
    :: AT(LISTED) -> STEP(LISTED, UNLISTED)
    :: AT(LISTED + 1) -> STEP(LISTED + 1, UNLISTED + 1)
    :: AT(LISTED + 2) -> STEP(LISTED + 2, UNLISTED + 2)
    :: AT(LISTED + 3) -> STEP(LISTED + 3, UNLISTED + 3)
    :: AT(LISTED + 4) -> STEP(LISTED + 4, UNLISTED + 4)
    :: AT(PUBLISH) -> STEP(PUBLISH, PUBLISH_UNLISTED)
    :: AT(PUBLISH + 1) -> STEP(PUBLISH + 1, PUBLISH_UNLISTED + 1)
    :: AT(VAIN) -> STEP(VAIN, VAIN_UNLISTED)
    :: !HAS_TURN && AT(BEHIND) -> STEP(BEHIND, BEHIND_UNLISTED)
    :: !HAS_TURN && AT(BEHIND + 1) -> STEP(BEHIND + 1, BEHIND_UNLISTED + 1)
    :: !HAS_TURN && AT(SLEEP) -> STEP(SLEEP, ENTER + 1)
    :: !HAS_TURN && AT(SLEEP_IN_VAIN) -> STEP(SLEEP_IN_VAIN, ENTER + 2)
    fi
}

inline wake_room() {            /* room_made */
    if
    :: woken == 0 && !NOBODY_WAITS -> unlist_waiter()
    :: woken != 0 || NOBODY_WAITS
    fi
}

inline wake_room_all() {        /* room_wake_all */
    atomic {
        do
        :: NOBODY_WAITS -> break
        :: !NOBODY_WAITS -> unlist_waiter()
        od
    }
}

#ifdef BUG_WAITER_KEEPS_TOKEN
#define TAKE_TOKEN
#else
#define TAKE_TOKEN ; woken--
#endif

/* One try in the line, remembering k; v: counted in queueing. IS_CLOSED, IS_FULL, CLAIM are the model's own. */
#define TRIES(k, v, asleep) \
    :: atomic { AT(LISTED + k) && IS_CLOSED -> STEP(LISTED + k, OUT(v)) } \
    :: atomic { AT(LISTED + k) && !IS_CLOSED && IS_FULL -> STEP(LISTED + k, asleep) } \
    :: atomic { AT(LISTED + k) && !IS_CLOSED && !IS_FULL -> STEP(LISTED + k, PUBLISH + v); CLAIM } \
    :: atomic { AT(UNLISTED + k) && IS_CLOSED -> STEP(UNLISTED + k, REFUSED + v) } \
    :: atomic { AT(UNLISTED + k) && !IS_CLOSED && IS_FULL -> STEP(UNLISTED + k, WOKEN(k, v)) } \
    :: atomic { AT(UNLISTED + k) && !IS_CLOSED && !IS_FULL -> STEP(UNLISTED + k, PUBLISH_UNLISTED + v); CLAIM }
#define OUT(v) (v -> REFUSED_TURN : REFUSED_LEFT)
#define WOKEN(k, v) (k == 0 -> ENTER + 1 : (k == 1 -> VAIN_UNLISTED : (k == 2 -> ENTER + 2 : REFUSED + v)))
#define STANDS_BEHIND(v, asleep) \
    :: atomic { AT(BEHIND + v) && IS_CLOSED -> STEP(BEHIND + v, OUT(v)) } \
    :: atomic { AT(BEHIND + v) && !IS_CLOSED -> STEP(BEHIND + v, asleep) } \
    :: atomic { AT(BEHIND_UNLISTED + v) && IS_CLOSED -> STEP(BEHIND_UNLISTED + v, REFUSED + v) } \
    :: atomic { AT(BEHIND_UNLISTED + v) && !IS_CLOSED -> STEP(BEHIND_UNLISTED + v, ENTER + 1 + v) }
#ifdef BUG_LEAVES_ROOM
#define IS_ROOM false
#else
#define IS_ROOM (!IS_FULL)
#endif

/* Who was woken was the first, and is again. Late, it may have been anywhere. */
#define WAITS_FOR_ROOM \
    :: atomic { AT(ENTER) && NOBODY_WAITS && woken == 0 -> STEP(ENTER, LISTED) } \
    :: atomic { AT(ENTER) && !(NOBODY_WAITS && woken == 0) -> STEP(ENTER, BEHIND) } \
    :: atomic { AT(ENTER + 1) -> woken--; STEP(ENTER + 1, (woken -> BEHIND : LISTED + 1)) } \
    :: atomic { AT(ENTER + 2) -> woken--; STEP(ENTER + 2, (woken -> BEHIND + 1 : LISTED + 2)) } \
    :: atomic { AT(ENTER + 3) && woken == 0 && !HAS_TURN -> STEP(ENTER + 3, LISTED + 3) } \
    :: atomic { AT(ENTER + 4) && woken == 0 && !HAS_TURN -> STEP(ENTER + 4, LISTED + 4) } \
    :: atomic { AT(ENTER + 3) -> STEP(ENTER + 3, REFUSED_LEFT) } \
    :: atomic { AT(ENTER + 4) -> STEP(ENTER + 4, REFUSED_TURN) } \
    TRIES(0, 0, SLEEP) \
    TRIES(1, 0, VAIN) \
    TRIES(2, 1, SLEEP_IN_VAIN) \
    TRIES(3, 0, REFUSED_LEFT) \
    TRIES(4, 1, REFUSED_TURN) \
    STANDS_BEHIND(0, SLEEP) \
    STANDS_BEHIND(1, SLEEP_IN_VAIN) \
    :: atomic { AT(VAIN) -> STEP(VAIN, SLEEP_IN_VAIN); queueing++ } \
    :: atomic { AT(VAIN_UNLISTED) -> STEP(VAIN_UNLISTED, ENTER + 2); queueing++ } \
    :: atomic { AT(PUBLISH) -> STEP(PUBLISH, LEFT); PUBLISH_ANY } \
    :: atomic { AT(PUBLISH + 1) -> STEP(PUBLISH + 1, TURN); PUBLISH_ANY } \
    :: atomic { AT(PUBLISH_UNLISTED) -> STEP(PUBLISH_UNLISTED, PASS_ON); PUBLISH_ANY } \
    :: atomic { AT(PUBLISH_UNLISTED + 1) -> STEP(PUBLISH_UNLISTED + 1, PASS_ON + 1); PUBLISH_ANY } \
    :: atomic { AT(PASS_ON) -> STEP(PASS_ON, LEFT) TAKE_TOKEN } \
    :: atomic { AT(PASS_ON + 1) -> STEP(PASS_ON + 1, TURN) TAKE_TOKEN } \
    :: atomic { AT(TURN) -> STEP(TURN, LEFT); queueing-- } \
    :: atomic { AT(LEFT) && IS_ROOM -> STEP(LEFT, LEFT_ROOM) } \
    :: atomic { AT(LEFT) && !IS_ROOM -> STEP(LEFT, P2) } \
    :: atomic { AT(LEFT_ROOM) -> STEP(LEFT_ROOM, P2); wake_room() } \
    :: atomic { AT(REFUSED) -> STEP(REFUSED, REFUSED_LEFT) TAKE_TOKEN } \
    :: atomic { AT(REFUSED + 1) -> STEP(REFUSED + 1, REFUSED_TURN) TAKE_TOKEN } \
    :: atomic { AT(REFUSED_TURN) -> STEP(REFUSED_TURN, REFUSED_LEFT); queueing-- } \
    :: atomic { AT(REFUSED_LEFT) && IS_ROOM -> STEP(REFUSED_LEFT, REFUSED_ROOM) } \
    :: atomic { AT(REFUSED_LEFT) && !IS_ROOM -> STEP(REFUSED_LEFT, FREE) } \
    :: atomic { AT(REFUSED_ROOM) -> STEP(REFUSED_ROOM, FREE); wake_room() }

bool gives_up = true;

/* Its deadline passes, a signal handler raises, or it is withdrawn when it has just been woken;
   one of them, so that the others are not helped by deadlines of their own. */
#define GIVES_UP \
    :: atomic { gives_up && AT(SLEEP) -> gives_up = false; STEP(SLEEP, ENTER + 3) } \
    :: atomic { gives_up && AT(SLEEP_IN_VAIN) -> gives_up = false; STEP(SLEEP_IN_VAIN, ENTER + 4) } \
    :: atomic { gives_up && AT(SLEEP) -> gives_up = false; STEP(SLEEP, REFUSED_LEFT) } \
    :: atomic { gives_up && AT(SLEEP_IN_VAIN) -> gives_up = false; STEP(SLEEP_IN_VAIN, REFUSED_TURN) } \
    :: atomic { gives_up && AT(ENTER + 1) -> gives_up = false; STEP(ENTER + 1, REFUSED) } \
    :: atomic { gives_up && AT(ENTER + 2) -> gives_up = false; STEP(ENTER + 2, REFUSED + 1) }
