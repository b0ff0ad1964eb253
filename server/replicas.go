package server

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"time"

	"forebay/api/sagemakerruntime"
	"forebay/artifact"
	"forebay/artifact/cache"
	"forebay/capacity"
	"forebay/config"
	"forebay/dispatch"
	"forebay/engine"
	"forebay/engine/containerclient"
	"forebay/engine/openaiclient"
	"forebay/engine/process"
	"forebay/engine/upstream"
	"forebay/fleet"
	"forebay/infer"
	"forebay/meter"
)

// openFleet opens what runs the replicas of endpoints: local processes.
func (s *Server) openFleet() error {
	c := &s.cfg.Replicas
	launcher, err := process.New(process.Options{
		Dir: filepath.Join(s.cfg.DataDir, "replicas"), Log: s.log, CPUMilli: int64(c.CPUs) * 1000, Memory: int64(c.Memory), GPUs: c.GPUs, Cgroup: c.Cgroup,
	})
	if err != nil {
		return err
	}
	weights, err := Weights(&s.cfg)
	if err != nil {
		return err
	}
	s.replicas = fleet.New(fleet.Options{
		Launcher: launcher, Weights: leases{weights}.open, Image: s.image, Instance: s.instance, Dial: dialReplica, Apply: s.replicasApply,
		LogDir: filepath.Join(s.cfg.DataDir, "logs"), Log: s.log,
	})
	s.fleet = s.replicas
	return nil
}

// replicasApply puts the replicas of endpoints in force as they are now.
func (s *Server) replicasApply(ctx context.Context) error {
	s.keys.Lock()
	defer s.keys.Unlock()
	if s.live.Load() == nil { // the start puts them in force, or nothing is served any more
		return nil
	}
	return s.loadKeys(context.WithoutCancel(ctx))
}

// want hands on how many replicas of a variant there should be.
func (s *Server) want(variant string, n int32) {
	if s.replicas != nil {
		s.replicas.Want(variant, n)
	}
}

// takeOver begins with the endpoints that are stored: replicas of an earlier run that none of them has taken over are ended.
func (s *Server) takeOver(ctx context.Context) {
	s.endpoints.Tend(ctx)
	if err := s.replicas.Discard(ctx); err != nil {
		s.log.ErrorContext(ctx, "replicas of an earlier run are left", "error", err)
	}
}

// wakeEndpoints lets endpoints go on when their replicas have changed.
func (s *Server) wakeEndpoints(changes <-chan string) {
	for range changes {
		s.endpoints.Wake()
	}
}

// endReplicasInOrder asks the replicas of endpoints to end.
func (s *Server) endReplicasInOrder(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), engine.DefaultStopGrace)
	defer cancel()
	s.replicas.Close(ctx)
}

// endReplicas ends what is left of the replicas of endpoints by force.
func (s *Server) endReplicas() {
	if s.replicas == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.replicas.Close(ctx)
}

// leases brings weights by way of the cache.
type leases struct{ *cache.Cache }

func (l leases) open(ctx context.Context, text string, progress func(done, total int64)) (string, func(), error) {
	ref, err := artifact.ParseRef(text)
	if err != nil {
		return "", nil, err
	}
	lease, err := l.Open(ctx, ref, func(p cache.Progress) { progress(p.Done, p.Total) })
	if err != nil {
		return "", nil, err
	}
	return lease.Dir(), func() { _ = lease.Release() }, nil
}

// image finds an image: one of the configuration, over the preset or image that it is from, or a preset.
func (s *Server) image(name string) (fleet.Image, bool) {
	images := s.cfg.Images
	if p := s.live.Load(); p != nil {
		images = p.cfg.Images
	}
	return imageOf(images, name, len(images)+1)
}

// imageOf looks no deeper than there are images, so that two that are from each other end.
func imageOf(images map[string]config.Image, name string, depth int) (fleet.Image, bool) {
	c, ok := images[name]
	if !ok || depth == 0 {
		return fleet.Preset(name)
	}
	out := fleet.Image{Protocol: fleet.ProtocolContainer}
	switch {
	case c.From == name:
		out, ok = fleet.Preset(name)
	case c.From != "":
		out, ok = imageOf(images, c.From, depth-1)
	}
	if !ok {
		return out, false
	}
	if len(c.Command) > 0 {
		out.Command = c.Command
	}
	out.Env = append(slices.Clip(out.Env), c.Env...)
	out.Protocol = cmp.Or(fleet.Protocol(c.Protocol), out.Protocol)
	out.Flavour, out.Health, out.Metrics = cmp.Or(c.Flavour, out.Flavour), cmp.Or(c.Health, out.Health), cmp.Or(c.Metrics, out.Metrics)
	if out.Health == "" && out.Protocol == fleet.ProtocolOpenAI {
		out.Health = "/health"
	}
	return out, true
}

