package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"forebay/config"
	"forebay/dispatch"
	"forebay/engine"
)

// How often names are looked up: while they have addresses, and while they have none.
const (
	lookupEvery = 10 * time.Second
	lookupEmpty = time.Second
	lookupLimit = 5 * time.Second
)

// discovery follows the addresses behind the names of engines. Each address is an engine of
// its own in the scheduler, with its own health and slots, so that calls go where there is
// room and a pod that dies takes no other along. It is safe for concurrent use.
type discovery struct {
	log    *slog.Logger
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	mu    sync.Mutex
	names map[string]*name // by engine
}

// name is an engine whose name is resolved.
type name struct {
	host, port string
	open       func(netip.Addr) (engine.Client, error)
	// keep is how long the client of an address that has gone is kept for the calls that it still
	// serves: no call lasts longer.
	keep time.Duration

	mu       sync.Mutex
	replicas map[netip.Addr]*address
	dropped  bool // the configuration has it no more: what a late look-up finds is not opened
}

// address is one replica of an engine.
type address struct {
	engine string
	client engine.Client
	gone   time.Time // when its record vanished; zero while it is there
}

func newDiscovery(log *slog.Logger) *discovery {
	return &discovery{
		log: log, names: map[string]*name{},
		lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
	}
}

// follow has the addresses of these engines' names looked up, and of no others.
func (d *discovery) follow(names map[string]*name) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names = names
}

// drop gives up a name and returns its clients.
func (n *name) drop() []engine.Client {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]engine.Client, 0, len(n.replicas))
	for _, a := range n.replicas {
		out = append(out, a.client)
	}
	clear(n.replicas)
	n.dropped = true
	return out
}

// newName returns what follows the addresses of an engine's name.
func newName(e *config.Engine, keep time.Duration, open func(netip.Addr) (engine.Client, error)) (*name, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return &name{host: u.Hostname(), port: port, open: open, keep: keep, replicas: map[netip.Addr]*address{}}, nil
}

// refresh looks every name up and reports whether replicas have come or gone.
func (d *discovery) refresh(ctx context.Context, now time.Time) (changed bool) {
	d.mu.Lock()
	names := d.names
	d.mu.Unlock()
	for _, engineName := range slices.Sorted(maps.Keys(names)) {
		n := names[engineName]
		lctx, cancel := context.WithTimeout(ctx, lookupLimit)
		found, err := d.lookup(lctx, n.host)
		cancel()
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			found, err = nil, nil // a service without a ready pod has no record
		}
		if err != nil {
			d.log.WarnContext(ctx, "an engine's name cannot be looked up; what is known of it stands", "engine", engineName, "host", n.host, "error", err)
			continue
		}
		changed = d.set(engineName, n, oneFamily(found), now) || changed
	}
	return changed
}

// live lists the replicas that are there.
func (n *name) live() []*address {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]*address, 0, len(n.replicas))
	for _, a := range n.replicas {
		if a.gone.IsZero() {
			out = append(out, a)
		}
	}
	return out
}

// oneFamily leaves out the IPv6 addresses of a host that has IPv4 ones as well: they would
// count each replica twice.
func oneFamily(found []netip.Addr) []netip.Addr {
	v4 := make([]netip.Addr, 0, len(found))
	for _, a := range found {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a)
		}
	}
	if len(v4) > 0 {
		return v4
	}
	return found
}

// set takes the addresses that a name has now.
func (d *discovery) set(engineName string, n *name, found []netip.Addr, now time.Time) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dropped {
		return false
	}
	for _, ip := range found {
		if a := n.replicas[ip]; a != nil {
			changed = changed || !a.gone.IsZero()
			a.gone = time.Time{}
			continue
		}
		client, err := n.open(ip)
		if err != nil {
			d.log.Error("an engine's replica cannot be opened", "engine", engineName, "address", ip, "error", err)
			continue
		}
		n.replicas[ip] = &address{engine: engineName + "@" + net.JoinHostPort(ip.String(), n.port), client: client}
		d.log.Info("a replica has come", "engine", engineName, "address", ip)
		changed = true
	}
	for ip, a := range n.replicas {
		switch {
		case slices.Contains(found, ip):
		case a.gone.IsZero():
			a.gone, changed = now, true
			d.log.Info("a replica has gone", "engine", engineName, "address", ip)
		case now.Sub(a.gone) > n.keep:
			_ = a.client.Close() // nothing runs on it any more
			delete(n.replicas, ip)
		}
	}
	return changed
}

// expand puts the replicas in the place of the engines whose names are followed.
func (d *discovery) expand(top dispatch.Topology) dispatch.Topology {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.names) == 0 {
		return top
	}
	live := map[string][]*address{}
	for engineName, n := range d.names {
		live[engineName] = n.live()
		slices.SortFunc(live[engineName], func(a, b *address) int { return cmp.Compare(a.engine, b.engine) })
	}
	var engines []dispatch.Engine
	for _, e := range top.Engines {
		replicas, followed := live[e.Name]
		if !followed {
			engines = append(engines, e)
		}
		for _, a := range replicas {
			one := e
			one.Name, one.Client = a.engine, a.client
			engines = append(engines, one)
		}
	}
	models := slices.Clone(top.Models)
	for i := range models {
		var bindings []dispatch.Binding
		for _, b := range models[i].Bindings {
			replicas, followed := live[b.Engine]
			if !followed {
				bindings = append(bindings, b)
			}
			for _, a := range replicas {
				one := b
				one.Engine = a.engine
				bindings = append(bindings, one)
			}
		}
		models[i].Bindings = bindings
	}
	top.Engines, top.Models = engines, models
	return top
}

// run looks names up until ctx ends and calls apply after each change, and again until it has succeeded: calls go on meanwhile with the addresses of before.
func (d *discovery) run(ctx context.Context, apply func(ctx context.Context) error) error {
	changed := false
	for {
		timer := time.NewTimer(d.pause())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case now := <-timer.C:
			if changed = d.refresh(ctx, now) || changed; !changed {
				continue
			}
			if err := apply(ctx); err != nil {
				d.log.ErrorContext(ctx, "the addresses of engines cannot be applied; it is tried again", "error", err)
				continue
			}
			changed = false
		}
	}
}

// pause is the time to the next look-up.
func (d *discovery) pause() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.names {
		if len(n.live()) == 0 {
			return lookupEmpty
		}
	}
	return lookupEvery
}
