package server

import (
	"cmp"
	"path/filepath"

	"forebay/artifact"
	"forebay/artifact/cache"
	"forebay/artifact/fetch"
	"forebay/config"
)

// Weights opens the cache of weights that a configuration describes. A server and commands on its machine may have it open at once.
func Weights(cfg *config.Config) (*cache.Cache, error) {
	w := &cfg.Weights
	hub := fetch.HubFromEnvironment()
	hub.Endpoint = cmp.Or(w.Hub.Endpoint, hub.Endpoint)
	if w.Hub.Token != "" {
		token, err := config.Secret(w.Hub.Token)
		if err != nil {
			return nil, err
		}
		hub.Token = token
	}
	return cache.New(cache.Options{
		Dir: WeightsDir(cfg), Limit: int64(w.Limit), KeepFree: int64(w.KeepFree),
		Source: fetch.New(fetch.Options{
			Hub: hub, Objects: buckets(cfg), Parallel: w.Downloads,
			S3: fetch.S3Options{Endpoint: w.S3.Endpoint, Region: w.S3.Region, Load: fetch.Profile(w.S3.Profile)},
		}),
	})
}

// WeightsDir is where that cache lies.
func WeightsDir(cfg *config.Config) string {
	return cmp.Or(cfg.Weights.Dir, filepath.Join(cfg.DataDir, "weights"))
}

// buckets are the objects of a configuration: its buckets, and those in the data directory.
func buckets(cfg *config.Config) *artifact.Objects {
	o := &artifact.Objects{Root: filepath.Join(cfg.DataDir, "objects"), Buckets: map[string]string{}}
	for name, b := range cfg.Buckets {
		o.Buckets[name] = b.Dir
	}
	return o
}