// instance finds an instance type. Where the configuration has none, every type is there, without bounds of its own.
func (s *Server) instance(name string) (engine.Resources, bool) {
	types := s.cfg.Instances
	if p := s.live.Load(); p != nil {
		types = p.cfg.Instances
	}
	i, ok := types[name]
	return engine.Resources{CPUMilli: int64(i.CPUs) * 1000, Memory: int64(i.Memory), GPUs: i.GPUs}, ok || len(types) == 0
}

// bytesPath is where calls go that come as bytes to an engine that speaks OpenAI's API.
const bytesPath = "/v1/chat/completions"

// dialReplica opens a client of a replica.
func dialReplica(addr string, image *fleet.Image) (engine.Client, error) {
	up := upstream.Config{BaseURL: "http://" + addr, Timeouts: engine.Timeouts{Connect: 10 * time.Second, Total: defaultTotal}}
	c := containerclient.Config{Upstream: up, Ping: image.Health, Answers: sagemakerruntime.AnswerHeaders}
	if image.Protocol != fleet.ProtocolOpenAI {
		return containerclient.New(c)
	}
	c.Invoke = bytesPath
	bytes, err := containerclient.New(c)
	if err != nil {
		return nil, err
	}
	chat, err := openaiclient.New(openaiclient.Config{Upstream: up, Flavour: openaiclient.Flavour(image.Flavour)})
	return &bilingual{Client: chat, bytes: bytes}, err
}

// bilingual speaks to an engine that takes chats of its API, and its bodies as bytes as well.
type bilingual struct {
	*openaiclient.Client
	bytes *containerclient.Client
}

// Infer implements engine.Client.
func (b *bilingual) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	if req.Dialect == infer.DialectOpaque {
		return b.bytes.Infer(ctx, req)
	}
	return b.Client.Infer(ctx, req)
}

// Speaks implements engine.Client.
func (b *bilingual) Speaks(d infer.Dialect) bool {
	return d == infer.DialectOpaque || b.Client.Speaks(d)
}

// Probe implements engine.Client: the path that the image names says more than the list of models.
func (b *bilingual) Probe(ctx context.Context) error { return b.bytes.Probe(ctx) }

// Close implements engine.Client.
func (b *bilingual) Close() error {
	_ = b.bytes.Close()
	return b.Client.Close()
}

// Bounds of calls that wait for the first replica, where a variant has none of its own. SDKs give up after 60 seconds.
const (
	maxHeld = 10_000
	maxHold = 55 * time.Second
)

// deploy adds the variants of endpoints, with the replicas that are up, to what is served.
func (s *Server) deploy(top *dispatch.Topology) {
	if s.replicas == nil {
		return
	}
	pools := s.replicas.Pools()
	top.Engines = slices.Clip(top.Engines)
	top.Models = slices.Clip(top.Models)
	for i := range pools {
		p := &pools[i]
		v := p.Variant
		entry := unknownModel(v.ID, "endpoint")
		entry.Name = v.Endpoint
		m := dispatch.Model{
			ID: v.ID, Entry: entry, MaxOutput: entry.MaxOutput, Burndown: entry.Burndown, Mode: meter.ModeDedicated, MaxQueue: cmp.Or(v.MaxHeld, maxHeld),
			Scaling: &dispatch.Scaling{
				Rules: p.Rules, Desired: p.Desired, Generation: p.Generation, MaxHeld: cmp.Or(v.MaxHeld, maxHeld), MaxHold: cmp.Or(v.MaxHold, maxHold),
			},
		}
		if p.Rules.Follow {
			m.Mode = meter.ModeServerless
		}
		provider := "container"
		if p.Protocol == fleet.ProtocolOpenAI {
			provider = providers["openai"]
		}
		for _, r := range p.Replicas {
			top.Engines = append(top.Engines, dispatch.Engine{Name: r.Name, Client: r.Client, Provider: provider})
			m.Bindings = append(m.Bindings, dispatch.Binding{
				Engine: r.Name, Declared: v.ID, Upstream: v.Container.Model, Kind: capacity.PoolOwned, Slots: v.Rules.Slots,
			})
		}
		top.Models = append(top.Models, m)
	}
}
