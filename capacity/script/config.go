package script

import (
	"fmt"
	"strings"

	"forebay/capacity"
)

// ParseObject reads an object of a configuration ("bucket id=1 measure=tokens rate=60", "remove-bucket id=1") into cfg.
func ParseObject(s string, cfg *capacity.Config) error {
	verb, words, groups, err := split(s)
	if err != nil {
		return err
	}
	l := &line{parsing: true, words: words}
	switch {
	case verb == "scaling":
		var g capacity.Scaling
		l.scaling(&g)
		cfg.Scalings = append(cfg.Scalings, g)
		if err := parsePolicies(groups, &cfg.Scalings[len(cfg.Scalings)-1].Rules); err != nil {
			return err
		}
	case len(groups) > 0:
		return fmt.Errorf("%s has no %s( )", verb, groups[0].name)
	case verb == "model":
		add(l, &cfg.Models, (*line).model)
	case verb == "bucket":
		add(l, &cfg.Buckets, (*line).bucket)
	case verb == "counter":
		add(l, &cfg.Counters, (*line).counter)
	case verb == "pool":
		add(l, &cfg.Pools, (*line).pool)
	case verb == "reservation":
		add(l, &cfg.Reservations, (*line).reservation)
	case verb == "replica":
		add(l, &cfg.Replicas, (*line).replica)
	case verb == "remove-model":
		add(l, &cfg.RemoveModels, id[capacity.ModelID])
	case verb == "remove-bucket":
		add(l, &cfg.RemoveBuckets, id[capacity.BucketID])
	case verb == "remove-counter":
		add(l, &cfg.RemoveCounters, id[capacity.CounterID])
	case verb == "remove-pool":
		add(l, &cfg.RemovePools, id[capacity.PoolID])
	case verb == "remove-scaling":
		add(l, &cfg.RemoveScalings, id[capacity.PoolID])
	case verb == "remove-replica":
		add(l, &cfg.RemoveReplicas, id[capacity.ReplicaID])
	case verb == "remove-reservation":
		add(l, &cfg.RemoveReservations, id[capacity.ReservationID])
	default:
		return fmt.Errorf("there is no object %q", verb)
	}
	return l.done(verb)
}

func formatConfig(cfg *capacity.Config) []string {
	var out []string
	out = append(out, formatAll("model", cfg.Models, (*line).model)...)
	out = append(out, formatAll("bucket", cfg.Buckets, (*line).bucket)...)
	out = append(out, formatAll("counter", cfg.Counters, (*line).counter)...)
	out = append(out, formatAll("pool", cfg.Pools, (*line).pool)...)
	for i := range cfg.Scalings {
		out = append(out, formatScaling(&cfg.Scalings[i]))
	}
	out = append(out, formatAll("reservation", cfg.Reservations, (*line).reservation)...)
	out = append(out, formatAll("replica", cfg.Replicas, (*line).replica)...)
	out = append(out, formatAll("remove-model", cfg.RemoveModels, id[capacity.ModelID])...)
	out = append(out, formatAll("remove-bucket", cfg.RemoveBuckets, id[capacity.BucketID])...)
	out = append(out, formatAll("remove-counter", cfg.RemoveCounters, id[capacity.CounterID])...)
	out = append(out, formatAll("remove-pool", cfg.RemovePools, id[capacity.PoolID])...)
	out = append(out, formatAll("remove-scaling", cfg.RemoveScalings, id[capacity.PoolID])...)
	out = append(out, formatAll("remove-replica", cfg.RemoveReplicas, id[capacity.ReplicaID])...)
	return append(out, formatAll("remove-reservation", cfg.RemoveReservations, id[capacity.ReservationID])...)
}

func add[T any](l *line, list *[]T, describe func(*line, *T)) {
	var x T
	describe(l, &x)
	*list = append(*list, x)
}

func formatAll[T any](verb string, list []T, describe func(*line, *T)) []string {
	var out []string
	for i := range list {
		l := &line{out: []string{verb}}
		describe(l, &list[i])
		out = append(out, strings.Join(l.out, " "))
	}
	return out
}

func id[T ~uint32](l *line, x *T) { number(l, "id", x) }

func (l *line) model(m *capacity.Model) {
	id(l, &m.ID)
	number(l, "burndown", &m.Burndown)
	number(l, "max-output", &m.MaxOutput)
	number(l, "weight-input", &m.WeightInput)
	number(l, "weight-output", &m.WeightOutput)
}

func (l *line) bucket(b *capacity.Bucket) {
	id(l, &b.ID)
	named(l, "measure", &b.Measure)
	number(l, "rate", &b.Rate)
	number(l, "depth", &b.Depth)
	l.flag("share", &b.Share)
}

func (l *line) counter(k *capacity.Counter) {
	id(l, &k.ID)
	named(l, "measure", &k.Measure)
	number(l, "calendar", &k.Calendar)
	number(l, "limit", &k.Limit)
}

func (l *line) pool(p *capacity.Pool) {
	id(l, &p.ID)
	named(l, "kind", &p.Kind)
	number(l, "queue", &p.MaxQueue)
	span(l, "max-wait", &p.MaxWait)
	span(l, "service", &p.Service)
	number(l, "prefixes", &p.AffinityEntries)
	number(l, "prefix-load", &p.AffinityLoad)
	number(l, "retry-budget", &p.RetryBudget)
}

func (l *line) replica(r *capacity.Replica) {
	id(l, &r.ID)
	number(l, "pool", &r.Pool)
	number(l, "slots", &r.Slots)
	number(l, "kv", &r.KV)
	number(l, "weight", &r.Weight)
	l.flag("standby", &r.Standby)
	number(l, "reservation", &r.Reservation)
	n := uint8(0)
	for !l.parsing && int(n) < len(r.Quota) && r.Quota[n] != 0 {
		n++
	}
	handles(l, "quota", r.Quota[:], &n)
}

func (l *line) reservation(r *capacity.Reservation) {
	id(l, &r.ID)
	number(l, "pool", &r.Pool)
	number(l, "parent", &r.Parent)
	number(l, "input", &r.Input)
	number(l, "output", &r.Output)
	number(l, "tokens", &r.Tokens)
	number(l, "slots", &r.Slots)
	number(l, "kv", &r.KV)
}
