package catalog

import "slices"

// Route is a name that applications call. It lists ways to serve a call, in order of preference.
type Route struct {
	Name  string
	Lanes []Lane
}

// Lane is one way of a route to serve a call.
type Lane struct {
	Number int    // in the configuration, from 0, where lanes that do not serve now have theirs, too
	Name   string // as it is shown
	Model  *Model
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

// WithRoutes returns the namespace with these routes. The name of a model or an alias goes before that of a route.
func (n *Names) WithRoutes(routes []*Route) *Names {
	out := *n
	out.routes = make(map[string]*Route, len(routes))
	for _, r := range routes {
		out.routes[r.Name] = r
	}
	return &out
}

// routeNames returns the names of the routes, ordered.
func (n *Names) routeNames() []string {
	var out []string
	for name := range n.routes {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
