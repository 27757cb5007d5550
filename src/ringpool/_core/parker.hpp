// A sleeping place: where one thread waits until another gives it the token.
#pragma once

#include <condition_variable>
#include <cstdlib>
#if !defined(_WIN32)
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

#include "words.hpp"

namespace ringpool {

// Whoever gives a token has the GIL for about this long yet, until it waits for
// something itself.  Who has looked out for the token lets it, rather than ask
// for the GIL at once, which would mean to sleep after all (8.8 us for 3 in submit,
// wait, repeat).
constexpr std::int64_t HOLDS_GIL_NS = RINGPOOL_SHARED ? 0 : 300;

// How long a thread that is about to sleep looks out for its token first, and
// how many threads may do so at a time: half of the processors, none where
// there is only one; workers and those who wait for results each, since every
// extension module has a count of its own.  RINGPOOL_SPIN_US, which worker.pyx has checked, sets the
// time; 0: never.  It does not keep its processor to itself for longer than two
// threads that have one each need for a job.
constexpr std::int64_t ALONE_NS = 500;
struct Spinning;
inline Spinning &spinning() noexcept;

struct Spinning {
    // Two sleeps and wake-ups where these are dear, as from one virtual processor to another (5 us on one machine
    // that was measured, 25 on the next): whoever sleeps till then has lost as much again, and no more.
    std::int64_t limit_ns = 50'000;
    int processors = 1;
    int at_most = 0;
    std::atomic<int> now{0};
    std::atomic<std::int64_t> yields_from{0};   // now_ns
    Spinning() noexcept {
        const char *said = std::getenv("RINGPOOL_SPIN_US");
        if (said != nullptr && *said) limit_ns = std::int64_t(std::strtoul(said, nullptr, 10)) * 1000;
#if defined(__linux__)
        cpu_set_t mine;
        if (sched_getaffinity(getpid(), sizeof mine, &mine) == 0) processors = CPU_COUNT(&mine);
#else
        processors = int(std::thread::hardware_concurrency());
#endif
        at_most = limit_ns == 0 ? 0 : processors / 2;
#if !defined(_WIN32)
        pthread_atfork(nullptr, nullptr, [] { spinning().now = 0; });   // a child has none of the threads that did
#endif
    }
    // The thread that is waited for may wait for this very processor (submit, wait, repeat: 1.3 us for 15).  So may one
    // that keeps it for milliseconds: then nobody does this again for 500 times as long, so that it costs no more.
    void give_way(std::int64_t begin) noexcept {
        if (begin < yields_from.load(std::memory_order_relaxed)) return;
        std::this_thread::yield();
        std::int64_t took = now_ns() - begin;
        if (took > 2 * limit_ns) yields_from.store(begin + 500 * took, std::memory_order_relaxed);
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

// Whether looking out pays for one thread: its last waits were short, up to when
// the token was given (not to when it woke), and looking out did not fail lately.  (It fails where the thread that is waited
// for needs the very processor: then each failure doubles the number of waits
// until the next attempt.)  Its owner alone touches it.
class Patience {
    std::int64_t average_ns = 320'000;  // of the last waits; a constant, since this lives in a thread_local
    std::uint32_t pause = 0;            // waits until the next attempt
    std::uint32_t failures = 0;
public:
    std::uint64_t looks = 0, hits = 0;  // how often it looked out, and how often the token came meanwhile
    bool pays() noexcept {
        if (average_ns >= spinning().limit_ns) return false;
        if (pause == 0) return true;
        --pause;
        return false;
    }
    void looked_out(bool in_vain) noexcept {
        ++looks;
        hits += !in_vain;
        failures = !in_vain ? 0 : failures < 5 ? failures + 1 : failures;
        pause = (std::uint32_t(1) << failures) - 1;
    }
    void waited(std::int64_t ns) noexcept {
        std::int64_t most = 16 * spinning().limit_ns;
        average_ns += ((ns < most ? ns : most) - average_ns) / 4;
    }
};

#if RINGPOOL_SCHEDULED
using Parker = ScheduledParker;
#else
// Where one thread sleeps until another gives it the token.  A token given
// before the sleep is kept, so giving and sleeping may race.  Real on every
// build: its owner sleeps without the GIL.
class Parker {
    enum : std::uint32_t { NOTHING, TOKEN, ASLEEP };
    std::atomic<std::uint32_t> state{NOTHING};
    std::atomic<std::int64_t> given{0};     // when, to the owner as it slept; it may miss one
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
    void look_out(std::int64_t begin, Patience &patience) noexcept {
        if (spinning().now.fetch_add(1, std::memory_order_relaxed) < spinning().at_most) {
            bool there = false, late = false;
            for (int i = 1; !there && !late; ++i) {
                pause_briefly();
                there = state.load(std::memory_order_relaxed) == TOKEN;
                if (there || i % 16 != 0) continue;
                std::int64_t now = now_ns();
                late = now >= begin + spinning().limit_ns;
                if (!late && now >= begin + ALONE_NS) spinning().give_way(now);
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
        if (patience && patience->pays()) look_out(begin, *patience);
        while (!take()) {
            std::uint32_t nothing = NOTHING, asleep = ASLEEP;
            bool in_time = true;
            state.compare_exchange_strong(nothing, ASLEEP);
            while (in_time && state.load() == ASLEEP) in_time = sleep(deadline);
            if (!in_time && state.compare_exchange_strong(asleep, NOTHING)) return false;
        }
        if (patience) {
            std::int64_t end = given.load(std::memory_order_relaxed);
            patience->waited((end > begin ? end : now_ns()) - begin);
        }
        return true;
    }
    void park(Patience *patience) noexcept { park_until(-1, patience); }
    // True: it slept.
    bool unpark() noexcept {
#if !defined(__linux__)
        std::lock_guard<std::mutex> hold(mutex);
#endif
        if (state.load(std::memory_order_relaxed) == ASLEEP) given.store(now_ns(), std::memory_order_relaxed);
        bool slept = state.exchange(TOKEN) == ASLEEP;
        if (slept) wake();
        return slept;
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
#endif  // RINGPOOL_SCHEDULED

}  // namespace ringpool
