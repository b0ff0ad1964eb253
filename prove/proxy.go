package prove

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// condition is what a proxy does to the engine behind it.
type condition int32

const (
	healthy condition = iota
	dead              // every connection breaks, new ones too
	hanging           // connections stay open and nothing comes through
	slow              // every piece takes ten times as long as it did since the one before
)

// slowness is how many times longer a slow engine takes.
const slowness = 10

// Proxy stands before an engine and breaks it at will. It passes bytes on and knows nothing of what they mean.
type Proxy struct {
	listener net.Listener
	target   atomic.Pointer[string]
	state    atomic.Int32
	changed  atomic.Pointer[chan struct{}] // closed when the condition changes

	mu    sync.Mutex
	conns map[net.Conn]bool
	wait  sync.WaitGroup
}

// NewProxy listens on a free port of this machine. Close must be called.
func NewProxy(ctx context.Context) (*Proxy, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, conns: map[net.Conn]bool{}}
	c := make(chan struct{})
	p.changed.Store(&c)
	p.wait.Go(p.accept)
	return p, nil
}

// Address is where it listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Forward says where connections go.
func (p *Proxy) Forward(address string) { p.target.Store(&address) }

// set changes the condition. A death ends what is open.
func (p *Proxy) set(c condition) {
	p.state.Store(int32(c))
	next := make(chan struct{})
	close(*p.changed.Swap(&next))
	if c == dead {
		p.breakAll()
	}
}

func (p *Proxy) condition() condition { return condition(p.state.Load()) }

func (p *Proxy) breakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Close ends everything and waits for it.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.set(dead)
	p.wait.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wait.Go(func() { p.serve(c) })
	}
}

// keep notes a connection, so that a death can break it, and says whether it may live.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.condition() == dead {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	_ = c.Close()
}

func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	target := p.target.Load()
	if target == nil || !p.keep(client) {
		return
	}
	var d net.Dialer
	engine, err := d.Dial("tcp", *target)
	if err != nil {
		return
	}
	defer p.drop(engine)
	if !p.keep(engine) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		p.pass(engine, client, false)
		_ = engine.Close()
		_ = client.Close()
	})
	both.Go(func() {
		p.pass(client, engine, true)
		_ = engine.Close()
		_ = client.Close()
	})
	both.Wait()
}

// pass copies one direction, as the condition of the moment lets it. Only answers are slow.
func (p *Proxy) pass(to io.Writer, from io.Reader, answers bool) {
	buf := make([]byte, 32<<10)
	last := time.Now()
	for {
		n, err := from.Read(buf)
		took := time.Since(last)
		if n > 0 {
			if !answers {
				took = 0
			}
			if !p.delay(took) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		last = time.Now()
		if err != nil {
			return
		}
	}
}

// longest bounds what a slow engine adds to one piece: a connection that was idle is not slow for that.
const longest = 2 * time.Second

// delay holds a piece back, and returns false when the connection is to break.
func (p *Proxy) delay(took time.Duration) bool {
	for {
		changed := *p.changed.Load()
		switch p.condition() {
		case dead:
			return false
		case hanging:
			<-changed
			continue
		case slow:
			select {
			case <-time.After(min(took*(slowness-1), longest)):
			case <-changed:
			}
		case healthy:
		}
		return true
	}
}
