package process

import (
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"strconv"

	"forebay/fault"
)

// The default range is below the one that Linux takes the ports of outgoing connections from (32768 to 60999).
const (
	defaultFirst = 20000
	defaultLast  = 32767
)

// ports gives out ports. The Launcher's mutex guards it.
type ports struct {
	first, n int
	next     int
	taken    map[int]io.Closer // what reserves it
}

func newPorts(first, last int) *ports {
	first, last = cmp.Or(first, defaultFirst), cmp.Or(last, defaultLast)
	n := max(1, last-first+1)
	return &ports{first: first, n: n, next: rand.IntN(n), taken: map[int]io.Closer{}} //nolint:gosec // where to begin to look
}

// take reserves a port that nothing listens on.
func (p *ports) take() (int, error) {
	for range p.n {
		port := p.first + p.next
		p.next = (p.next + 1) % p.n
		if _, mine := p.taken[port]; mine {
			continue
		}
		held, err := reserve(port)
		if err != nil {
			continue
		}
		if !isFree(port) {
			_ = held.Close()
			continue
		}
		p.taken[port] = held
		return port, nil
	}
	return 0, fault.Newf(fault.Overloaded, "No port between %d and %d is free.", p.first, p.first+p.n-1)
}

// keep reserves the port of an instance that is there already.
func (p *ports) keep(port int) {
	held, err := reserve(port)
	if err != nil {
		held = io.NopCloser(nil) // another launcher has reserved what our instance listens on: it finds it occupied
	}
	p.taken[port] = held
}

func (p *ports) give(port int) {
	if held := p.taken[port]; held != nil {
		_ = held.Close()
	}
	delete(p.taken, port)
}

// isFree tries whether a process could listen on a port, on all addresses or on the loopback's.
func isFree(port int) bool {
	var lc net.ListenConfig
	for _, host := range []string{"0.0.0.0", loopback} {
		ln, err := lc.Listen(context.Background(), "tcp4", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return false
		}
		_ = ln.Close()
	}
	return true
}

const loopback = "127.0.0.1"

func addrOf(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }
