package config

import (
	"encoding/hex"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/artifact"
	"forebay/catalog"
	"forebay/identity"
	"forebay/perf"
)

// Validate reports everything that is wrong, at once: its error is Faults.
func (c *Config) Validate() error {
	k := checker{file: c.Path, source: &c.source}
	for _, f := range c.source.faults {
		f.File = c.Path
		k.faults = append(k.faults, f)
	}
	k.values(reflect.ValueOf(c).Elem(), "")
	c.checkServer(&k)
	c.checkAccounts(&k)
	c.checkKeys(&k)
	c.checkEngines(&k)
	c.checkModels(&k)
	c.checkBuckets(&k)
	c.checkWeights(&k)
	c.checkReplicas(&k)
	c.checkInvocations(&k)
	c.checkRoutes(&k)
	c.checkPurchases(&k)
	c.checkCalibrations(&k)
	c.checkOperation(&k)
	return k.err()
}

// values checks what the tags of the types say of all values.
func (k *checker) values(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			k.values(v.Elem(), path)
		}
	case reflect.Map:
		for _, key := range slices.Sorted(maps.Keys(keysOf(v))) {
			k.values(v.MapIndex(reflect.ValueOf(key)), join(path, key))
		}
	case reflect.Slice:
		for i := range v.Len() {
			k.values(v.Index(i), element(path, i))
		}
	case reflect.Struct:
		for name, f := range members(v.Type()) {
			k.tagged(v.FieldByIndex(f.Index), f, join(path, name))
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		if v.Int() < 0 {
			k.bad(path, "%d is negative", v.Int())
		}
	}
}

func keysOf(v reflect.Value) map[string]bool {
	out := map[string]bool{}
	for _, key := range v.MapKeys() {
		out[key.String()] = true
	}
	return out
}

// tagged checks one member of a struct.
func (k *checker) tagged(v reflect.Value, f *reflect.StructField, path string) {
	if v.Type() == durationType {
		k.duration(time.Duration(v.Int()), f.Tag.Get("min"), path)
		return
	}
	if v.Kind() != reflect.String {
		k.values(v, path)
		return
	}
	text := v.String()
	if enum, ok := f.Tag.Lookup("enum"); ok {
		if allowed := strings.Split(enum, ","); !slices.Contains(allowed, text) {
			allowed = slices.DeleteFunc(allowed, func(s string) bool { return s == "" })
			k.bad(path, "%q is not one of %s%s", text, strings.Join(allowed, ", "), suggestion(text, allowed))
		}
	}
	if text == "" {
		return
	}
	var err error
	switch f.Tag.Get("format") {
	case "money":
		_, _, err = Money(text)
	case "time":
		_, err = ParseTime(text)
	}
	if err != nil {
		k.bad(path, "%v", err)
	}
}

// Bounds of durations, beyond which somebody has mistaken the unit.
const (
	minDuration = time.Millisecond
	maxDuration = 30 * 24 * time.Hour
)

// duration checks a duration; 0 is none, or the default.
func (k *checker) duration(d time.Duration, least string, path string) {
	low := minDuration
	if least != "" {
		low, _ = time.ParseDuration(least) // a test reads all tags
	}
	switch {
	case d < 0:
		k.bad(path, "%s is negative", d)
	case d != 0 && (d < low || d > maxDuration):
		k.bad(path, "%s is not between %s and %s; is the unit right?", d, low, maxDuration)
	}
}

func suggestion(text string, known []string) string {
	if near := nearest(text, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

var (
	accountID = regexp.MustCompile(`^\d{12}$`)
	modelID   = regexp.MustCompile(`^[A-Za-z0-9][!#-\[\]-~]{0,255}$`)
)

func (c *Config) checkServer(k *checker) {
	if c.NoLedger && !c.NoAuth {
		k.bad("ledger", "calls go unrecorded only where everybody may call: --no-ledger goes with --no-auth")
	}
	for _, x := range [][2]string{{"server.listen", c.Server.Listen}, {"server.tls_listen", c.Server.TLSListen}} {
		if x[1] == "" && x[0] == "server.tls_listen" {
			continue
		}
		host, port, err := net.SplitHostPort(x[1])
		if err != nil {
			k.bad(x[0], "%q is not HOST:PORT", x[1])
			continue
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
			k.bad(x[0], "%q is no port", port)
		}
		if ip := net.ParseIP(host); c.NoAuth && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			k.bad(x[0], "without authentication only loopback addresses may be listened on, not %q", host)
		}
	}
	if c.Server.BodyLimit < 1 || c.Server.BodyLimit > 1<<30 {
		k.bad("server.body_limit", "%d is not between 1 and %d bytes", c.Server.BodyLimit, 1<<30)
	}
	if c.Server.TLSCert != "" && c.Server.TLSKey == "" {
		k.bad("server.tls_key", "is missing: tls_cert names a certificate")
	}
	if c.Server.TLSKey != "" && c.Server.TLSCert == "" {
		k.bad("server.tls_cert", "is missing: tls_key names a key")
	}
}

func (c *Config) checkAccounts(k *checker) {
	if !accountID.MatchString(c.Account.ID) {
		k.bad("account.id", "%q is not twelve digits", c.Account.ID)
	}
	if _, ok := c.Accounts[c.Account.ID]; ok {
		k.bad("accounts."+c.Account.ID, "is the operator's account; write it under account")
	}
	known := c.modelIDs()
	for _, id := range slices.Sorted(maps.Keys(c.Accounts)) {
		if !accountID.MatchString(id) {
			k.bad("accounts."+id, "%q is not twelve digits", id)
		}
		t := c.Accounts[id]
		k.tenant(&t, "accounts."+id, known)
	}
	k.tenant(&c.Account.Tenant, "account", known)
}

func (k *checker) tenant(t *Tenant, path string, known []string) {
	if _, err := time.LoadLocation(t.Zone); err != nil || t.Zone == "Local" {
		k.bad(path+".billing_zone", "%q is no time zone, use a name such as Europe/Rome", t.Zone)
	}
	k.limits(&t.Limits, path+".limits")
	for _, id := range slices.Sorted(maps.Keys(t.Models)) {
		l := t.Models[id]
		k.known("models", path+".models."+id, id, known)
		k.limits(&l, path+".models."+id)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Teams)) {
		team := t.Teams[name]
		k.name(name, path+".teams."+name)
		k.limits(&team.Limits, path+".teams."+name+".limits")
	}
}

