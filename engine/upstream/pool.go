package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"forebay/fault"
)

// deadFor is how long an address that could not be dialled is passed over.
const deadFor = 5 * time.Second

// dialsAtOnce bounds the connections that are being made to one host. More do not come sooner: they overflow the queue in
// which an engine accepts them, to be tried again after a second, and each has a goroutine and its stack meanwhile.
const dialsAtOnce = 128

// lookupLimit bounds a look-up in the background.
const lookupLimit = 5 * time.Second

// keepAlive finds a peer that has vanished within about a minute and a quarter.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 4}

// pool keeps the connections to one host: its addresses and, per address, idle
// connections in the order of last use.
type pool struct {
	cfg  Config
	host string
	port string
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// dialling has a value for each dial under way.
	dialling chan struct{}

	mu       sync.Mutex
	addrs    []*address
	turn     int
	looked   time.Time // when the addresses were looked up; zero: never
	looking  bool
	all      map[*conn]struct{} // idle and in use
	sweeping bool
	closed   bool

	background sync.WaitGroup
	stop       context.CancelFunc
	running    context.Context //nolint:containedctx // ends the look-ups in the background
}

type address struct {
	key  string // host:port to dial
	dead time.Time
	idle []*conn // the last used at the end
	gone bool    // no longer among the name's addresses
}

func newPool(cfg Config, host, port string) *pool {
	p := &pool{cfg: cfg, host: host, port: port, dial: cfg.Dial, all: map[*conn]struct{}{}, dialling: make(chan struct{}, dialsAtOnce)}
	p.running, p.stop = context.WithCancel(context.Background())
	if p.dial == nil {
		d := net.Dialer{KeepAliveConfig: keepAlive}
		p.dial = d.DialContext
	}
	if p.cfg.Lookup == nil {
		p.cfg.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.Address.IsValid() {
		p.addrs = []*address{{key: net.JoinHostPort(cfg.Address.String(), port)}}
	} else if _, err := netip.ParseAddr(host); err == nil || cfg.Dial != nil && cfg.Lookup == nil {
		p.addrs = []*address{{key: net.JoinHostPort(host, port)}}
	}
	return p
}

// fixed reports whether the address is literal, so that there is nothing to look up.
func (p *pool) fixed() bool { return p.looked.IsZero() && len(p.addrs) > 0 }

// get returns a connection: an idle one that is alive, unless fresh, or a new one. The
// deadline covers the dial.
func (p *pool) get(ctx context.Context, fresh bool, total time.Time) (*conn, error) {
	now := time.Now()
	if err := p.resolve(ctx, now); err != nil {
		return nil, err
	}
	var a *address
	for {
		var c *conn
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, broken(errClientClosed, false)
		}
		if a == nil {
			a = p.pick(now)
		}
		if n := len(a.idle); n > 0 && !fresh {
			c = a.idle[n-1]
			a.idle[n-1] = nil
			a.idle = a.idle[:n-1]
		}
		p.mu.Unlock()
		if c == nil {
			return p.connectApart(ctx, a, total)
		}
		if now.Sub(c.idleSince) < p.cfg.IdleTimeout && c.alive() {
			c.reused = true
			return c, nil
		}
		p.discard(c)
	}
}

// pick returns the address whose turn it is, passing over dead ones while others live.
func (p *pool) pick(now time.Time) *address {
	for range p.addrs {
		a := p.addrs[p.turn%len(p.addrs)]
		p.turn++
		if now.After(a.dead) {
			return a
		}
	}
	p.turn++
	return p.addrs[p.turn%len(p.addrs)]
}

// connectApart is connect on a goroutine of its own: dialling is deep, and the stack that it would leave the
// caller's with, twice as large, would stay for as long as the caller waits for the answer's events.
func (p *pool) connectApart(ctx context.Context, a *address, total time.Time) (*conn, error) {
	type result struct {
		conn *conn
		err  error
	}
	limit := total
	if d := p.cfg.Timeouts.Connect; d > 0 {
		if t := time.Now().Add(d); limit.IsZero() || t.Before(limit) {
			limit = t
		}
	}
	select {
	case p.dialling <- struct{}{}:
	default:
		if err := p.mayDial(ctx, limit, total); err != nil {
			return nil, err
		}
	}
	done := make(chan result, 1)
	go func() {
		c, err := p.connect(ctx, a, limit, total)
		<-p.dialling
		done <- result{c, err}
	}()
	r := <-done
	return r.conn, r.err
}

var errDialsWait = errors.New("other connections to the model's address are still being made")

// mayDial waits until there is room among the dials under way, which is a part of the time to connect.
func (p *pool) mayDial(ctx context.Context, limit, total time.Time) error {
	var over <-chan time.Time
	if !limit.IsZero() {
		t := time.NewTimer(time.Until(limit))
		defer t.Stop()
		over = t.C
	}
	select {
	case p.dialling <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	case <-over:
		return unconnected(errDialsWait, total)
	}
}

// unconnected is the end of the time to connect, or of the call's whole time.
func unconnected(cause error, total time.Time) error {
	if !total.IsZero() && !time.Now().Before(total) {
		return timedOut(phaseTotal, cause)
	}
	return timedOut(phaseConnect, cause)
}

