package config

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"forebay/capacity"
)

// Names of the kinds of pools.
const (
	poolOwned  = "owned"
	poolRented = "rented"
	poolBought = "bought"
)

// serversOfOurs are the flavours of servers that one runs oneself.
var serversOfOurs = []string{"llama-server", "vllm", "sglang", "tgi", "ollama"}

// PoolKind says what stands behind an engine where it serves a model, whose name it has for it is given, and what that
// follows from.
func (e *Engine) PoolKind(upstream string) (capacity.PoolKind, string) {
	switch e.Pool {
	case poolOwned:
		return capacity.PoolOwned, "the configuration says so"
	case poolRented:
		return capacity.PoolRented, "the configuration says so"
	case poolBought:
		return capacity.PoolBought, "the configuration says so"
	}
	switch {
	case strings.HasPrefix(upstream, "arn:") && strings.Contains(upstream, ":provisioned-model/"):
		return capacity.PoolBought, "its model is the ARN of a provisioned throughput"
	case e.Type == "simulated":
		return capacity.PoolOwned, "it is part of this program"
	case e.Type == "bedrock":
		return capacity.PoolRented, "it is a cloud's API"
	case e.Quota != Quota{}:
		return capacity.PoolRented, "it has a quota"
	case slices.Contains(serversOfOurs, e.Flavour):
		return capacity.PoolOwned, "a server of the flavour " + e.Flavour + " is one's own"
	case nearby(e.URL):
		return capacity.PoolOwned, "its address is of this machine or its network"
	default:
		return capacity.PoolRented, "its address is in the Internet"
	}
}

// nearby reports whether the host of a URL is of this machine or its network.
func nearby(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
	}
	return !strings.Contains(host, ".") || slices.ContainsFunc([]string{".localhost", ".local", ".internal", ".svc", ".home.arpa"}, func(s string) bool {
		return strings.HasSuffix(host, s)
	})
}

// EffectiveQuota is what the owner of the engine lets us have of the binding's model.
func (b *Binding) EffectiveQuota(e *Engine) Quota {
	return *cmp.Or(b.Quota, &e.Quota)
}
