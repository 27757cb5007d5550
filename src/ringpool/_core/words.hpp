// Words that are atomic only where threads really run at once.  No Python.h.
//
// RINGPOOL_SHARED is 1 where several threads may be inside the core at the same
// time (free-threaded builds, the stress module) and 0 where the GIL already
// orders them; then a Word is a plain variable and a Mutex is nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#if defined(__linux__)
#include <ctime>
#endif

#ifndef RINGPOOL_SHARED
#ifdef Py_GIL_DISABLED
#define RINGPOOL_SHARED 1
#else
#define RINGPOOL_SHARED 0
#endif
#endif

#if RINGPOOL_SCHEDULED
#include "schedule.hpp"
#endif

namespace ringpool {

// Two 64-byte lines: x86 prefetches pairs, Apple's lines are this long.
constexpr std::size_t LINE = 128;

// One shared variable.  `load`, `store` and the read-modify-writes are
// sequentially consistent; the weaker ones carry their order in their name.
#if RINGPOOL_SHARED
#if RINGPOOL_SCHEDULED
inline void point() noexcept { schedule().point(); }
#else
inline void point() noexcept {}     // before each access: where a test may let another thread go on
#endif

template <class T> class Word {
    std::atomic<T> value{};
public:
    T relaxed() const noexcept { point(); return value.load(std::memory_order_relaxed); }
    T acquire() const noexcept { point(); return value.load(std::memory_order_acquire); }
    T load() const noexcept { point(); return value.load(); }
    void set(T x) noexcept { point(); value.store(x, std::memory_order_relaxed); }
    void release(T x) noexcept { point(); value.store(x, std::memory_order_release); }
    void store(T x) noexcept { point(); value.store(x); }
    T exchange(T x) noexcept { point(); return value.exchange(x); }
    T add(T x) noexcept { point(); return value.fetch_add(x); }
    T sub(T x) noexcept { point(); return value.fetch_sub(x); }
    T set_bits(T x) noexcept { point(); return value.fetch_or(x); }
    bool cas(T &expected, T x) noexcept { point(); return value.compare_exchange_strong(expected, x); }
};
#if RINGPOOL_SCHEDULED
using Mutex = ScheduledMutex;
inline void relax() noexcept { schedule().stand_back(); }
#else
using Mutex = std::mutex;
inline void relax() noexcept { std::this_thread::yield(); }
#endif
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
#if RINGPOOL_SCHEDULED
    return schedule().now_ns();
#else
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::steady_clock::now().time_since_epoch()).count();
#endif
}

// The same clock, looked at less closely (some milliseconds) and for less.
inline std::int64_t coarse_now_ns() noexcept {
#if defined(__linux__)
    timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return std::int64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
#else
    return now_ns();
#endif
}

}  // namespace ringpool