// connect dials a, and after it the other addresses until one answers.
func (p *pool) connect(ctx context.Context, a *address, limit, total time.Time) (*conn, error) {
	p.mu.Lock()
	order := []*address{a}
	for i := range p.addrs {
		if b := p.addrs[(p.turn+i)%len(p.addrs)]; b != a {
			order = append(order, b)
		}
	}
	p.mu.Unlock()
	var last error
	for i, a := range order {
		nc, err := p.dialOne(ctx, a, limit, len(order)-i)
		if err == nil {
			return p.admit(nc, a)
		}
		if ctx.Err() != nil {
			return nil, ended(ctx)
		}
		last = err
		p.mu.Lock()
		a.dead = time.Now().Add(deadFor)
		p.mu.Unlock()
	}
	if isTimeout(last) {
		return nil, unconnected(last, total)
	}
	return nil, broken(last, false)
}

// dialOne dials one of n addresses left, so that a silent one leaves time for the others.
func (p *pool) dialOne(ctx context.Context, a *address, limit time.Time, n int) (net.Conn, error) {
	if !limit.IsZero() {
		share := max(time.Until(limit)/time.Duration(n), 0)
		c, cancel := context.WithTimeout(ctx, share)
		defer cancel()
		ctx = c
	}
	return p.dial(ctx, "tcp", a.key)
}

func (p *pool) admit(nc net.Conn, a *address) (*conn, error) {
	c := &conn{nc: nc, pool: p, addr: a}
	c.abort = func() { _ = c.nc.Close() }
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
			c.peek, c.read = c.peekFD, c.readFD
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = nc.Close()
		return nil, broken(errClientClosed, false)
	}
	p.all[c] = struct{}{}
	return c, nil
}

// put takes back a connection whose last response was read to its end.
func (p *pool) put(c *conn) {
	c.release()
	c.idleSince = time.Now()
	p.mu.Lock()
	if p.closed || c.addr.gone || len(c.addr.idle) >= p.cfg.MaxIdle {
		p.mu.Unlock()
		p.discard(c)
		return
	}
	c.addr.idle = append(c.addr.idle, c)
	if !p.sweeping {
		p.sweeping = true
		time.AfterFunc(p.cfg.IdleTimeout, p.sweep)
	}
	p.mu.Unlock()
}

func (p *pool) discard(c *conn) {
	_ = c.nc.Close()
	c.release()
	p.mu.Lock()
	delete(p.all, c)
	p.mu.Unlock()
}

// sweep closes what has lain idle too long, and comes again while anything lies there.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	oldest, now := time.Time{}, time.Now()
	for _, a := range p.addrs {
		stale := 0
		for stale < len(a.idle) && now.Sub(a.idle[stale].idleSince) >= p.cfg.IdleTimeout {
			p.drop(a.idle[stale])
			stale++
		}
		a.idle = append(a.idle[:0], a.idle[stale:]...)
		if len(a.idle) > 0 && (oldest.IsZero() || a.idle[0].idleSince.Before(oldest)) {
			oldest = a.idle[0].idleSince
		}
	}
	p.sweeping = !oldest.IsZero() && !p.closed
	if p.sweeping {
		time.AfterFunc(max(p.cfg.IdleTimeout-now.Sub(oldest), time.Millisecond), p.sweep)
	}
}

// forget closes the idle connections to an address: the peer has closed one, and the others are likely to be next.
func (p *pool) forget(a *address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range a.idle {
		p.drop(c)
	}
	clear(a.idle)
	a.idle = a.idle[:0]
}

// drop closes an idle connection; the lock is held.
func (p *pool) drop(c *conn) {
	_ = c.nc.Close()
	delete(p.all, c)
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for c := range p.all {
		p.drop(c)
	}
	for _, a := range p.addrs {
		a.idle = nil
	}
	p.mu.Unlock()
	p.stop()
	p.background.Wait()
}

func (p *pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// resolve makes sure that there are addresses, and renews old ones in the background.
func (p *pool) resolve(ctx context.Context, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.fixed() {
		return nil
	}
	if len(p.addrs) > 0 {
		if !p.looking && now.Sub(p.looked) >= p.cfg.Refresh {
			p.looking = true
			p.background.Go(p.refresh)
		}
		return nil
	}
	p.mu.Unlock()
	if d := p.cfg.Timeouts.Connect; d > 0 {
		c, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		ctx = c
	}
	found, err := p.cfg.Lookup(ctx, p.host)
	p.mu.Lock()
	if len(p.addrs) > 0 {
		return nil // another call was quicker
	}
	if err == nil && len(found) > 0 {
		p.replace(found)
		return nil
	}
	return lookupFailed(ctx, err)
}

func lookupFailed(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ended(ctx)
	case ctx.Err() != nil:
		return timedOut(phaseConnect, err)
	}
	return fault.Wrap(fault.Unavailable, err, "The model's address cannot be looked up.")
}

func (p *pool) refresh() {
	ctx, cancel := context.WithTimeout(p.running, lookupLimit)
	defer cancel()
	found, err := p.cfg.Lookup(ctx, p.host)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looking = false
	p.looked = time.Now() // after a failure too: the old addresses stay until the next look-up
	if err == nil && len(found) > 0 && !p.closed {
		p.replace(found)
	}
}

// replace sets the name's addresses and keeps what is known of those that stay; the lock is held.
func (p *pool) replace(found []netip.Addr) {
	old := map[string]*address{}
	for _, a := range p.addrs {
		a.gone = true
		old[a.key] = a
	}
	next := make([]*address, 0, len(found))
	for _, ip := range found {
		key := net.JoinHostPort(ip.Unmap().String(), p.port)
		a := old[key]
		if a == nil {
			a = &address{key: key}
			old[key] = a
		} else if !a.gone {
			continue // listed twice
		}
		a.gone = false
		next = append(next, a)
	}
	for _, a := range p.addrs {
		if a.gone {
			for _, c := range a.idle {
				p.drop(c)
			}
			a.idle = nil
		}
	}
	p.addrs, p.looked = next, time.Now()
}
