package config

import (
	"maps"
	"slices"
	"strings"

	"forebay/catalog"
)

// checkRules holds a model's features and rules against the parts of requests that have them.
func (c *Config) checkRules(k *checker, m *Model, path string) {
	for i, f := range m.Features {
		if !slices.Contains(catalog.Features(), f) {
			k.bad(element(path+".features", i), "%q is not one of %s", f, strings.Join(catalog.Features(), ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Rules)) {
		p := catalog.PartNamed(name)
		switch {
		case p == nil:
			k.bad(path+".rules."+name, "no part of a request has this name")
		case !slices.Contains(p.Allowed, m.Rules[name]):
			k.bad(path+".rules."+name, "%q is not one of %v", m.Rules[name], p.Allowed)
		case m.Rules[name] == catalog.RuleServe && (name == "guardrails" || name == "latency"):
			for _, b := range m.Engines {
				if c.Engines[b.Engine].Type != "bedrock" {
					k.bad(path+".rules."+name, "only engines of type bedrock can serve it, and %s is none", b.Engine)
				}
			}
			if len(m.Engines) == 0 {
				k.bad(path+".rules."+name, "only engines of type bedrock can serve it, and the model is bound to none")
			}
		}
	}
}
