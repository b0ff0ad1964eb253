package config

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"time"
)

// checkOperation checks the bounds of the front door, who is charged by which price, and where
// traces go.
func (c *Config) checkOperation(k *checker) {
	s := &c.Server
	positive := func(path string, d time.Duration) {
		if d == 0 {
			k.bad(path, "0 is no bound; without one a slow client could hold a connection for ever")
		}
	}
	positive("server.header_timeout", s.HeaderTimeout)
	positive("server.body_timeout", s.BodyTimeout)
	positive("server.stall", s.Stall)
	if s.HeaderLimit < 4<<10 || s.HeaderLimit > 1<<20 {
		k.bad("server.header_limit", "%d is not between %d and %d bytes", s.HeaderLimit, 4<<10, 1<<20)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Charge)) {
		if rule := c.Charge[name]; rule != ChargeServed && rule != ChargeAsked {
			k.bad("charge."+name, "%q is not one of served, asked", rule)
		}
	}
	if t := &c.Tracing; t.Endpoint != "" {
		if u, err := url.Parse(t.Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			k.bad("tracing.endpoint", "is not an address such as http://127.0.0.1:4318")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Tracing.Headers)) {
		if _, err := Secret(c.Tracing.Headers[name]); err != nil {
			k.bad("tracing.headers."+name, "%v", err)
		}
	}
	if s := c.Tracing.Sample; s < 0 || s > 1 || s != s {
		k.bad("tracing.sample", "%v is not between 0 and 1", s)
	}
}

// Rules of Config.Charge.
const (
	ChargeServed = "served"
	ChargeAsked  = "asked"
)

// check reports what is wrong with a price; none is no fault.
func (p *Price) check(k *checker, path string) {
	if p == nil {
		return
	}
	if _, err := p.Parse(); err != nil && !k.inside(path+".") {
		k.bad(path, "%v", err)
	}
	if err := p.checkDate(); err != nil {
		k.bad(path+".date", "%v", err)
	}
}

func (p *Price) checkDate() error {
	if p.Date == "" {
		return nil
	}
	if _, err := time.Parse(time.DateOnly, p.Date); err != nil {
		return errors.New("write a day such as 2026-01-31")
	}
	return nil
}
