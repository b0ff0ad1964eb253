package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"forebay/catalog"
)

// Purchase is provisioned throughput, or a rate of the reserved tier, that the configuration declares.
type Purchase struct {
	Name       string            `yaml:"name" required:"true" doc:"What calls and lists name it, as an account's purchases are named: letters and digits, with single hyphens and underscores between them."`
	Account    string            `yaml:"account,omitempty" doc:"Account that buys it; the operator's when left out."`
	Model      string            `yaml:"model" required:"true" doc:"Id of the model, or the ARN of a custom model that was brought."`
	Units      int64             `yaml:"units,omitempty" doc:"Model units."`
	Input      int64             `yaml:"input_tokens_per_minute,omitempty" doc:"In place of units: input tokens a minute of the reserved tier, in thousands."`
	Output     int64             `yaml:"output_tokens_per_minute,omitempty" doc:"Output tokens a minute of the reserved tier, in thousands; none for embeddings."`
	Commitment string            `yaml:"commitment,omitempty" enum:",none,one-month,three-months,six-months" doc:"How long it is paid for at least, renewed as long as it is declared: none (when left out), one-month, six-months of units, three-months of the reserved tier."`
	Isolation  string            `yaml:"isolation,omitempty" enum:",replica" doc:"replica for replicas of its own."`
	Teams      map[string]Share  `yaml:"teams,omitempty" doc:"What teams of the account have of it for themselves; the rest is for all."`
	Tags       map[string]string `yaml:"tags,omitempty" doc:"Its tags; team names who owns it in reports."`
}

// Share is what a team has of a purchase.
type Share struct {
	Units  int64 `yaml:"units,omitempty" doc:"Model units."`
	Input  int64 `yaml:"input_tokens_per_minute,omitempty" doc:"Input tokens a minute of the reserved tier."`
	Output int64 `yaml:"output_tokens_per_minute,omitempty" doc:"Output tokens a minute of the reserved tier."`
}

// Commitments of purchases.
const (
	CommitmentNone        = "none"
	CommitmentOneMonth    = "one-month"
	CommitmentThreeMonths = "three-months"
	CommitmentSixMonths   = "six-months"
)

// What a purchase can be, as those who keep purchases have it.
const (
	maxPurchaseName = 63
	maxUnits        = 1<<31 - 1
	tierStep        = 1000 // tokens a minute
	maxTags         = 50
	maxTagKey       = 128
	maxTagValue     = 256
	// isolationTag asks for isolation where an API has no member for it.
	isolationTag = "forebay:isolation"
)

var (
	purchaseName = regexp.MustCompile(`^([0-9a-zA-Z][_-]?)+$`)
	tagForm      = regexp.MustCompile(`^[a-zA-Z0-9\s._:/=+@-]*$`)
)

// Tier reports whether it is of the reserved tier.
func (p *Purchase) Tier() bool { return p.Input != 0 || p.Output != 0 }

// PurchasePath is where the file declares a purchase.
func PurchasePath(i int) string { return element("provisioned", i) }

func (c *Config) checkPurchases(k *checker) {
	tenants := c.Tenants()
	names, units := map[[2]string]int{}, map[string]int64{}
	for i := range c.Provisioned {
		p, path := &c.Provisioned[i], PurchasePath(i)
		account := cmp.Or(p.Account, c.Account.ID)
		c.checkPurchaseName(k, p, path)
		key := [2]string{account, strings.ToLower(p.Name)}
		if first, twice := names[key]; twice && p.Name != "" {
			k.bad(path+".name", "%q is that of %s, too", p.Name, PurchasePath(first))
		} else {
			names[key] = i
		}
		c.checkBoughtModel(k, p, path)
		c.checkSize(k, p, path)
		checkTags(k, p.Tags, path+".tags")
		if _, ok := p.Tags[isolationTag]; ok {
			k.bad(path+".tags."+isolationTag, "write isolation: replica beside the tags")
		}
		t, ok := tenants[account]
		if !ok {
			k.known("accounts", path+".account", account, slices.Sorted(maps.Keys(tenants)))
			continue
		}
		checkShares(k, p, account, &t, path)
		if limit, limited := c.unitQuota(&t); limited && !p.Tier() {
			if units[account] += min(max(p.Units, 0), maxUnits); units[account] > limit {
				k.bad(path+".units", "with those before it, account %s has %d units, and may have %d (model_units)", account, units[account], limit)
			}
		}
	}
}

// unitQuota is how many model units an account may have; false is any number.
func (c *Config) unitQuota(t *Tenant) (units int64, limited bool) {
	if t.ModelUnits != nil {
		return *t.ModelUnits, true
	}
	return 0, c.Quotas == QuotasAWS
}

// checkPurchaseName checks that a purchase hides nothing that can be called, and is hidden by nothing.
func (c *Config) checkPurchaseName(k *checker, p *Purchase, path string) {
	path += ".name"
	switch {
	case p.Name == "":
		k.bad(path, "is missing")
	case len(p.Name) > maxPurchaseName || !purchaseName.MatchString(p.Name):
		k.bad(path, "%q is none of a purchase: 1 to %d letters and digits, with single hyphens and underscores between them", p.Name, maxPurchaseName)
	case slices.Contains(c.modelIDs(), p.Name):
		k.bad(path, "%q stands for a model; choose another name", p.Name)
	case c.Aliases[p.Name] != "":
		k.bad(path, "%q is an alias of %s; choose another name", p.Name, c.Aliases[p.Name])
	case c.isRoute(p.Name):
		k.bad(path, "%q is a route; choose another name", p.Name)
	}
}

