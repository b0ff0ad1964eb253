// Package capacity is the scheduler: it admits, queues, places, refuses and settles calls.
package capacity
