package server

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// knocks is a listener whose connections come from a channel, with addresses as they say.
type knocks struct {
	net.Listener
	conns chan net.Conn
}

func (k *knocks) Accept() (net.Conn, error) {
	c, ok := <-k.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

type from struct {
	net.Conn
	addr string
}

func (f *from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.addr)) }

// knock opens a connection and returns its client's end.
func (k *knocks) knock(addr string) net.Conn {
	client, server := net.Pipe()
	k.conns <- &from{server, addr}
	return client
}

func TestConnectionsAreBoundedInTotalAndForEachAddress(t *testing.T) {
	k := &knocks{conns: make(chan net.Conn)}
	d := newDoors(4, 2, slog.New(slog.DiscardHandler))
	inside := make(chan net.Conn, 16)
	ended := make(chan error, 1)
	go func() {
		l := d.listen(k, false)
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			inside <- c
		}
	}()
	let := func(addr string) net.Conn {
		t.Helper()
		client := k.knock(addr)
		t.Cleanup(func() { _ = client.Close() })
		return <-inside
	}
	turned := func(addr string) {
		t.Helper()
		client := k.knock(addr)
		b, err := io.ReadAll(client)
		if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 503 ") || !strings.Contains(string(b), "Retry-After: 1") {
			t.Errorf("%s: %q %v", addr, b, err)
		}
	}
	a := let("192.0.2.1:1000")
	let("192.0.2.1:1001")
	turned("192.0.2.1:1002")
	turned("[::ffff:192.0.2.1]:1002") // the same address in the other family
	b := let("[2001:db8::1]:1000")
	let("[2001:db8:0:0:ffff::2]:1000") // another address of the same subscriber
	turned("[2001:db8::3]:1000")
	turned("192.0.2.2:1000") // the total
	if d.Open() != 4 || d.Refused() != 4 {
		t.Errorf("%d open, %d refused", d.Open(), d.Refused())
	}
	_ = a.Close()
	_ = a.Close() // counts once
	_ = b.Close()
	let("192.0.2.1:1003")
	let("192.0.2.2:1000")
	turned("192.0.2.3:1000")
	close(k.conns)
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// Before a TLS handshake there is nothing to say: the connection is closed.
func TestTurnedAwayFromTLSIsClosed(t *testing.T) {
	k := &knocks{conns: make(chan net.Conn)}
	d := newDoors(0, 1, slog.New(slog.DiscardHandler))
	d.by[client(net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:1")))] = 1
	go func() { _, _ = d.listen(k, true).Accept() }()
	if b, err := io.ReadAll(k.knock("192.0.2.1:2")); err != nil || len(b) != 0 {
		t.Errorf("%q %v", b, err)
	}
	close(k.conns)
}

func TestNoBoundLetsEverybodyIn(t *testing.T) {
	d := newDoors(0, 0, slog.New(slog.DiscardHandler))
	who := client(&net.UnixAddr{})
	for range 100 {
		if d.enter(who) != "" {
			t.Fatal("turned away")
		}
	}
	for range 100 {
		d.leave(who)
	}
	if d.Open() != 0 || len(d.by) != 0 {
		t.Errorf("%d open, %v", d.Open(), d.by)
	}
}
