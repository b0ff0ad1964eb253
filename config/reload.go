package config

import "reflect"

// KeepFixed gives c the values of a running server's configuration where they cannot change
// while it runs, and lists the members that differ: the operator's account id, and all whose
// tag does not say live.
func (c *Config) KeepFixed(running *Config) []string {
	var differ []string
	keep := func(path string, v, was reflect.Value) {
		if !reflect.DeepEqual(v.Interface(), was.Interface()) {
			differ = append(differ, path)
			v.Set(was)
		}
	}
	var walk func(path string, now, was reflect.Value)
	walk = func(path string, now, was reflect.Value) {
		for name, f := range members(now.Type()) {
			at, v, old := join(path, name), now.FieldByIndex(f.Index), was.FieldByIndex(f.Index)
			switch {
			case f.Tag.Get("live") == "true":
			case v.Kind() == reflect.Struct:
				walk(at, v, old)
			default:
				keep(at, v, old)
			}
		}
	}
	walk("", reflect.ValueOf(c).Elem(), reflect.ValueOf(running).Elem())
	keep("account.id", reflect.ValueOf(&c.Account.ID).Elem(), reflect.ValueOf(&running.Account.ID).Elem())
	c.NoAuth, c.NoLedger = running.NoAuth, running.NoLedger
	return differ
}
