package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"forebay/capacity"
	"forebay/catalog"
)

// Route is a name that applications call. It lists ways to serve a call, in order of preference.
type Route struct {
	Lanes []Lane `yaml:"lanes,omitempty" doc:"Ways to serve a call, the first choice first; at most four."`
}

// Lane is one way of a route to serve a call.
type Lane struct {
	Name     string        `yaml:"name,omitempty" doc:"What answers and reports call it; the model, with its engines, when left out."`
	Model    string        `yaml:"model,omitempty" doc:"Id of a model that serves on demand, or the ARN of one that was brought: custom-model or imported-model, or of a custom-model-deployment, whose model may change. While that is not served, calls pass the lane over."`
	Bought   string        `yaml:"provisioned,omitempty" doc:"In place of a model: the name of a provisioned throughput of the operator's account, or the ARN of any. While it does not serve, calls pass the lane over."`
	Engines  []string      `yaml:"engines,omitempty" doc:"Of the model's engines, those that serve in this lane; all when left out."`
	Spill    string        `yaml:"spill,omitempty" enum:",never,over-rate,over-latency,over-rate-or-latency" doc:"When a call goes on to the next lane instead of being refused or waiting: never (when left out), when a limit of this lane has no room for it, or when it would wait longer than max_wait."`
	MaxWait  time.Duration `yaml:"max_wait,omitempty" doc:"The wait beyond which over-latency applies, expected or past; a full queue and a deadline that cannot be met count in any case."`
	Budget   *Budget       `yaml:"budget,omitempty" doc:"What the calls may cost that go on from here to the next lane."`
	Failover bool          `yaml:"failover,omitempty" doc:"A call goes on to the next lane when no engine of this one is up, or each has failed it before the first byte."`
}

// Budget is an amount of money per period.
type Budget struct {
	Amount string `yaml:"amount" required:"true" format:"money" doc:"Money, such as 50 USD."`
	Period string `yaml:"period,omitempty" enum:",day,month" doc:"day, or month when left out, in the operator's billing zone."`
}

// The rules of Lane.Spill.
const (
	spillOverRate    = "over-rate"
	spillOverLatency = "over-latency"
	spillOverEither  = "over-rate-or-latency"
)

// Rules are the lane's rules as the scheduler has them.
func (l *Lane) Rules() capacity.Spill {
	var s capacity.Spill
	switch l.Spill {
	case spillOverRate:
		s = capacity.SpillOverRate
	case spillOverLatency:
		s = capacity.SpillOverLatency
	case spillOverEither:
		s = capacity.SpillOverRate | capacity.SpillOverLatency
	}
	if l.Failover {
		s |= capacity.FailOver
	}
	return s
}

// Title is the name of the lane as it is shown.
func (l *Lane) Title() string {
	switch {
	case l.Name != "":
		return l.Name
	case l.Bought != "":
		return l.Bought[strings.LastIndexByte(l.Bought, '/')+1:]
	case len(l.Engines) > 0:
		return l.served() + "@" + strings.Join(l.Engines, "+")
	default:
		return l.served()
	}
}

// served is the name of the lane's model: the last part of an ARN.
func (l *Lane) served() string {
	if l.Brought() {
		return l.Model[strings.LastIndexByte(l.Model, '/')+1:]
	}
	return l.Model
}

// Brought reports whether the lane's model is one that a caller brought, or a deployment of one, which is known only at run time.
func (l *Lane) Brought() bool {
	_, kind := arnKind(l.Model)
	return kind == "custom-model" || kind == "imported-model" || kind == "custom-model-deployment"
}

// arnKind returns the kind of Bedrock's resource that an ARN names.
func arnKind(arn string) (isARN bool, kind string) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || parts[2] != "bedrock" {
		return false, ""
	}
	kind, id, _ := strings.Cut(parts[5], "/")
	if id == "" {
		kind = ""
	}
	return true, kind
}

func (c *Config) checkRoutes(k *checker) {
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		r, path := c.Routes[name], "routes."+name
		c.checkRouteName(k, name, path)
		switch n := len(r.Lanes); {
		case n == 0:
			k.bad(path+".lanes", "is empty: a route needs a lane to serve its calls")
		case n > capacity.MaxLanes:
			k.bad(path+".lanes", "has %d lanes; at most %d can be listed", n, capacity.MaxLanes)
		}
		titles, places := map[string]bool{}, map[string]int{}
		for i := range r.Lanes {
			l, at := &r.Lanes[i], element(path+".lanes", i)
			c.checkLane(k, name, l, at)
			checkRules(k, l, at, i == len(r.Lanes)-1)
			if l.Name != "" {
				k.name(l.Name, at+".name")
			}
			place := l.Model + l.Bought + " on " + strings.Join(slices.Sorted(slices.Values(l.Engines)), ",")
			if first, twice := places[place]; twice && l.Model+l.Bought != "" {
				k.bad(at, "serves as lane %d does already", first+1)
			} else if title := l.Title(); titles[title] && title != "" {
				k.bad(at+".name", "%q is the name of another lane of this route", title)
			}
			places[place], titles[l.Title()] = i, true
		}
		c.checkMakes(k, &r, path)
	}
}

