// What Cython cannot say: words that are atomic only where threads really run
// at once, cache-line layout, and a sleeping place.  No algorithm, no Python.h.
//
// RINGPOOL_SHARED is 1 where several threads may be inside the core at the same
// time (free-threaded builds, the stress module) and 0 where the GIL already
// orders them; then a Word is a plain variable and a Mutex is nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <new>
#include <thread>
#include <vector>
#if defined(__linux__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <cerrno>
#include <ctime>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif

#ifndef RINGPOOL_SHARED
#ifdef Py_GIL_DISABLED
#define RINGPOOL_SHARED 1
#else
#define RINGPOOL_SHARED 0
#endif
#endif

namespace ringpool {

// Two 64-byte lines: x86 prefetches pairs, Apple's lines are this long.
constexpr std::size_t LINE = 128;

// One shared variable.  `load`, `store` and the read-modify-writes are
// sequentially consistent; the weaker ones carry their order in their name.
#if RINGPOOL_SHARED
template <class T> class Word {
    std::atomic<T> value{};
public:
    T relaxed() const noexcept { return value.load(std::memory_order_relaxed); }
    T acquire() const noexcept { return value.load(std::memory_order_acquire); }
    T load() const noexcept { return value.load(); }
    void set(T x) noexcept { value.store(x, std::memory_order_relaxed); }
    void release(T x) noexcept { value.store(x, std::memory_order_release); }
    void store(T x) noexcept { value.store(x); }
    T exchange(T x) noexcept { return value.exchange(x); }
    T add(T x) noexcept { return value.fetch_add(x); }
    T sub(T x) noexcept { return value.fetch_sub(x); }
    T set_bits(T x) noexcept { return value.fetch_or(x); }
    bool cas(T &expected, T x) noexcept { return value.compare_exchange_strong(expected, x); }
};
using Mutex = std::mutex;
inline void relax() noexcept { std::this_thread::yield(); }
#else
template <class T> class Word {
    T value{};
public:
    T relaxed() const noexcept { return value; }
    T acquire() const noexcept { return value; }
    T load() const noexcept { return value; }
    void set(T x) noexcept { value = x; }
    void release(T x) noexcept { value = x; }
    void store(T x) noexcept { value = x; }
    T exchange(T x) noexcept { T old = value; value = x; return old; }
    T add(T x) noexcept { T old = value; value = old + x; return old; }
    T sub(T x) noexcept { T old = value; value = old - x; return old; }
    T set_bits(T x) noexcept { T old = value; value = old | x; return old; }
    bool cas(T &expected, T x) noexcept {
        if (value == expected) { value = x; return true; }
        expected = value;
        return false;
    }
};
struct Mutex {
    void lock() noexcept {}
    void unlock() noexcept {}
    bool try_lock() noexcept { return true; }
};
inline void relax() noexcept {}
#endif

// A counter that one thread moves and any thread reads: no locked instruction.
class Tally {
    Word<std::uint64_t> value;
public:
    void bump() noexcept { value.release(value.relaxed() + 1); }
    std::uint64_t read() const noexcept { return value.acquire(); }
};

inline std::int64_t now_ns() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::steady_clock::now().time_since_epoch()).count();
}

// ---- sleeping ------------------------------------------------------------

// Whoever gives a token has the GIL for about this long yet, until it waits for
// something itself.  Who has looked out for the token lets it, rather than ask
// for the GIL at once, which would mean to sleep after all.
constexpr std::int64_t HOLDS_GIL_NS = RINGPOOL_SHARED ? 0 : 300;

// How long a thread that is about to sleep looks out for its token first, and
// how many threads may do so at a time: half of the processors, none where
// there is only one.  RINGPOOL_SPIN_US, which worker.pyx has checked, sets the
// time; 0: never.
struct Spinning;
inline Spinning &spinning() noexcept;

