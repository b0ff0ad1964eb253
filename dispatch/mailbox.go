package dispatch

import (
	"context"
	"sync"

	"forebay/capacity"
)

// mailbox holds the actions of one call until it takes them. A call has at most a few
// under way, and usually its first action is there before it looks.
type mailbox struct {
	mu    sync.Mutex
	list  []capacity.Action
	first [1]capacity.Action
	wake  chan struct{}
}

func (m *mailbox) put(a capacity.Action) {
	m.mu.Lock()
	if m.list == nil {
		m.list = m.first[:0]
	}
	m.list = append(m.list, a)
	wake := m.wake
	m.wake = nil
	m.mu.Unlock()
	if wake != nil {
		close(wake)
	}
}

func (m *mailbox) take() (a capacity.Action, ok bool, wake <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.list) > 0 {
		a = m.list[0]
		m.list = m.list[:copy(m.list, m.list[1:])]
		return a, true, nil
	}
	if m.wake == nil {
		m.wake = make(chan struct{})
	}
	return a, false, m.wake
}

// get waits for the next action, or for the end of ctx.
func (m *mailbox) get(ctx context.Context) (capacity.Action, error) {
	for {
		a, ok, wake := m.take()
		if ok {
			return a, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return a, context.Cause(ctx)
		}
	}
}
