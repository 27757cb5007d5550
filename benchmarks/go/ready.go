package main

import "sync"

// ready is the second design: a worker without work offers its inbox, and a dispatcher puts the next job into it.
type ready struct {
	input chan Job
	idle  chan chan Job
	out   chan result
}

func newReady(workers int) queue {
	q := &ready{input: make(chan Job, capacity), idle: make(chan chan Job, workers), out: make(chan result, capacity)}
	var running sync.WaitGroup
	running.Add(workers)
	for i := 0; i < workers; i++ {
		go func() {
			defer running.Done()
			q.work()
		}()
	}
	go func() {
		q.dispatch(workers)
		running.Wait()
		close(q.out)
	}()
	return q
}

func (q *ready) dispatch(workers int) {
	for job := range q.input {
		inbox := <-q.idle
		inbox <- job
	}
	for i := 0; i < workers; i++ {
		close(<-q.idle)
	}
}

func (q *ready) work() {
	inbox := make(chan Job)
	q.idle <- inbox
	for job := range inbox {
		q.out <- result{job.Run()}
		q.idle <- inbox
	}
}

func (q *ready) submit(job Job)         { q.input <- job }
func (q *ready) results() <-chan result { return q.out }
func (q *ready) close()                 { close(q.input) }
