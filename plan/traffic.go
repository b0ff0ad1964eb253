package plan

import (
	"cmp"
	"slices"
	"time"

	"forebay/workload"
)

// Traffic is what a traffic is like.
type Traffic struct {
	Name   string     `json:"name"`
	Format string     `json:"format"`
	Start  *time.Time `json:"start,omitempty"`
	// Minutes is how much of it was looked at.
	Minutes    int64 `json:"minutes"`
	Calls      int64 `json:"calls"`
	CallsADay  int64 `json:"callsPerDay"`
	MeanInput  int64 `json:"meanInputTokens"` // with cached ones
	MeanCached int64 `json:"meanCachedTokens,omitzero"`
	MeanOutput int64 `json:"meanOutputTokens"`
	// PeakCalls and PeakTokens are those of the busiest minutes, in thousandths; PeakFactor is the peak over the mean of tokens, in thousandths.
	PeakCalls  int64 `json:"peakCallsPerMinuteMilli"`
	PeakTokens int64 `json:"peakTokensPerMinute"`
	PeakMinute int64 `json:"peakMinute"` // from the start on
	PeakFactor int64 `json:"peakOverMeanMilli"`
	// Empty is the share of minutes without a call, per mille. They may be missing data and not idleness: Notes say which was assumed.
	Empty int64 `json:"emptyMinutes"`
	// Missing is the share of minutes of which nothing is known, and which are taken to be like others, per mille.
	Missing int64 `json:"missingMinutes,omitzero"`
	// Hours are the mean calls a minute by the hour of the day, in thousandths, in the traffic's own time.
	Hours    []int64           `json:"callsPerMinuteMilliByHour"`
	Grain    int64             `json:"grainNanos,omitzero"`
	Expected bool              `json:"expected"` // of a shape, and not counted
	Columns  []workload.Column `json:"columns,omitempty"`
	Notes    []string          `json:"notes,omitempty"`
	Faults   []workload.Fault  `json:"faults,omitempty"`
}

// emptyBelow is the expected number of calls of a minute that counts as empty.
const emptyBelow = 1e-9

// summary describes a traffic after its flow was measured.
func summary(s workload.Source, d *Demand) *Traffic {
	info := s.Info()
	t := &Traffic{
		Name: info.Name, Format: info.Format, Minutes: int64(len(d.Minutes)), Calls: whole(d.Total.Calls),
		Grain: int64(info.Grain), Expected: d.Expected, Columns: info.Columns, Notes: info.Notes, Faults: s.Faults(),
	}
	if !info.Start.IsZero() {
		t.Start = &info.Start
	}
	t.CallsADay = whole(d.Total.Calls / d.days())
	t.MeanInput = whole((d.Total.Input + d.Total.Cached) / d.Total.Calls)
	t.MeanCached = whole(d.Total.Cached / d.Total.Calls)
	t.MeanOutput = whole(d.Total.Output / d.Total.Calls)
	calls, _ := d.peak(func(f *Flow) float64 { return f.Calls })
	most, at := d.peak(func(f *Flow) float64 { return f.Input + f.Cached + f.Output })
	t.PeakCalls, t.PeakTokens, t.PeakMinute = whole(1000*calls), whole(most), int64(at)
	t.PeakFactor = whole(1000 * most * float64(len(d.Minutes)) / (d.Total.Input + d.Total.Cached + d.Total.Output))
	empty := 0
	for i := range d.Minutes {
		if d.Minutes[i].Calls < emptyBelow {
			empty++
		}
	}
	t.Empty = int64(1000 * empty / len(d.Minutes))
	t.Missing = int64(1000 * d.missing / len(d.Minutes))
	t.Hours = hours(d)
	slices.SortFunc(t.Faults, func(a, b workload.Fault) int { return cmp.Compare(a.Line, b.Line) })
	return t
}

// hours returns the mean calls a minute of each hour of the day, in thousandths.
func hours(d *Demand) []int64 {
	var calls [24]float64
	var minutes [24]int
	for i := range d.Minutes {
		h := i / 60 % 24
		if !d.Start.IsZero() {
			h = d.Start.Add(time.Duration(i) * time.Minute).Hour()
		}
		calls[h] += d.Minutes[i].Calls
		minutes[h]++
	}
	out := make([]int64, 24)
	for h := range out {
		if minutes[h] > 0 {
			out[h] = whole(1000 * calls[h] / float64(minutes[h]))
		}
	}
	return out
}