// checkRouteName checks that a route hides nothing, and is hidden by nothing: models and aliases go before routes.
func (c *Config) checkRouteName(k *checker, name, path string) {
	if !modelID.MatchString(name) || strings.ContainsAny(name, "/:") {
		k.bad(path, "the name of a route has 1 to 256 printable characters without spaces, quotes, backslashes, slashes or colons, and begins with a letter or digit")
	}
	ids := c.modelIDs()
	_, profile := catalog.CutRegion(name)
	switch {
	case slices.Contains(ids, name):
		k.bad(path, "is the id of a model; choose another name")
	case c.Aliases[name] != "":
		k.bad(path, "is an alias of %s; choose another name", c.Aliases[name])
	case profile != name && slices.Contains(ids, profile):
		k.bad(path, "is a system inference profile of the model %s; choose another name", profile)
	}
}

// checkLane checks what a lane of a route refers to.
func (c *Config) checkLane(k *checker, route string, l *Lane, path string) {
	switch {
	case l.Bought != "":
		if l.Model != "" || len(l.Engines) > 0 {
			k.bad(path+".provisioned", "says which model serves, and where; leave out model and engines")
		}
		return
	case l.Model == "":
		k.bad(path+".model", "is missing: name a model, or what was bought of one under provisioned")
		return
	case l.Model == route:
		k.bad(path+".model", "is the route itself: its calls would go round in a circle")
		return
	case c.isRoute(l.Model):
		if circle := c.circle(route, l.Model); circle != "" {
			k.bad(path+".model", "goes round in a circle: %s", circle)
		} else {
			k.bad(path+".model", "%q is a route, and a lane is served by a model; list the lanes of that route here", l.Model)
		}
		return
	case c.Aliases[l.Model] != "":
		k.bad(path+".model", "%q is an alias; write the id of the model, %s", l.Model, c.Aliases[l.Model])
		return
	}
	if isARN, kind := arnKind(l.Model); isARN && !l.Brought() {
		if kind == "provisioned-model" {
			k.bad(path+".model", "is the ARN of what was bought; write it under provisioned")
		} else {
			k.bad(path+".model", "is no ARN of a model that was brought, or of a deployment (custom-model, imported-model, custom-model-deployment)")
		}
		return
	}
	if !l.Brought() {
		k.known("models", path+".model", l.Model, c.modelIDs())
	}
	bound := make([]string, 0, len(c.Models[l.Model].Engines))
	for _, b := range c.Models[l.Model].Engines {
		bound = append(bound, b.Engine)
	}
	seen := map[string]bool{}
	for i, e := range l.Engines {
		at := element(path+".engines", i)
		k.known("engines of "+l.Model, at, e, bound)
		if seen[e] {
			k.bad(at, "%q occurs twice", e)
		}
		seen[e] = true
	}
}

// checkRules checks when a lane lets calls go on.
func checkRules(k *checker, l *Lane, path string, last bool) {
	spills := l.Rules()&(capacity.SpillOverRate|capacity.SpillOverLatency) != 0
	switch {
	case last && spills:
		k.bad(path+".spill", "leads nowhere: this is the last lane")
	case last && l.Failover:
		k.bad(path+".failover", "leads nowhere: this is the last lane")
	case last && l.Budget != nil:
		k.bad(path+".budget", "is for what goes on to the next lane, and this is the last one")
	case !last && l.Rules() == 0:
		k.bad(path+".spill", "no call ever leaves this lane, so that those after it serve nothing; set spill or failover")
	}
	if overLatency := l.Rules()&capacity.SpillOverLatency != 0; l.MaxWait != 0 && !overLatency {
		k.bad(path+".max_wait", "is for spill: over-latency or over-rate-or-latency")
	}
	if l.Budget != nil && l.Budget.Amount == "" {
		k.bad(path+".budget.amount", "is missing")
	}
}

// checkMakes checks that all lanes of a route make the same: text, or vectors of one model. What was bought is known only when
// it serves.
func (c *Config) checkMakes(k *checker, r *Route, path string) {
	first := ""
	for i := range r.Lanes {
		m := r.Lanes[i].Model
		at := element(path+".lanes", i) + ".model"
		switch {
		case m == "":
		case first == "":
			first = m
		case c.embeds(m) != c.embeds(first):
			k.bad(at, "%s and %s make different things, text and vectors", first, m)
		case c.embeds(m) && m != first:
			k.bad(at, "the vectors of %s and of %s cannot be compared", first, m)
		}
	}
}

// embeds says whether a model makes vectors.
func (c *Config) embeds(id string) bool {
	if f := c.Models[id].Family; f != "" {
		return strings.HasSuffix(f, "-embed") || strings.HasSuffix(f, "-embeddings")
	}
	for _, m := range catalog.Builtin() {
		if m.ID == id {
			return m.Embeds()
		}
	}
	return false
}

func (c *Config) isRoute(name string) bool {
	_, ok := c.Routes[name]
	return ok
}

// circle follows the lanes from one route to another, and tells the way if it leads back; "" if it does not.
func (c *Config) circle(back, from string) string {
	seen := map[string]bool{}
	var follow func(name string) string
	follow = func(name string) string {
		if seen[name] {
			return ""
		}
		seen[name] = true
		r := c.Routes[name]
		for i := range r.Lanes {
			next := r.Lanes[i].Model
			if next == back {
				return name + " -> " + back
			}
			if rest := follow(next); rest != "" {
				return name + " -> " + rest
			}
		}
		return ""
	}
	if rest := follow(from); rest != "" {
		return back + " -> " + rest
	}
	return ""
}