// checkBoughtModel checks what a purchase is of. What callers brought is known only at run time.
func (c *Config) checkBoughtModel(k *checker, p *Purchase, path string) {
	path += ".model"
	isARN, kind := arnKind(p.Model)
	switch {
	case p.Model == "":
		k.bad(path, "is missing: name the model")
	case isARN && kind != "custom-model":
		k.bad(path, "is no ARN of a custom model; write the id of the model")
	case isARN && p.Tier():
		k.bad(path, "the reserved tier is sold of models by their ids, and this is an ARN")
	case isARN:
	case c.Aliases[p.Model] != "":
		k.bad(path, "%q is an alias; write the id of the model, %s", p.Model, c.Aliases[p.Model])
	default:
		k.known("models", path, c.withoutContext(p), c.modelIDs())
	}
}

// withoutContext is the id of the model of a purchase, of which units may be sold by the size of the context: "ID:48k".
func (c *Config) withoutContext(p *Purchase) string {
	for _, m := range catalog.Builtin() {
		for _, size := range m.ProvisionedContexts {
			if p.Model == m.ID+":"+size && !p.Tier() {
				return m.ID
			}
		}
	}
	return p.Model
}

// checkSize checks how much is bought, and for how long.
func (c *Config) checkSize(k *checker, p *Purchase, path string) {
	terms := []string{"", CommitmentNone, CommitmentOneMonth, CommitmentSixMonths}
	switch {
	case p.Tier():
		terms[3] = CommitmentThreeMonths
		c.checkRate(k, p, path)
	case p.Units == 0:
		k.bad(path+".units", "is missing: say how many model units, or input_tokens_per_minute of the reserved tier")
	case p.Units > maxUnits:
		k.bad(path+".units", "%d is more than %d", p.Units, maxUnits)
	}
	if all := []string{CommitmentThreeMonths, CommitmentSixMonths}; slices.Contains(all, p.Commitment) && !slices.Contains(terms, p.Commitment) {
		k.bad(path+".commitment", "%q is not one of %s", p.Commitment, strings.Join(terms[1:], ", "))
	}
}

// checkRate checks a rate of the reserved tier.
func (c *Config) checkRate(k *checker, p *Purchase, path string) {
	if p.Units != 0 {
		k.bad(path+".units", "a purchase is of model units, or of tokens a minute, and not of both")
	}
	if p.Input == 0 {
		k.bad(path+".input_tokens_per_minute", "is missing: every call has a prompt")
	}
	switch embeds := c.embeds(p.Model); {
	case embeds && p.Output != 0:
		k.bad(path+".output_tokens_per_minute", "%s makes no output tokens; leave it out", p.Model)
	case !embeds && p.Output == 0:
		k.bad(path+".output_tokens_per_minute", "is missing: calls are answered with tokens")
	}
	for _, x := range []struct {
		name string
		rate int64
	}{{".input_tokens_per_minute", p.Input}, {".output_tokens_per_minute", p.Output}} {
		if x.rate > catalog.MaxUnit || x.rate >= 0 && x.rate%tierStep != 0 {
			k.bad(path+x.name, "%d is no multiple of %d up to %d", x.rate, tierStep, int64(catalog.MaxUnit))
		}
	}
	if p.Isolation != "" {
		k.bad(path+".isolation", "the reserved tier has no replicas of its own; buy model units for isolation")
	}
}

// checkShares checks how a purchase is divided.
func checkShares(k *checker, p *Purchase, account string, t *Tenant, path string) {
	left := Share{Units: p.Units, Input: p.Input, Output: p.Output}
	teams := slices.Sorted(maps.Keys(t.Teams))
	for _, name := range slices.Sorted(maps.Keys(p.Teams)) {
		s, at := p.Teams[name], path+".teams."+name
		k.known("teams of account "+account, at, name, teams)
		if err := s.within(p, &left); err != nil && !k.inside(at+".") {
			k.bad(at, "%v", err)
		}
		left = Share{Units: left.Units - s.Units, Input: left.Input - s.Input, Output: left.Output - s.Output}
	}
}

// within tells what is wrong with a share of a purchase of which so much is left.
func (s *Share) within(p *Purchase, left *Share) error {
	if !p.Tier() {
		switch {
		case s.Input != 0 || s.Output != 0:
			return fmt.Errorf("%s is of model units; give units", p.Name)
		case s.Units == 0:
			return errors.New("units is missing: a share is of at least 1")
		case s.Units > left.Units:
			return fmt.Errorf("the shares come to more than the %d units of %s", p.Units, p.Name)
		}
		return nil
	}
	switch {
	case s.Units != 0:
		return fmt.Errorf("%s is of the reserved tier; give input_tokens_per_minute and output_tokens_per_minute", p.Name)
	case s.Input == 0, (s.Output == 0) != (p.Output == 0):
		return fmt.Errorf("a share is of what was bought: input tokens a minute, and output tokens where %s has some", p.Name)
	case s.Input > left.Input || s.Output > left.Output:
		return fmt.Errorf("the shares come to more than the %d input and %d output tokens a minute of %s", p.Input, p.Output, p.Name)
	}
	return nil
}

// checkTags checks tags as the service takes them.
func checkTags(k *checker, tags map[string]string, path string) {
	if len(tags) > maxTags {
		k.bad(path, "has %d tags; a resource has at most %d", len(tags), maxTags)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		at := path + "." + key
		switch v := tags[key]; {
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			k.bad(at, "begins with aws:, which is reserved")
		case key == "" || len(key) > maxTagKey || !tagForm.MatchString(key):
			k.bad(at, "a key has 1 to %d letters, digits, spaces and ._:/=+@-", maxTagKey)
		case len(v) > maxTagValue || !tagForm.MatchString(v):
			k.bad(at, "a value has at most %d letters, digits, spaces and ._:/=+@-", maxTagValue)
		}
	}
}
