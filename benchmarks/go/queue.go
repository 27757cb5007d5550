package main

// capacity of every buffered channel, as of the WorkerQueue that these are compared with.
const capacity = 1024

// Job is what a worker runs; result is what it makes of one.
type Job interface{ Run() int }

type result struct{ value int }

// noop is the cheapest job there is.
type noop int

func (j noop) Run() int { return int(j) }

// queue runs jobs on workers of its own.
type queue interface {
	submit(Job)
	results() <-chan result
	// close lets the workers finish what was submitted, and end; nobody may submit any more.
	close()
}