struct Spinning {
    std::int64_t limit_ns = 20'000;     // about what a sleep and a wake-up cost
    int processors = 1;
    int at_most = 0;
    std::atomic<int> now{0};
    Spinning() noexcept {
        const char *said = std::getenv("RINGPOOL_SPIN_US");
        if (said != nullptr) limit_ns = std::int64_t(std::strtoul(said, nullptr, 10)) * 1000;
#if defined(__linux__)
        cpu_set_t mine;
        if (sched_getaffinity(0, sizeof mine, &mine) == 0) processors = CPU_COUNT(&mine);
#else
        processors = int(std::thread::hardware_concurrency());
#endif
        at_most = limit_ns == 0 ? 0 : processors / 2;
#if !defined(_WIN32)
        pthread_atfork(nullptr, nullptr, [] { spinning().now = 0; });   // a child has none of the threads that did
#endif
    }
};
inline Spinning &spinning() noexcept {
    static Spinning one;
    return one;
}
inline void pause_briefly() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");
#else
    std::this_thread::yield();
#endif
}

// Whether looking out pays for one thread: its last waits were short, and
// looking out did not fail lately.  (It fails where the thread that is waited
// for needs the very processor: then each failure doubles the number of waits
// until the next attempt.)  Its owner alone touches it.
class Patience {
    std::int64_t average_ns = 320'000;  // of the last waits; a constant, since this lives in a thread_local
    std::uint32_t pause = 0;            // waits until the next attempt
    std::uint32_t failures = 0;
public:
    bool pays() noexcept {
        if (average_ns >= spinning().limit_ns) return false;
        if (pause == 0) return true;
        --pause;
        return false;
    }
    void looked_out(bool in_vain) noexcept {
        failures = !in_vain ? 0 : failures < 5 ? failures + 1 : failures;
        pause = (std::uint32_t(1) << failures) - 1;
    }
    void waited(std::int64_t ns) noexcept {
        std::int64_t most = 16 * spinning().limit_ns;
        average_ns += ((ns < most ? ns : most) - average_ns) / 4;
    }
};

// Where one thread sleeps until another gives it the token.  A token given
// before the sleep is kept, so giving and sleeping may race.  Real on every
// build: its owner sleeps without the GIL.
class Parker {
    enum : std::uint32_t { NOTHING, TOKEN, ASLEEP };
    std::atomic<std::uint32_t> state{NOTHING};
#if !defined(__linux__)
    std::mutex mutex;
    std::condition_variable wakened;
#endif

    bool take() noexcept {
        std::uint32_t seen = TOKEN;
        if (!state.compare_exchange_strong(seen, NOTHING)) return false;
#if !defined(__linux__)
        // Whoever gave it may still be in here, and the owner may destroy it now.
        std::lock_guard<std::mutex> hold(mutex);
#endif
        return true;
    }
    void look_out(std::int64_t until, Patience &patience) noexcept {
        if (spinning().now.fetch_add(1, std::memory_order_relaxed) < spinning().at_most) {
            bool there = false, late = false;
            for (int i = 1; !there && !late; ++i) {
                pause_briefly();
                there = state.load(std::memory_order_relaxed) == TOKEN;
                if (i % 16 == 0) late = now_ns() >= until;
            }
            patience.looked_out(!there);
            if (there && HOLDS_GIL_NS)
                for (std::int64_t free = now_ns() + HOLDS_GIL_NS; now_ns() < free;) pause_briefly();
        }
        spinning().now.fetch_sub(1, std::memory_order_relaxed);
    }
    // While ASLEEP.  May return for no reason; false: `deadline` has passed.
    bool sleep(std::int64_t deadline) noexcept;
    void wake() noexcept;
public:
    // False: `deadline` (now_ns; negative: none) passed first, and the token was not taken.
    // patience: NULL: sleep at once.
    bool park_until(std::int64_t deadline, Patience *patience) noexcept {
        if (take()) return true;
        std::int64_t begin = now_ns();
        if (patience && patience->pays()) look_out(begin + spinning().limit_ns, *patience);
        while (!take()) {
            std::uint32_t nothing = NOTHING, asleep = ASLEEP;
            bool in_time = true;
            state.compare_exchange_strong(nothing, ASLEEP);
            while (in_time && state.load() == ASLEEP) in_time = sleep(deadline);
            if (!in_time && state.compare_exchange_strong(asleep, NOTHING)) return false;
        }
        if (patience) patience->waited(now_ns() - begin);
        return true;
    }
    void park(Patience *patience) noexcept { park_until(-1, patience); }
    void unpark() noexcept {
#if !defined(__linux__)
        std::lock_guard<std::mutex> hold(mutex);
#endif
        if (state.exchange(TOKEN) == ASLEEP) wake();
    }
};

