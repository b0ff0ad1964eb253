package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"forebay/api/admin"
	"forebay/config"
	"forebay/meter"
)

type routeCmd struct {
	List   routeList   `cmd:"" default:"withargs" help:"List routes."`
	Show   routeShow   `cmd:"" help:"Show the lanes of a route."`
	Create routeCreate `cmd:"" help:"Make a route."`
	Set    routeSet    `cmd:"" help:"Set the lanes of a route that was made at run time."`
	Delete routeDelete `cmd:"" help:"Delete a route that was made at run time."`
	Test   routeTest   `cmd:"" help:"Say which lane a call would take now, and why. Nothing is held and nothing is called."`
}

// routes lists the routes with their lanes.
func (r *remote) routes(e *env) ([]admin.Object, []config.Route, error) {
	list, err := r.objects(e, "routes", "")
	if err != nil {
		return nil, nil, err
	}
	out := make([]config.Route, len(list))
	for i := range list {
		if err := config.Decode(list[i].Body, &out[i]); err != nil {
			return nil, nil, err
		}
	}
	return list, out, nil
}

type routeList struct{ remote }

// Run implements the verb.
func (c *routeList) Run(e *env) error {
	list, routes, err := c.routes(e)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, list)
	}
	rows := make([][]string, len(list))
	for i := range list {
		titles := make([]string, len(routes[i].Lanes))
		for k := range routes[i].Lanes {
			titles[k] = routes[i].Lanes[k].Title()
		}
		rows[i] = []string{list[i].Name, strings.Join(titles, " -> "), list[i].ManagedBy}
	}
	return table(e, "ROUTE\tLANES\tMANAGED BY", rows)
}

type routeShow struct {
	remote
	Name string `arg:"" help:"Name of the route."`
}

// Run implements the verb.
func (c *routeShow) Run(e *env) error {
	list, routes, err := c.routes(e)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].Name != c.Name {
			continue
		}
		if c.JSON {
			return printJSON(e, &list[i])
		}
		return table(e, "LANE\tNAME\tMODEL\tENGINES\tSPILL\tMAX WAIT\tBUDGET\tFAILOVER", laneRows(&routes[i]))
	}
	return fmt.Errorf("no route %q; see `forebay route`", c.Name)
}

func laneRows(r *config.Route) [][]string {
	rows := make([][]string, len(r.Lanes))
	for i := range r.Lanes {
		l := &r.Lanes[i]
		wait, budget, failover := "", "", ""
		if l.MaxWait > 0 {
			wait = l.MaxWait.String()
		}
		if l.Budget != nil {
			budget = l.Budget.Amount + " a " + cmp.Or(l.Budget.Period, "month")
		}
		if l.Failover {
			failover = "yes"
		}
		model, engines := l.Model, cmp.Or(strings.Join(l.Engines, ", "), "all")
		if l.Bought != "" {
			model, engines = laneBought+l.Bought, "-"
		}
		rows[i] = []string{strconv.Itoa(i + 1), l.Title(), model, engines, cmp.Or(l.Spill, "never"), wait, budget, failover}
	}
	return rows
}

// laneFlags are the lanes of a route: on the command line, or in a file.
type laneFlags struct {
	Lane []string `help:"A lane, the first choice first: MODEL[@ENGINE+ENGINE], or provisioned:NAME of what was bought; then [,name=NAME][,spill=never|over-rate|over-latency|over-rate-or-latency][,max-wait=2s][,budget='50 USD'/month][,failover]." placeholder:"LANE" sep:"none"`
	File string   `help:"A file of the lanes, as forebay.yaml has them below the route's name." placeholder:"FILE"`
}

func (f *laneFlags) route() (*config.Route, error) {
	if (f.File == "") == (len(f.Lane) == 0) {
		return nil, errors.New("give the lanes: either --lane, once for each, or --file")
	}
	out := new(config.Route)
	if f.File != "" {
		text, err := os.ReadFile(f.File)
		if err != nil {
			return nil, err
		}
		return out, config.Decode(text, out)
	}
	for _, spec := range f.Lane {
		l, err := lane(spec)
		if err != nil {
			return nil, fmt.Errorf("--lane %q: %w", spec, err)
		}
		out.Lanes = append(out.Lanes, l)
	}
	return out, nil
}

// laneBought begins a lane of what was bought.
const laneBought = "provisioned:"

