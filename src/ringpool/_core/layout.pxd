# Declarations of layout.hpp; what each field means and who moves it stands there.

from cpython.object cimport PyObject, PyTypeObject
from cpython.pystate cimport PyThreadState
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "layout.hpp" namespace "ringpool" nogil:
    cdef cppclass Word[T]:
        T relaxed() noexcept
        T acquire() noexcept
        T load() noexcept
        void set(T) noexcept
        void release(T) noexcept
        void store(T) noexcept
        T exchange(T) noexcept
        T add(T) noexcept
        T sub(T) noexcept
        T set_bits(T) noexcept
        bint cas(T&, T) noexcept

    cdef cppclass Mutex:
        void lock() noexcept
        void unlock() noexcept
        bint try_lock() noexcept

    cdef cppclass Tally:
        void bump() noexcept
        uint64_t read() noexcept

    cdef cppclass Patience:
        pass

    cdef cppclass Parker:
        void park(Patience*) noexcept
        bint park_until(int64_t deadline, Patience*) noexcept
        void unpark() noexcept

    cdef cppclass Overflow "std::deque<void *>":
        void* front() noexcept
        size_t size() noexcept
        void*& operator[](size_t) noexcept
        void pop_front() noexcept

    cdef cppclass Slot:
        Word[uint64_t] turn
        void* item

    cdef cppclass Ring:
        Word[uint64_t] tail
        Word[uint64_t] head_seen
        Word[uint64_t] head
        Slot* slots
        uint64_t mask
        unsigned int shift
        uint64_t limit
        bint bounded
        Mutex lock
        Word[uint64_t] overflowing
        Overflow overflow

    cdef cppclass Waiter:
        Parker parker
        Waiter* next
        bint listed

    cdef cppclass Gate:
        Mutex lock
        Waiter* first
        Waiter* last
        Word[uint32_t] count

    cdef cppclass Worker:
        Parker parker
        Patience patience
        bint answered
        Worker* next_idle
        bint idle
        unsigned long ident
        PyThreadState* thread
        Tally taken
        Tally started
        Tally succeeded
        Tally failed
        Word[PyObject*] current

    cdef cppclass Idlers:
        Mutex lock
        Worker* top
        Word[uint32_t] count
        Word[uint64_t] woken
        Word[uint32_t] searching

    cdef cppclass Objects:
        size_t size() noexcept
        PyObject*& operator[](size_t) noexcept
        void swap(Objects&) noexcept

    cdef cppclass Extension:
        Gate gate
        Objects callbacks
        PyObject* condition
        PyObject* waiters

    cdef cppclass Unrun:
        Word[uint64_t] cancelled
        Word[uint64_t] succeeded
        Word[uint64_t] failed
        Word[uint64_t] tombstones

    cdef cppclass Cell:
        PyObject* object
        Word[uint32_t] state

    cdef cppclass Cells:
        Word[uint64_t] fed
        Word[uint64_t] claimed
        Word[uint32_t] unread
        Word[uint32_t] runners
        Word[uint64_t] awaited
        Waiter* reader
        uint64_t taken
        Cell** segments
        uint64_t mask

    cdef cppclass Roster "std::vector<ringpool::Worker *>":
        size_t size() noexcept
        Worker*& operator[](size_t) noexcept

    cdef cppclass Retired:
        uint64_t taken
        uint64_t started
        uint64_t succeeded
        uint64_t failed

    cdef cppclass Core:
        Ring ring
        Idlers idlers
        Gate room
        Gate readers
        Gate quiet
        Gate mapping
        Word[uint32_t] purges
        Word[uint32_t] forked
        Gate hired
        Ring finished
        Word[uint64_t] keep
        Word[uint32_t] reading
        Mutex forgetting
        Word[uint64_t] forgotten
        Unrun unrun
        Word[uint64_t] removed
        Word[uint64_t] withdrawn
        Word[uint64_t] rejected
        uint32_t max_workers
        Word[uint32_t] reserved
        Word[uint32_t] started
        Word[uint32_t] coming
        Word[uint32_t] gone
        Word[uint32_t] stuck
        Word[uint32_t] spares
        Mutex roster_lock
        Roster roster
        Retired retired
        Word[uint32_t] stop_asked
        Word[uint32_t] broken
        Mutex inspection
        Word[uint32_t] inspecting
        bint copies_context
        PyTypeObject* future_type
        Word[uint32_t] references

    cdef cppclass Here:
        Core* core
        Worker* worker
        PyObject* main
        Patience patience
        Core* hiring

    void gate_begin_anew(Gate*) noexcept
    bint has_spare_processor(Core*) noexcept
    Core* core_of(Unrun*) noexcept
    bint roster_put(Core*, Worker*) noexcept
    void roster_retire(Core*, Worker*) noexcept
    Here& this_thread() noexcept

    bint object_put(Objects*, PyObject*) noexcept
    Cell* cells_alloc(size_t) noexcept
    void cells_free(Cell*) noexcept
    unsigned int log2_of(uint64_t) noexcept
    const uint64_t ENDED_BIT
    const uint64_t NOBODY
    const int SEGMENTS
    const uint64_t CLOSED_BIT
    const int64_t FOREVER
    const int64_t NOW
    int64_t now_ns() noexcept
    void relax() noexcept
    bint overflow_put(Ring*, void*) noexcept
    Slot* slots_alloc(size_t) noexcept
    void slots_free(Slot*) noexcept
    void name_this_thread(const char*) noexcept
