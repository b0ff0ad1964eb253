package server

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// doors counts the open connections of clients over all listeners, and bounds them in total and for
// each client's address, so that nobody takes all of them. It is safe for concurrent use.
type doors struct {
	total, each int // 0 is no bound
	log         *slog.Logger

	mu      sync.Mutex
	open    int
	by      map[netip.Prefix]int
	told    time.Time // when a refusal was last logged
	refused atomic.Int64
}

func newDoors(total, each int, log *slog.Logger) *doors {
	return &doors{total: total, each: each, log: log, by: make(map[netip.Prefix]int)}
}

// Open returns the number of open connections.
func (d *doors) Open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// Refused returns the number of connections that were turned away.
func (d *doors) Refused() int64 { return d.refused.Load() }

// listen returns a listener that lets in no more than the bounds allow. What is turned away gets an
// answer where it can read one, which it cannot before a TLS handshake.
func (d *doors) listen(l net.Listener, secure bool) net.Listener { return &gate{l, d, secure} }

type gate struct {
	net.Listener
	doors  *doors
	secure bool
}

// Accept implements net.Listener.
func (l *gate) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who := client(conn.RemoteAddr())
		if bound := l.doors.enter(who); bound != "" {
			l.turnAway(conn, who, bound)
			continue
		}
		return &guest{Conn: conn, doors: l.doors, who: who}, nil
	}
}

// client is whom a connection is counted for: an IPv4 address, or the /64 network that one
// IPv6 subscriber has; the zero prefix where there is no such address.
func client(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// enter counts a connection, or returns the bound that it would pass.
func (d *doors) enter(who netip.Prefix) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.total > 0 && d.open >= d.total:
		return "server.max_connections"
	case d.each > 0 && who.IsValid() && d.by[who] >= d.each:
		return "server.max_connections_per_address"
	}
	d.open++
	d.by[who]++
	return ""
}

func (d *doors) leave(who netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if d.by[who]--; d.by[who] == 0 {
		delete(d.by, who)
	}
}

// turnedAway is the answer to a connection that was not let in. Its form is HTTP's alone, because
// nothing has been read that would tell the API.
const turnedAway = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n" +
	"Retry-After: 1\r\nX-Forebay-Reason: too many connections are open\r\nContent-Length: 31\r\n\r\ntoo many connections are open\r\n"

// turnAwayTime bounds the writing of the answer, which fits into the buffers of any new connection.
const turnAwayTime = 100 * time.Millisecond

func (l *gate) turnAway(conn net.Conn, who netip.Prefix, bound string) {
	l.doors.refused.Add(1)
	if !l.secure {
		_ = conn.SetWriteDeadline(time.Now().Add(turnAwayTime))
		_, _ = conn.Write([]byte(turnedAway)) // it is turned away whether it reads this or not
	}
	_ = conn.Close()
	l.doors.tell(who, bound)
}

// tell logs refusals, one a minute.
func (d *doors) tell(who netip.Prefix, bound string) {
	d.mu.Lock()
	now := time.Now()
	due := now.Sub(d.told) >= time.Minute
	if due {
		d.told = now
	}
	d.mu.Unlock()
	if due {
		d.log.Warn("connections are turned away", "bound", bound, "client", who.String(), "since_start", d.refused.Load())
	}
}

// guest is a connection that was let in.
type guest struct {
	net.Conn
	doors *doors
	who   netip.Prefix
	once  sync.Once
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.once.Do(func() { g.doors.leave(g.who) })
	return g.Conn.Close()
}

// CloseWrite ends the sending half, as net/http does with a connection that it closes while the
// client may still be sending, so that the answer is not lost.
func (g *guest) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
