package catalog

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"forebay/fault"
)

// Resolution is what a model id stands for.
type Resolution struct {
	Model        *Model
	Asked        string
	Alias        string // the alias that was used, if any
	RegionPrefix string // of a system inference profile: "us", "eu", "global", ...
	Context      string // a context suffix such as "48k"
	// Profile is the id of the application inference profile that was asked for, and Tags are its, to be on the ledger.
	Profile string
	Tags    map[string]string
	// Charged is the catalogue's id of the model by whose price the call is charged: the model's
	// own, or by rule that of the model that was asked for. What is not in the catalogue has no known price.
	Charged string
	// Reservation is the provisioned throughput that the id names, by its ARN: it serves the call, and nothing else does.
	Reservation string
	// Endpoint is the name of the endpoint that the id names; Model is the variant of it that takes the call then.
	Endpoint string
	// Route is what the id names where it is a route; Model is that of its first lane then.
	Route *Route
}

// regionPrefixes are those of system inference profiles. Source: Bedrock user guide,
// "Supported Regions and models for inference profiles".
var regionPrefixes = []string{"us-gov", "us", "eu", "apac", "jp", "au", "ca", "global"}

// RegionGroup returns the prefix of the system inference profiles of a region, "" for a region of none that is known.
func RegionGroup(region string) string {
	geography, _, _ := strings.Cut(region, "-")
	switch {
	case strings.HasPrefix(region, "us-gov-"):
		return "us-gov"
	case geography == "ap":
		return "apac"
	case slices.Contains(regionPrefixes, geography):
		return geography
	default:
		return ""
	}
}

// Names is one namespace of models: ids of the catalogue and aliases. It is immutable.
type Names struct {
	models  map[string]*Model
	aliases map[string]string
	routes  map[string]*Route
	sorted  []*Model
	region  string // "" accepts any
	asked   map[string]bool
}

// NewNames builds the namespace. An alias may stand in for a built-in model, so that an
// application which asks for it is served by another one; against the id of a model that the
// configuration declares, the id wins.
func NewNames(models []*Model, aliases map[string]string, strictRegion string) *Names {
	n := &Names{models: make(map[string]*Model, len(models)), aliases: aliases, region: strictRegion}
	for _, m := range models {
		n.models[m.ID] = m
	}
	for _, m := range n.models {
		n.sorted = append(n.sorted, m)
	}
	slices.SortFunc(n.sorted, func(a, b *Model) int { return cmp.Compare(a.ID, b.ID) })
	return n
}

// ChargeAsked names the aliases and models whose calls are charged at the price of the model
// that was asked for. It must be called before the names are used.
func (n *Names) ChargeAsked(names []string) {
	n.asked = make(map[string]bool, len(names))
	for _, name := range names {
		n.asked[name] = true
	}
}

// List returns the models, ordered by id.
func (n *Names) List() []*Model { return n.sorted }

// Alias is a name of the operator's for a model, or for lanes of which the first is of the model.
type Alias struct {
	Name  string
	Model *Model
}

