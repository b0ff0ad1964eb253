package server

import (
	"cmp"
	"maps"
	"slices"

	"forebay/api/admin"
	"forebay/catalog"
	"forebay/config"
	"forebay/perf"
)

// calibration is what is known of a replica of an engine with a model, false for nothing.
func (p *serving) calibration(model, engine string) (config.Calibration, bool) {
	c, ok := p.cfg.Calibrations[model+"/"+engine]
	return c, ok
}

// profile is the model of an engine with a model: as it was measured or given, else the one that a simulated engine runs on.
func (p *serving) profile(model, engine string) (perf.Profile, bool) {
	if c, ok := p.calibration(model, engine); ok {
		return c.Profile(), true
	}
	e := p.engine(engine)
	return profileOf(&e)
}

// size gives models the unit that was measured, where nobody has given another.
func (p *serving) size(models map[string]*catalog.Model) {
	for id, m := range models {
		if unit := p.measuredUnit(id); unit != nil && m.Unit == nil {
			sized := *m
			sized.Unit = unit
			models[id] = &sized
		}
	}
}

// measuredUnit is the size of a model's unit by its calibrations, nil where none says one: the smallest, which every engine backs.
func (p *serving) measuredUnit(model string) *catalog.Unit {
	var out *catalog.Unit
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Calibrations)) {
		c := p.cfg.Calibrations[name]
		of, engine, _ := config.SplitCalibration(name)
		if of != model || c.UnitInput == 0 || out != nil && out.Input <= c.UnitInput {
			continue
		}
		out = &catalog.Unit{Input: c.UnitInput, Output: c.UnitOutput, Basis: basis(&c), Source: cmp.Or(c.Measured, "configuration") + ", engine " + engine}
	}
	return out
}

func basis(c *config.Calibration) catalog.Basis {
	if c.Measured != "" {
		return catalog.BasisMeasured
	}
	return catalog.BasisGiven
}

// capacities are what is known of the engines of a model.
func (p *serving) capacities(m *catalog.Model) []admin.Capacity {
	var out []admin.Capacity
	for _, b := range p.bindings(m.ID) {
		x := admin.Capacity{Engine: b.Engine, Basis: catalog.BasisPlaceholder}
		profile, ok := p.profile(m.ID, b.Engine)
		if c, known := p.calibration(m.ID, b.Engine); known {
			x.Basis, x.Measured, x.KVAtLeast = basis(&c), c.Measured, c.KVAtLeast
		} else if ok {
			x.Basis, x.Profile = catalog.BasisGiven, profile.Name
		}
		if ok {
			p.figures(&x, m, &profile)
		}
		out = append(out, x)
	}
	return out
}

// figures adds what follows from an engine's model.
func (p *serving) figures(x *admin.Capacity, m *catalog.Model, profile *perf.Profile) {
	e := p.engine(x.Engine)
	slots := profile.MaxBatch
	if e.Slots > 0 {
		slots = min(slots, int(e.Slots))
	}
	x.Slots, x.KV = int64(slots), profile.KV
	x.StepMicros, x.PrefillTokenMicros = micros(profile.Step), micros(profile.PrefillToken)
	x.ContextTokenMicros, x.SequenceMicros = micros(profile.ContextToken), micros(profile.Sequence)
	unit, sold := m.UnitSize()
	if !sold {
		unit = catalog.Unit{Input: 10, Output: 1}
	}
	pool := perf.Pool{Profile: *profile, Replicas: 1, Slots: slots}
	sells := pool.Unit(callsOf(&unit), 1)
	x.InputPerMinute, x.OutputPerMinute = sells.Input, sells.Output
}

func micros(ps int64) float64 { return float64(ps) / 1e6 }