// lane reads a lane as the flag has it.
func lane(spec string) (l config.Lane, err error) {
	target, rest, _ := strings.Cut(spec, ",")
	if name, bought := strings.CutPrefix(target, laneBought); bought {
		l.Bought = name
	} else {
		model, engines, some := strings.Cut(target, "@")
		if l.Model = model; some {
			l.Engines = strings.Split(engines, "+")
		}
	}
	if rest == "" {
		return l, nil
	}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, given := strings.Cut(part, "=")
		switch name {
		case "name":
			l.Name = value
		case "spill":
			l.Spill = value
		case "max-wait":
			if l.MaxWait, err = time.ParseDuration(value); err != nil {
				return l, fmt.Errorf("%q is no duration, such as 500ms or 2s", value)
			}
		case "budget":
			amount, period, _ := strings.Cut(value, "/")
			l.Budget = &config.Budget{Amount: amount, Period: period}
		case "failover":
			if given && value != "true" && value != "false" {
				return l, fmt.Errorf("failover is true or false, not %q", value)
			}
			l.Failover = value != "false"
		default:
			return l, fmt.Errorf("%q is not known; known are name, spill, max-wait, budget and failover", name)
		}
	}
	return l, nil
}

type routeCreate struct {
	remote
	laneFlags
	Name string `arg:"" help:"The name that applications will call."`
}

// Run implements the verb.
func (c *routeCreate) Run(e *env) error {
	r, err := c.route()
	if err != nil {
		return err
	}
	return c.change(e, http.MethodPost, "routes/"+url.PathEscape(c.Name), r)
}

type routeSet struct {
	remote
	laneFlags
	Name string `arg:"" help:"Name of the route."`
}

// Run implements the verb.
func (c *routeSet) Run(e *env) error {
	r, err := c.route()
	if err != nil {
		return err
	}
	return c.change(e, http.MethodPut, "routes/"+url.PathEscape(c.Name), r)
}

type routeDelete struct {
	remote
	Name string `arg:"" help:"Name of the route."`
}

// Run implements the verb.
func (c *routeDelete) Run(e *env) error {
	return c.change(e, http.MethodDelete, "routes/"+url.PathEscape(c.Name), nil)
}

type routeTest struct {
	remote
	Name      string `arg:"" help:"Name of a route, or id of a model."`
	OfKey     string `name:"of-key" help:"Test for the calls of this key, by its id." placeholder:"ID"`
	Tier      string `help:"Tier of the call." enum:"priority,default,flex" default:"default"`
	Input     int64  `help:"Tokens of its prompt." default:"1000"`
	MaxTokens int64  `help:"Its bound on the answer; the model's own when left out."`
	Stream    bool   `help:"It wants a stream."`
}

// Run implements the verb.
func (c *routeTest) Run(e *env) error {
	q := url.Values{
		"key": {c.OfKey}, "tier": {c.Tier}, "input": {strconv.FormatInt(c.Input, 10)}, "max_tokens": {strconv.FormatInt(c.MaxTokens, 10)},
		"stream": {strconv.FormatBool(c.Stream)},
	}
	var out admin.RouteAnswer
	if err := c.call(e.ctx, http.MethodGet, "routes/"+url.PathEscape(c.Name)+"/test?"+q.Encode(), nil, &out); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, &out)
	}
	return tellRoute(e, &out)
}

// tellRoute writes what would become of a call, for people.
func tellRoute(e *env, a *admin.RouteAnswer) error {
	var text string
	switch a.Outcome {
	case "runs":
		text = fmt.Sprintf("A call of %s would run now in lane %s, on engine %s.", a.Route, a.Lane, a.Engine)
	case "waits":
		text = fmt.Sprintf("A call of %s would wait in lane %s, with %d calls before it.", a.Route, a.Lane, a.Ahead)
	default:
		text = fmt.Sprintf("A call of %s would be refused: %s.", a.Route, strings.TrimSuffix(a.Why, "."))
		if a.RetryAfterMs > 0 {
			text += fmt.Sprintf(" There is room again after %s.", time.Duration(a.RetryAfterMs)*time.Millisecond)
		}
	}
	if _, err := fmt.Fprintf(e.Out, "%s\n\n", text); err != nil {
		return err
	}
	var lanes, limits [][]string
	for i := range a.Lanes {
		l := &a.Lanes[i]
		state := l.State
		if l.Why != "" {
			state += ": " + strings.TrimPrefix(l.Why, l.Name+": ")
		}
		engines := make([]string, len(l.Engines))
		for k, x := range l.Engines {
			engines[k] = x.Name + " (" + x.Kind + ")"
			if !x.Up {
				engines[k] = x.Name + " (" + x.Kind + ", down)"
			}
		}
		lanes = append(lanes, []string{strconv.Itoa(l.Number), l.Name, l.Model, strings.Join(engines, ", "), state})
		for _, x := range l.Limits {
			figure := count
			if strings.HasPrefix(x.Limit, "spend/") {
				figure = func(nano int64) string { return meter.FormatMoney(nano, "") }
			}
			limits = append(limits, []string{l.Name, x.Limit, x.Of, figure(x.Value), figure(x.Level)})
		}
	}
	err := table(e, "LANE\tNAME\tMODEL\tENGINES\tTHE CALL", lanes)
	if err != nil || len(limits) == 0 {
		return err
	}
	_, _ = fmt.Fprintln(e.Out)
	return table(e, "IN LANE\tLIMIT\tOF\tALLOWED\tUSED", limits)
}
