package catalog

import "slices"

// Route is a name that applications call. It lists ways to serve a call, in order of preference.
type Route struct {
	Name  string
	Lanes []Lane
}

// Lane is one way of a route to serve a call.
type Lane struct {
	Name  string // as it is shown
	Model *Model
	// Pool names the engines that serve in it: the model's id, or that with the engines to which the lane is restricted.
	Pool string
}

// Pool names the engines that serve an id; of a route, those of its first lane.
func (r *Resolution) Pool() string {
	if r.Route != nil {
		return r.Route.Lanes[0].Pool
	}
	return r.Model.ID
}

// AddRoutes adds routes to the namespace. The name of a model or an alias goes before that of a route. It must be
// called before the names are used.
func (n *Names) AddRoutes(routes []*Route) {
	if n.routes == nil {
		n.routes = make(map[string]*Route, len(routes))
	}
	for _, r := range routes {
		n.routes[r.Name] = r
	}
}

// Routes returns the names of the routes, ordered.
func (n *Names) Routes() []string {
	var out []string
	for name := range n.routes {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
