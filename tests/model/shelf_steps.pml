/*
 * Where the threads of shelf.pml may stand: n[step] of them do. Those from W2 to W3 are listed, and what follows a
 * step depends on what is modelled.
 */

#define NEW 0
#define LOOK 1
#define F1 2
#define F2 3
#define RUN 4
#define PUT_DOWN 5
#define NEXT 7
#ifdef ELASTIC
#define AFTER_JOB SEAT
#else
#define AFTER_JOB NEXT
#endif
#ifdef TIMEKEEPER
#define DONE 6
#else
#define DONE AFTER_JOB          /* nobody looks at what is unfinished */
#endif
#define SEEN 8
#define W1 9
#define W2 10                   /* these are listed: */
#define W2_CLOSED 11
#if defined(TIMEKEEPER)
#define QUIET 13
#elif defined(ELASTIC)
#define QUIET PARKS
#else
#define QUIET W3
#endif
#define W3 14
#define PARKS 47                /* for ever, or, if there is one too many, no time at all */
#define W3_NOW 48
#define TELL_QUIET 15           /* these are not */
#define UNLISTED 16             /* by hand_out, which has yet to fill the inbox */
#define DRAINED 17
#define LEAVE 18
#define GONE 20
#ifdef TIMEKEEPER
#define GO 19
#else
#define GO GONE
#endif
#define F1_A 21                 /* the same with job A */
#define F2_A 22
#define RUN_A 23
#define START_A 24
#define RUNNING_A 25
#define AGAIN_PUT_DOWN 26
#define AGAIN_STOP 27           /* come_again: shelf_lock is held in the next two */
#define AGAIN_ASKED 28
#define AGAIN_SET 29
#define AGAIN_LOOK 30
#define AGAIN_TAKE_OUT 31
#define RESOLVE_A 32
#define FREE 33                 /* producers */
#define ADD 34
#define COUNT 35
#define P2 36
#define TELL 37
#define JOB_PUT 38
#define SEAT 39                 /* leave_seat */
#define SEES_2 40               /* so many started: of three workers */
#define SEES_3 41
#define SWAPS_2 45              /* and drained: that leaves too many */
#define SWAPS_3 46
#define COUNTED 43              /* leave_drained */
#define LEFT 44
#define COUNTS 49
#define STEPS 50

#define AT(step) (n[step] != 0)
#define STEP(from, to) n[from]--; n[to]++
