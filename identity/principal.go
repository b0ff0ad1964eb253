package identity

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"forebay/fault"
)

// Limits bound what a scope (account, team or key) may use. A zero field means no limit. The
// names in JSON, in which the store keeps them, are those of forebay.yaml.
type Limits struct {
	RequestsPerMinute int64 `json:"requests_per_minute,omitzero"`
	TokensPerMinute   int64 `json:"tokens_per_minute,omitzero"`
	TokensPerDay      int64 `json:"tokens_per_day,omitzero"`
	// ConcurrentCalls are calls in flight, those that wait included.
	ConcurrentCalls int64 `json:"concurrent_calls,omitzero"`
	// SpendPerDay and SpendPerMonth are nano-units of Currency.
	SpendPerDay   int64  `json:"spend_per_day,omitzero"`
	SpendPerMonth int64  `json:"spend_per_month,omitzero"`
	Currency      string `json:"currency,omitzero"` // ISO 4217
}

// AdminPrefix begins the actions of administration. A policy allows them only with a list of
// actions of which one names or covers them: "forebay:*", or "*".
const AdminPrefix = "forebay:"

// privileged are further actions that a policy allows only with a list of actions of which one names or covers
// them: they bind the account to pay for months, decide where its prompts are written, or change what the calls of its other keys are
// served by, or shown as on the ledger.
var privileged = []string{
	"bedrock:CreateProvisionedModelThroughput", "bedrock:UpdateProvisionedModelThroughput", "bedrock:DeleteProvisionedModelThroughput",
	"bedrock:PutModelInvocationLoggingConfiguration", "bedrock:DeleteModelInvocationLoggingConfiguration",
	"bedrock:UpdateCustomModelDeployment", "bedrock:DeleteCustomModelDeployment", "bedrock:DeleteCustomModel", "bedrock:DeleteImportedModel",
	"bedrock:DeleteInferenceProfile", "bedrock:TagResource", "bedrock:UntagResource",
}

// mustBeListed reports whether a policy without a list of actions does not allow an action.
func mustBeListed(action string) bool {
	return strings.HasPrefix(action, AdminPrefix) || slices.Contains(privileged, action) || runsInstances(action)
}

// runsInstances reports whether an action changes what endpoints there are, how large they are, or who pays for them: any of their services but
// looking and calling.
func runsInstances(action string) bool {
	service, operation, _ := strings.Cut(action, ":")
	if service != "sagemaker" && service != "application-autoscaling" {
		return false
	}
	return !strings.HasPrefix(operation, "Describe") && !strings.HasPrefix(operation, "List") && !strings.HasPrefix(operation, "Invoke")
}

// Policy says what a key may do. The zero value allows every call of every model, and neither
// administration nor what commits the account.
type Policy struct {
	// Actions and Models are lists of names with the wildcards * and ?; an empty list allows
	// all, but for the actions of administration.
	Actions []string `json:"actions,omitempty"`
	Models  []string `json:"models,omitempty"`
	// Tier is the highest tier of service the key may ask for: "" (any), "priority", "default" or "flex".
	Tier   string `json:"max_tier,omitzero"`
	Limits Limits `json:"limits,omitzero"`
}

var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

// Validate reports what in a policy means nothing. Faults: Invalid.
func (p *Policy) Validate() error {
	if p.Tier != "" && !slices.Contains(tiersDown, p.Tier) {
		return fault.Newf(fault.Invalid, "tier %q is not one of %s", p.Tier, strings.Join(tiersDown, ", "))
	}
	l := &p.Limits
	if min(l.RequestsPerMinute, l.TokensPerMinute, l.TokensPerDay, l.ConcurrentCalls, l.SpendPerDay, l.SpendPerMonth) < 0 {
		return fault.New(fault.Invalid, "a limit is negative; 0 is no limit")
	}
	if (l.SpendPerDay > 0 || l.SpendPerMonth > 0) && l.Currency == "" {
		return fault.New(fault.Invalid, "a limit on spend needs a currency")
	}
	if l.Currency != "" && !currencyCode.MatchString(l.Currency) {
		return fault.Newf(fault.Invalid, "currency %q is not three capital letters, such as USD", l.Currency)
	}
	return nil
}