// name checks that a name can stand in a path and on the ledger.
func (k *checker) name(s, path string) {
	if s == "" || len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		k.bad(path, "a name has 1 to 64 printable characters without spaces or slashes")
	}
}

// limits checks what is wrong with limits taken together; values checks each.
func (k *checker) limits(l *Limits, path string) {
	_, day, err1 := Money(l.SpendPerDay)
	_, month, err2 := Money(l.SpendPerMonth)
	if err1 == nil && err2 == nil && day != month {
		k.bad(path+".spend_per_month", "is in %s, and the limit per day in %s", month, day)
	}
}

// known reports a reference to nothing.
func (k *checker) known(kind, path, name string, names []string) {
	if !slices.Contains(names, name) {
		k.bad(path, "there is no %q among the %s%s", name, kind, suggestion(name, names))
	}
}

// modelIDs lists the models that can be referred to.
func (c *Config) modelIDs() []string {
	out := slices.Sorted(maps.Keys(c.Models))
	for _, m := range catalog.Builtin() {
		if _, ok := c.Models[m.ID]; !ok {
			out = append(out, m.ID)
		}
	}
	return out
}

func (c *Config) checkKeys(k *checker) {
	names, ids, secrets := map[[2]string]bool{}, map[string]bool{}, map[string]int{}
	tenants := c.Tenants()
	for i := range c.Keys {
		key, path := &c.Keys[i], element("keys", i)
		account := key.Account
		if account == "" {
			account = c.Account.ID
		}
		switch {
		case key.Name == "":
			k.bad(path+".name", "is missing")
		case names[[2]string{account, key.Name}]:
			k.bad(path+".name", "%q occurs twice", key.Name)
		default:
			k.name(key.Name, path+".name")
		}
		names[[2]string{account, key.Name}] = true
		if key.ID != "" && ids[key.ID] {
			k.bad(path+".id", "%q occurs twice", key.ID)
		}
		ids[key.ID] = true
		t, ok := tenants[account]
		if !ok {
			k.known("accounts", path+".account", account, slices.Sorted(maps.Keys(tenants)))
		} else if key.Team != "" {
			k.known("teams of account "+account, path+".team", key.Team, slices.Sorted(maps.Keys(t.Teams)))
		}
		if hash := k.secret(key, path); hash != "" {
			if first, twice := secrets[hash]; twice {
				k.bad(path, "has the secret of %s, too: a call by it would be the other's", element("keys", first))
			} else {
				secrets[hash] = i
			}
		}
		k.limits(&key.Limits, path+".limits")
	}
}

// secret checks where a key's secret comes from, and returns the hash of it, "" where it is not known.
func (k *checker) secret(key *Key, path string) string {
	if key.Kind == "access-key" && key.ID == "" {
		k.bad(path+".id", "an access-key needs its access key id")
	}
	if key.Hash == "" {
		secret, err := Secret(key.Secret)
		if err != nil {
			k.bad(path+".secret", "%v", err)
			return ""
		}
		return identity.HashToken(secret)
	}
	if b, err := hex.DecodeString(key.Hash); err != nil || len(b) != 32 {
		k.bad(path+".token_sha256", "is not 64 hexadecimal digits")
	}
	if key.Kind == "access-key" {
		k.bad(path+".token_sha256", "signatures need the secret itself; give an access-key its secret")
	}
	if key.Secret != "" {
		k.bad(path+".secret", "is given beside token_sha256; keep one")
	}
	return strings.ToLower(key.Hash)
}