// Aliases returns the aliases that stand for a model, and the routes with the model of their first lane, ordered by name.
func (n *Names) Aliases() []Alias {
	var out []Alias
	for name, id := range n.aliases {
		if m := n.models[id]; m != nil && n.models[name] == nil {
			out = append(out, Alias{name, m})
		}
	}
	for name, r := range n.routes {
		if n.models[name] == nil && n.models[n.aliases[name]] == nil {
			out = append(out, Alias{name, r.Lanes[0].Model})
		}
	}
	slices.SortFunc(out, func(a, b Alias) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Get returns the model with exactly this id.
func (n *Names) Get(id string) *Model { return n.models[id] }

var contextSuffix = regexp.MustCompile(`^(.*):(\d+k|mm)$`)

// maxID is the longest model id the service takes.
const maxID = 2048

// Resolve finds the model behind an id: the exact id of a declared model, then an alias, then a
// built-in model, then a route, then a system inference profile, ARN or context suffix of one of them. Faults: UnknownModel
// with the nearest ids as its reason; NotFound for provisioned models and other ARNs
// that name nothing here; Invalid for ids that cannot be one.
func (n *Names) Resolve(id string) (Resolution, error) {
	r := Resolution{Asked: id}
	if id == "" || len(id) > maxID || strings.ContainsFunc(id, notPrintable) {
		return r, n.unknown(id)
	}
	name := id
	if strings.HasPrefix(id, "arn:") {
		var err error
		if name, err = n.arn(id); err != nil {
			return r, err
		}
	}
	if r.find(n, name) {
		n.charge(&r, name)
		return r, nil
	}
	if m := contextSuffix.FindStringSubmatch(name); m != nil && r.find(n, m[1]) {
		r.Context = m[2]
		n.charge(&r, m[1])
		return r, nil
	}
	return r, n.unknown(name)
}

// charge decides by whose price the call is charged.
func (n *Names) charge(r *Resolution, name string) {
	r.Charged = r.Model.ID
	if r.Alias == "" || !n.asked[r.Alias] && !n.asked[r.Model.ID] {
		return
	}
	r.Charged = name
	if n.models[name] == nil {
		_, r.Charged = CutRegion(name)
	}
}

// CutRegion divides a name into the prefix of a system inference profile and the rest.
func CutRegion(name string) (prefix, rest string) {
	for _, p := range regionPrefixes {
		if rest, ok := strings.CutPrefix(name, p+"."); ok {
			return p, rest
		}
	}
	return "", name
}

func notPrintable(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }

// find looks a plain name up, with and without a region prefix.
func (r *Resolution) find(n *Names, name string) bool {
	if r.exact(n, name) {
		return true
	}
	if p, rest := CutRegion(name); p != "" && r.exact(n, rest) {
		r.RegionPrefix = p
		return true
	}
	return false
}

func (r *Resolution) exact(n *Names, name string) bool {
	own := n.models[name]
	if own == nil || own.ManagedBy == "" {
		if m := n.models[n.aliases[name]]; m != nil {
			r.Model, r.Alias = m, name
			return true
		}
	}
	if r.Model = own; own != nil {
		return true
	}
	if route := n.routes[name]; route != nil {
		r.Route, r.Model = route, route.Lanes[0].Model
	}
	return r.Route != nil
}

// arn returns the model or profile id in an ARN.
func (n *Names) arn(arn string) (string, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[2] != "bedrock" && parts[2] != "sagemaker" {
		return "", n.unknown(arn)
	}
	if n.region != "" && parts[3] != "" && parts[3] != n.region {
		return "", fault.New(fault.UnknownModel, "The provided model identifier is invalid.").
			WithReason("the ARN is of region %s and this server is strict about its region %s", parts[3], n.region)
	}
	kind, rest, _ := strings.Cut(parts[5], "/")
	switch kind {
	case "foundation-model", "inference-profile":
		return rest, nil
	case "provisioned-model", "custom-model", "custom-model-deployment", "imported-model", "application-inference-profile", "prompt":
		return "", fault.Newf(fault.NotFound, "Could not find the resource %s.", arn)
	default:
		return "", n.unknown(arn)
	}
}

func (n *Names) unknown(id string) error {
	e := fault.New(fault.UnknownModel, "The provided model identifier is invalid.")
	if near := n.nearest(id, 3); len(near) > 0 {
		return e.WithReason("no model, alias or profile %q; did you mean %s?", printable(id), strings.Join(near, ", "))
	}
	return e
}

func printable(s string) string {
	s = s[:min(len(s), 128)]
	return strings.Map(func(r rune) rune {
		if notPrintable(r) {
			return '?'
		}
		return r
	}, s)
}

// nearest returns up to k ids by edit distance, ties in order of the ids.
func (n *Names) nearest(id string, k int) []string {
	type scored struct {
		id string
		d  int
	}
	id = id[:min(len(id), 128)]
	var all []scored
	for _, m := range n.sorted {
		all = append(all, scored{m.ID, distance(id, m.ID)})
	}
	for _, name := range n.routeNames() {
		all = append(all, scored{name, distance(id, name)})
	}
	slices.SortStableFunc(all, func(a, b scored) int { return cmp.Compare(a.d, b.d) })
	var out []string
	for _, s := range all[:min(k, len(all))] {
		out = append(out, s.id)
	}
	return out
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