// KeyKind says how a key authenticates.
type KeyKind string

// The kinds of keys.
const (
	KeyPair   KeyKind = "access-key" // an access key id and a secret, for signatures
	KeyBearer KeyKind = "api-key"    // a token sent as it is
)

// Key is a credential as it is listed: never with its secret.
type Key struct {
	ID        string // the access key id of a pair, "key_..." of a bearer key
	Kind      KeyKind
	Name      string
	Account   string
	Team      string // "" when the key belongs to no team
	Policy    Policy
	Created   time.Time
	Rotated   time.Time // when it got its present secret; zero: at its creation
	OldUntil  time.Time // how long secrets from before that are good at most; zero: none is
	Expires   time.Time // zero: never
	Revoked   time.Time // zero: not revoked
	ManagedBy string    // "forebay.yaml:12" for a key the configuration declares
}

// Live reports whether the key can be used at now.
func (k *Key) Live(now time.Time) bool {
	return k.Revoked.IsZero() && (k.Expires.IsZero() || now.Before(k.Expires))
}

// Principal is an authenticated caller.
type Principal struct {
	Account string
	Team    string
	KeyID   string
	Name    string
	ARN     string
	Policy  *Policy // nil allows everything
	proof   string  // which of its key's secrets it was authenticated by
}

// PrincipalOf returns the principal that a key stands for.
func PrincipalOf(k *Key) *Principal {
	name := k.Name
	if name == "" {
		name = k.ID
	}
	return &Principal{
		Account: k.Account, Team: k.Team, KeyID: k.ID, Name: name,
		ARN:    "arn:aws:iam::" + k.Account + ":user/" + name,
		Policy: &k.Policy,
	}
}

// tiersDown orders the tiers a policy can cap, dearest first.
var tiersDown = []string{"reserved", "priority", "default", "flex", "batch"}

// LowerTier returns the lower of two highest tiers; "" allows all.
func LowerTier(a, b string) string {
	if slices.Index(tiersDown, a) < slices.Index(tiersDown, b) {
		return b
	}
	return a
}

// NoTier is the tier of what is about a model and no call of it: no ceiling holds it.
const NoTier = "-"

// Authorize reports whether the principal may do action on resource (an ARN, or a model
// id for the actions on models) at a tier of service ("" counts as default where there is a model). Its error is Denied, in the wording
// of AWS.
func Authorize(p *Principal, action, model, resource, tier string) error {
	pol := p.Policy
	if pol == nil {
		return nil
	}
	if len(pol.Actions) == 0 && mustBeListed(action) || !allowed(pol.Actions, action) || model != "" && !allowed(pol.Models, model) {
		return fault.Newf(fault.Denied,
			"User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
			p.ARN, action, resource, action)
	}
	if pol.Tier == "" || tier == NoTier || model == "" && tier == "" { // what is no call is of no tier
		return nil
	}
	if tier == "" {
		tier = "default"
	}
	highest := slices.Index(tiersDown, pol.Tier)
	if highest < 0 || slices.Index(tiersDown, tier) < highest {
		return fault.Newf(fault.Denied, "User: %s is not authorized to use the service tier %s", p.ARN, tier).
			WithReason("the key's policy allows tiers up to %s", pol.Tier)
	}
	return nil
}

func allowed(patterns []string, name string) bool {
	if len(patterns) == 0 {
		return true
	}
	return slices.ContainsFunc(patterns, func(p string) bool { return Match(p, name) })
}

// Match reports whether name matches a pattern in which * stands for any text and ? for
// any one byte. It takes time linear in the product of the lengths at worst.
func Match(pattern, name string) bool {
	p, n := 0, 0
	star, back := -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, back = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			back++
			p, n = star+1, back
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// ModelARN is the resource of the actions on a foundation model, or on a model whose id is an ARN already.
func ModelARN(region, model string) string {
	if strings.HasPrefix(model, "arn:") {
		return model
	}
	return "arn:aws:bedrock:" + region + "::foundation-model/" + model // of every call: without fmt
}