#if defined(__linux__)
// The futex of a Parker that is gone may be woken: that is a spurious wake-up
// for whoever has the address now, which every sleeper allows for.
inline bool Parker::sleep(std::int64_t deadline) noexcept {
    timespec until{}, *limit = nullptr;
    if (deadline >= 0) {
        until.tv_sec = deadline / 1'000'000'000;
        until.tv_nsec = deadline % 1'000'000'000;
        limit = &until;
    }
    long failed = syscall(SYS_futex, &state, FUTEX_WAIT_BITSET_PRIVATE, ASLEEP, limit, nullptr, FUTEX_BITSET_MATCH_ANY);
    return failed == 0 || errno != ETIMEDOUT;
}
inline void Parker::wake() noexcept { syscall(SYS_futex, &state, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }
#else
inline bool Parker::sleep(std::int64_t deadline) noexcept {
    std::unique_lock<std::mutex> hold(mutex);
    if (state.load() != ASLEEP) return true;
    if (deadline < 0) {
        wakened.wait(hold);
        return true;
    }
    std::int64_t left = deadline - now_ns();
    if (left > 0) wakened.wait_for(hold, std::chrono::nanoseconds(left));
    return now_ns() < deadline;
}
inline void Parker::wake() noexcept { wakened.notify_one(); }
#endif

// ---- ring.pxd ------------------------------------------------------------

constexpr std::uint64_t CLOSED_BIT = std::uint64_t(1) << 63;

struct Slot {
    Word<std::uint64_t> turn;       // whose turn the slot is: 2 * lap, or 2 * lap + 1 when full
    void *item = nullptr;           // owned by the queue while the slot is full
};

struct Ring {
    // producers
    alignas(LINE) Word<std::uint64_t> tail;     // next position to put; bit 63: closed
    Word<std::uint64_t> head_seen;              // a head some producer saw; never ahead of head
    // consumers
    alignas(LINE) Word<std::uint64_t> head;     // next position to take
    // everybody reads, nobody writes
    alignas(LINE) Slot *slots = nullptr;
    std::uint64_t mask = 0;
    unsigned shift = 0;                         // lap = position >> shift
    std::uint64_t limit = 0;                    // jobs the ring takes
    bool bounded = false;                       // false: what does not fit goes to the overflow
    // overflow, in order behind the ring
    alignas(LINE) Mutex lock;
    Word<std::uint64_t> overflowing;            // jobs in it; moved under lock
    std::deque<void *> overflow;
};

inline bool overflow_put(Ring *ring, void *item) noexcept {
    try { ring->overflow.push_back(item); return true; }
    catch (...) { return false; }
}

// Zeroed pages are a valid empty ring (turn 0 = free for lap 0), so a large
// ring costs memory only where jobs have been.
inline Slot *slots_alloc(std::size_t n) noexcept { return static_cast<Slot *>(std::calloc(n, sizeof(Slot))); }
inline void slots_free(Slot *slots) noexcept { std::free(slots); }

// ---- parking.pxd ---------------------------------------------------------

constexpr std::int64_t FOREVER = -1;    // as a deadline: none
constexpr std::int64_t NOW = 0;         // as a deadline: has passed, look once

// A user's thread in a queue of sleepers; lives on that thread's stack.
struct Waiter {
    Parker parker;
    Waiter *next = nullptr;
    bool listed = false;            // under the gate's lock
};

// Threads that wait for one kind of event, first come first woken.
struct Gate {
    Mutex lock;
    Waiter *first = nullptr, *last = nullptr;
    Word<std::uint32_t> count;      // listed waiters; moved under lock, read without
};

// In a forked child: whoever was in there is not here.
inline void gate_begin_anew(Gate *gate) noexcept { new (gate) Gate; }

struct alignas(LINE) Worker {
    Parker parker;
    Patience patience;
    bool answered = false;          // somebody waited for the last job it ran, and may soon submit the next
    Worker *next_idle = nullptr;    // under Idlers::lock
    bool idle = false;              // on the idle list; under Idlers::lock
    unsigned long ident = 0;        // of its thread
    struct _ts *thread = nullptr;   // the interpreter's state of that thread, likewise only used on it
    // written by this worker only
    alignas(LINE) Tally taken;      // jobs it took from the ring and has dealt with, tombstones too
    Tally started, succeeded, failed;
    Word<struct _object *> current; // the job it runs; its stack owns the reference
};

struct Idlers {
    Mutex lock;
    Worker *top = nullptr;          // last in, first woken: hot workers stay hot
    Word<std::uint32_t> count;      // listed workers; moved under lock, read without
    Word<std::uint64_t> woken;      // how many have been, ever; moved under lock
    alignas(LINE) Word<std::uint32_t> searching;    // workers awake without a job
};

// ---- future.pxd ----------------------------------------------------------

using Objects = std::vector<struct _object *>;

// What few futures need, made when one does.
struct Extension {
    Gate gate;                                  // threads in result() and exception()
    Objects callbacks;                          // owned; grows under the future's lock bit until it is done
    struct _object *condition = nullptr;        // threading.Condition, once somebody asked for `_condition`
    struct _object *waiters = nullptr;          // list of the standard library's waiters, likewise
};

// Jobs of an engine that were resolved without a worker taking them from the
// ring first: cancelled, settled by hand, run by somebody who waited for them.
// Such a job stays in the ring as a tombstone until a taker meets it.
struct Unrun {
    Word<std::uint64_t> cancelled, succeeded, failed;
    Word<std::uint64_t> tombstones;
};

inline bool object_put(Objects *objects, struct _object *object) noexcept {
    try { objects->push_back(object); return true; }
    catch (...) { return false; }
}

// ---- batch.pxd -----------------------------------------------------------

// One item of a map, and then its result.
struct Cell {
    struct _object *object = nullptr;   // owned; NULL once the result has been taken
    Word<std::uint32_t> state;
};

constexpr std::uint64_t ENDED_BIT = std::uint64_t(1) << 63;
constexpr std::uint64_t NOBODY = ~std::uint64_t(0);
constexpr int SEGMENTS = 48;

struct Cells {
    // the feeder's
    alignas(LINE) Word<std::uint64_t> fed;      // items that may be claimed; moved by one thread
    // the runners'
    alignas(LINE) Word<std::uint64_t> claimed;  // next item to run; bit 63: ended, nothing more is claimed
    Word<std::uint32_t> unread;                 // nobody will take results any more
    Word<std::uint32_t> runners;                // jobs that are queued or run to take items from here
    // the reader's
    alignas(LINE) Word<std::uint64_t> awaited;  // the item that the reader sleeps for, or NOBODY
    Waiter *reader = nullptr;                   // on the reader's stack; under Core::mapping's lock
    std::uint64_t taken = 0;                    // results handed out; the reader's own
    // everybody reads, the feeder writes: what an item lives in never moves
    alignas(LINE) Cell *segments[SEGMENTS] = {};
    std::uint64_t mask = 0;                     // of the only segment; 0: segments of 64, 128, 256, ...
};

// Zeroed pages are empty cells, so a large segment costs memory only where items have been.
inline Cell *cells_alloc(std::size_t n) noexcept { return static_cast<Cell *>(std::calloc(n, sizeof(Cell))); }
inline void cells_free(Cell *cells) noexcept { std::free(cells); }

inline unsigned log2_of(std::uint64_t n) noexcept {
#if defined(_MSC_VER)
    unsigned long bit;
    _BitScanReverse64(&bit, n);
    return bit;
#else
    return 63 - __builtin_clzll(n);
#endif
}

// ---- engine.pxd ----------------------------------------------------------

// What the workers hold: it outlives the pool object, which the workers must
// not keep alive, until the last of them is gone.
struct Core {
    Ring ring;
    Idlers idlers;
    Gate room;                      // producers that wait for room
    Gate readers;                   // threads that wait for the next finished job
    Gate quiet;                     // threads that wait until nothing is left to do
    Gate mapping;                   // threads that wait for the next result of a map
    Word<std::uint32_t> purges;     // how often everything that had not started was resolved at once
    Word<std::uint32_t> forked;     // this is the parent's core, seen from a child
    Gate hired;                     // producers that wait for the first worker, which another one starts
    Ring finished;                  // futures kept for results(), oldest first
    Word<std::uint64_t> keep;       // how many of them without a reader; 0: none
    Word<std::uint32_t> reading;    // results() was called
    Mutex forgetting;               // held to set `reading`, and while a future is forgotten for want of it
    Word<std::uint64_t> forgotten;  // how many were

    Unrun unrun;
    Word<std::uint64_t> removed;    // jobs taken from the ring by other threads than workers
    Word<std::uint64_t> withdrawn;  // of those, given back unresolved
    Word<std::uint64_t> rejected;   // refused: no room, or closed

    std::uint32_t max_workers = 0;
    Word<std::uint32_t> reserved;   // workers that exist or are being started
    Word<std::uint32_t> started;    // of those, whose thread runs: never more than max_workers
    Word<std::uint32_t> coming;     // producers on their way in while workers may still be hired
    Word<std::uint32_t> gone;       // of those, whose thread has left the core
    Word<std::uint32_t> stuck;      // workers that wait for room in their own queue
    Word<std::uint32_t> spares;     // workers beyond max_workers, for jobs that wait for jobs
    Mutex roster_lock;
    std::vector<Worker *> roster;   // owned; under roster_lock
    struct { std::uint64_t taken = 0, started = 0, succeeded = 0, failed = 0; } retired;    // sums of those erased from it

    Word<std::uint32_t> stop_asked; // running jobs shall end soon
    Word<std::uint32_t> broken;     // an initializer failed
    Mutex inspection;               // held while somebody reads `current` of the workers
    Word<std::uint32_t> inspecting;

    bool copies_context = true;
    struct _typeobject *future_type = nullptr;  // owned
    Word<std::uint32_t> references;             // the pool object and its workers
};

// Is a processor left for a thread that looks out while the workers work?
inline bool has_spare_processor(Core *core) noexcept {
    return core->started.relaxed() - core->idlers.count.relaxed() < std::uint32_t(spinning().processors);
}

// Of a future that is locked and not done: its engine.
inline Core *core_of(Unrun *unrun) noexcept {
    return reinterpret_cast<Core *>(reinterpret_cast<char *>(unrun) - offsetof(Core, unrun));
}

inline bool roster_put(Core *core, Worker *worker) noexcept {
    std::lock_guard<Mutex> hold(core->roster_lock);
    try { core->roster.push_back(worker); return true; }
    catch (...) { return false; }
}

// Ends the worker; what it has counted stays counted.
inline void roster_retire(Core *core, Worker *worker) noexcept {
    std::lock_guard<Mutex> hold(core->roster_lock);
    core->retired.taken += worker->taken.read();
    core->retired.started += worker->started.read();
    core->retired.succeeded += worker->succeeded.read();
    core->retired.failed += worker->failed.read();
    for (auto i = core->roster.begin(); i != core->roster.end(); ++i)
        if (*i == worker) { core->roster.erase(i); break; }
    delete worker;
}

// The worker that the calling thread is, if it is one; borrowed from its stack.
struct Here {
    Core *core = nullptr;
    Worker *worker = nullptr;
    struct _object *main = nullptr;
    Patience patience;              // of the thread itself, in result() and the like
    Core *hiring = nullptr;         // the pool for which a submit of this thread is starting a worker
};
inline Here &this_thread() noexcept {
    static thread_local Here here;
    return here;
}

inline void name_this_thread(const char *name) noexcept {
#if defined(__linux__)
    pthread_setname_np(pthread_self(), name);
#elif defined(__APPLE__)
    pthread_setname_np(name);
#else
    (void)name;
#endif
}

}  // namespace ringpool
