package dispatch

// Excess is what calls were charged beyond what they held, on the token quotas of one level, since the start. Each
// such charge is carried as debt.
type Excess struct {
	Level    string // "key", "team", "account", "model"
	Burndown int64  // tokens: output that counts more than once
	Estimate int64  // tokens: prompts that were longer than their estimate
}

// Excess returns what was charged beyond the holds, by level.
func (d *Dispatcher) Excess() []Excess {
	out := []Excess{{Level: scopeNames[scopeKey]}, {Level: scopeNames[scopeTeam]}, {Level: scopeNames[scopeAccount]}, {Level: scopeNames[scopeModel]}}
	d.mu.Lock()
	defer d.mu.Unlock()
	for ref, limits := range d.world.Load().scopes {
		for i := range out {
			if out[i].Level != scopeNames[ref.kind] {
				continue
			}
			for j := range limits {
				if limits[j].name != limitTPM {
					continue
				}
				if b, ok := d.state.Bucket(limits[j].bucket); ok {
					out[i].Burndown += b.BurndownExcess
					out[i].Estimate += b.EstimateExcess
				}
			}
		}
	}
	return out
}
