package script

import (
	"fmt"
	"strconv"
	"strings"

	"forebay/capacity"
	"forebay/capacity/scale"
)

// scaling describes how a pool scales, but for the policies.
func (l *line) scaling(g *capacity.Scaling) {
	r := &g.Rules
	number(l, "pool", &g.Pool)
	number(l, "group", &g.Group)
	number(l, "min", &r.Min)
	number(l, "max", &r.Max)
	number(l, "provisioned", &r.Provisioned)
	number(l, "slots", &r.Slots)
	span(l, "start", &r.Start)
	l.flag("follow", &r.Follow)
	span(l, "idle", &r.Idle)
	number(l, "desired", &g.Desired)
	number(l, "max-held", &g.MaxHeld)
	span(l, "max-hold", &g.MaxHold)
}

// policy describes a policy: the words of its kind in brackets.
func (l *line) policy(p *scale.Policy) {
	named(l, "metric", &p.Metric)
	span(l, "period", &p.Period)
	number(l, "target", &p.Target)
	span(l, "out-cooldown", &p.OutCooldown)
	span(l, "in-cooldown", &p.InCooldown)
	l.flag("no-scale-in", &p.NoScaleIn)
	l.flag("below", &p.Below)
	number(l, "points", &p.Points)
	number(l, "breaching", &p.Breaching)
	named(l, "adjust", &p.Adjust)
	number(l, "least", &p.Least)
	l.steps("steps", &p.Steps)
}

// steps is a field of steps: "0..1000:1,1000..:2" adds one up to 1000 beyond the threshold, and two from there on.
func (l *line) steps(name string, steps *[]scale.Step) {
	if !l.parsing {
		var out []string
		for _, s := range *steps {
			out = append(out, end(s.From, -scale.Open)+".."+end(s.To, scale.Open)+":"+strconv.Itoa(int(s.By)))
		}
		if len(out) > 0 {
			l.put(name, strings.Join(out, ","))
		}
		return
	}
	v, ok := l.take(name)
	if !ok {
		return
	}
	for text := range strings.SplitSeq(v, ",") {
		ends, by, _ := strings.Cut(text, ":")
		from, to, ranged := strings.Cut(ends, "..")
		var s scale.Step
		n, err := strconv.ParseInt(by, 10, 32)
		if s.By = int32(n); err != nil || !ranged || !parseEnd(from, -scale.Open, &s.From) || !parseEnd(to, scale.Open, &s.To) {
			l.fail(name, v, "steps such as 0..1000:1,1000..:2")
			return
		}
		*steps = append(*steps, s)
	}
}

// end writes an end of a step, an open one as nothing.
func end(n, open int64) string {
	if n == open {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func parseEnd(s string, open int64, n *int64) bool {
	if *n = open; s == "" {
		return true
	}
	v, err := strconv.ParseInt(s, 10, 64)
	*n = v
	return err == nil
}

// parsePolicies reads the policies of a line.
func parsePolicies(groups []group, r *scale.Rules) error {
	for _, g := range groups {
		var p scale.Policy
		switch g.name {
		case scale.Tracking.String():
			p.Kind = scale.Tracking
		case scale.Stepping.String():
			p.Kind = scale.Stepping
		default:
			return fmt.Errorf("there is no policy %q", g.name)
		}
		words, err := wordsOf(strings.Fields(g.in))
		if err != nil {
			return err
		}
		l := &line{parsing: true, words: words}
		l.policy(&p)
		if err := l.done(g.name); err != nil {
			return err
		}
		r.Policies = append(r.Policies, p)
	}
	return nil
}

// formatScaling returns how a pool scales as a line.
func formatScaling(g *capacity.Scaling) string {
	l := &line{out: []string{"scaling"}}
	l.scaling(g)
	for i := range g.Rules.Policies {
		in := &line{}
		in.policy(&g.Rules.Policies[i])
		l.out = append(l.out, g.Rules.Policies[i].Kind.String()+"("+strings.Join(in.out, " ")+")")
	}
	return strings.Join(l.out, " ")
}