func (c *Config) checkEngines(k *checker) {
	for _, name := range slices.Sorted(maps.Keys(c.Engines)) {
		e, path := c.Engines[name], "engines."+name
		k.name(name, path)
		switch {
		case e.URL != "":
			u, err := url.Parse(e.URL)
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				k.bad(path+".url", "is not an address such as http://127.0.0.1:8000/v1")
			} else if u.User != nil {
				k.bad(path+".url", "holds a name or password; use api_key")
			}
		case e.Type == "openai" || e.Type == "anthropic":
			k.bad(path+".url", "is missing")
		}
		if e.Profile != "" {
			if _, err := perf.Named(e.Profile); err != nil {
				k.bad(path+".profile", "%v", err)
			}
		}
		if e.Type != "simulated" && (e.Profile != "" || e.Directives || e.Seed != 0) {
			k.bad(path+".type", "profile, seed and directives are for simulated engines, not for %s", e.Type)
		}
		if e.Resolve != "" && e.Type != "openai" && e.Type != "anthropic" {
			k.bad(path+".resolve", "is for engines of type openai and anthropic")
		}
		if e.APIKey != "" {
			if _, err := Secret(e.APIKey); err != nil {
				k.bad(path+".api_key", "%v", err)
			}
		}
		e.Cost.check(k, path+".cost")
	}
}

func (c *Config) checkModels(k *checker) {
	engines := slices.Sorted(maps.Keys(c.Engines))
	for _, id := range slices.Sorted(maps.Keys(c.Models)) {
		m, path := c.Models[id], "models."+id
		if !modelID.MatchString(id) {
			k.bad(path, "an id has 1 to 256 printable characters without spaces, quotes or backslashes, and begins with a letter or digit")
		}
		bound := map[string]bool{}
		for i, b := range m.Engines {
			at := element(path+".engines", i)
			k.known("engines", at+".engine", b.Engine, engines)
			if bound[b.Engine] {
				k.bad(at+".engine", "%q is bound twice", b.Engine)
			}
			bound[b.Engine] = true
			b.Cost.check(k, at+".cost")
		}
		k.limits(&m.Limits, path+".limits")
		c.checkRules(k, &m, path)
		m.Price.check(k, path+".price")
		m.Unit.check(k, path+".unit")
		m.Reserved.check(k, path+".reserved")
		c.checkBase(k, id, &m, path)
	}
	ids := c.modelIDs()
	for _, name := range slices.Sorted(maps.Keys(c.Aliases)) {
		path := "aliases." + name
		if _, ok := c.Models[name]; ok {
			k.bad(path, "is the id of a model that is declared here; an alias cannot stand in for it")
		}
		k.known("models", path, c.Aliases[name], ids)
	}
}

// checkBase checks what a fine-tuned model says of its base.
func (c *Config) checkBase(k *checker, id string, m *Model, path string) {
	if m.Base == "" {
		if len(m.Tags) > 0 {
			k.bad(path+".tags", "are of custom models, which have a base")
		}
		return
	}
	checkTags(k, m.Tags, path+".tags")
	k.known("models", path+".base", m.Base, c.modelIDs())
	if m.Base == id || c.Models[m.Base].Base != "" {
		k.bad(path+".base", "%q is fine-tuned itself; name the model at the bottom", m.Base)
	}
	if slices.ContainsFunc(catalog.Builtin(), func(b *catalog.Model) bool { return b.ID == id }) {
		k.bad(path+".base", "%q is a model of the catalogue, and no fine-tuned one; choose another id", id)
	}
	if m.Family != "" {
		k.bad(path+".family", "is the base's; leave it out")
	}
}

func (c *Config) checkInvocations(k *checker) {
	l := &c.Logging.Invocations
	if l.Location == "" {
		if len(l.LeaveOut) > 0 {
			k.bad("logging.invocations.location", "is missing")
		}
		return
	}
	if _, err := artifact.Parse(l.Location); err != nil {
		k.bad("logging.invocations.location", "%q is neither s3://BUCKET/KEY nor an absolute path", l.Location)
	}
	kinds := []string{"text", "image", "embedding", "video", "audio"}
	for i, kind := range l.LeaveOut {
		k.known("kinds of bodies", element("logging.invocations.leave_out", i), kind, kinds)
	}
}

func (c *Config) checkBuckets(k *checker) {
	for _, name := range slices.Sorted(maps.Keys(c.Buckets)) {
		if !artifact.IsBucket(name) {
			k.bad("buckets."+name, "%q is no name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens", name)
		}
		if dir := c.Buckets[name].Dir; !filepath.IsAbs(dir) {
			k.bad("buckets."+name+".dir", "%q is not an absolute path", dir)
		}
	}
}

// inside reports whether a member below a path is at fault already.
func (k *checker) inside(path string) bool {
	return slices.ContainsFunc(k.faults, func(f Fault) bool { return strings.HasPrefix(f.Path, path) })
}
