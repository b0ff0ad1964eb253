package calibrate

// Counter is what an engine published of a stretch of time, such as a second.
type Counter struct {
	Seconds   float64 `json:"seconds"`
	Prompt    float64 `json:"prompt"`    // tokens read
	Generated float64 `json:"generated"` // tokens produced
	Running   float64 `json:"running"`   // sequences, at the end
	Waiting   float64 `json:"waiting"`   // likewise
	KV        float64 `json:"kv"`        // tokens of memory held, at the end
}

// FromCounters makes samples of counters, in order of time. A stretch is a sample where the engine was busy at both ends. Steps are not
// published, but each produces one token for each running sequence, so there were generated / running of them.
func FromCounters(list []Counter) []Sample {
	var out []Sample
	for i := 1; i < len(list); i++ {
		c, before := &list[i], &list[i-1]
		if before.Running < 1 || c.Running < 1 || c.Generated < 1 || c.Seconds <= 0 {
			continue
		}
		running := (before.Running + c.Running) / 2
		steps := c.Generated / running
		out = append(out, Sample{
			Seconds: c.Seconds, Steps: steps, Prefill: c.Prompt, Context: steps * (before.KV + c.KV) / 2, Decoded: c.Generated, Batch: running,
		})
	}
	return out
}
