package config

import "reflect"

// KeepFixed gives c the values of a running server's configuration where they cannot change
// while it runs, and lists the members that differ. Those members are the operator's
// account id, the data directory, and all of server, ledger, tracing and logging whose tag
// does not say live.
func (c *Config) KeepFixed(running *Config) []string {
	var differ []string
	keep := func(path string, v, was reflect.Value) {
		if !reflect.DeepEqual(v.Interface(), was.Interface()) {
			differ = append(differ, path)
			v.Set(was)
		}
	}
	now, was := reflect.ValueOf(c).Elem(), reflect.ValueOf(running).Elem()
	for name, f := range members(now.Type()) {
		switch name {
		case "data_dir":
			keep(name, now.FieldByIndex(f.Index), was.FieldByIndex(f.Index))
		case "server", "ledger", "tracing", "logging":
			for part, g := range members(f.Type) {
				if g.Tag.Get("live") != "true" {
					keep(join(name, part), now.FieldByIndex(f.Index).FieldByIndex(g.Index), was.FieldByIndex(f.Index).FieldByIndex(g.Index))
				}
			}
		}
	}
	keep("account.id", reflect.ValueOf(&c.Account.ID).Elem(), reflect.ValueOf(&running.Account.ID).Elem())
	c.NoAuth = running.NoAuth
	return differ
}
