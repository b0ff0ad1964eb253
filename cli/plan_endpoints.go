package cli

import (
	"strconv"
	"strings"
	"time"

	"forebay/capacity/scale"
	"forebay/fault"
	"forebay/plan"
)

var planMetrics = map[string]scale.Metric{
	"concurrency": scale.MetricConcurrency, "invocations": scale.MetricInvocations, "utilisation": scale.MetricUtilisation, "utilization": scale.MetricUtilisation,
}

func (c *planScaling) scaling(q *plan.Question) error {
	q.InstanceStart = c.InstanceStart
	s := &plan.Scaling{Metric: planMetrics[c.ScaleMetric], Target: c.ScaleTarget * 10, OutCooldown: c.ScaleOutCooldown, InCooldown: c.ScaleInCooldown}
	if s.Metric == 0 {
		return fault.Newf(fault.Invalid, "--scale-metric %q: give concurrency, invocations or utilisation", c.ScaleMetric)
	}
	for _, text := range c.ScaleSchedule {
		x, err := scheduledAction(text)
		if err != nil {
			return err
		}
		s.Scheduled = append(s.Scheduled, x)
	}
	q.Scaling = s
	return nil
}

// scheduledAction reads WHEN=MIN-MAX, or WHEN=N for as many always.
func scheduledAction(text string) (x plan.Scheduled, err error) {
	at := strings.LastIndexByte(text, '=')
	if at < 0 {
		return x, fault.Newf(fault.Invalid, "--scale-schedule %q is not WHEN=MIN-MAX, such as cron(55 8 ? * MON-FRI *)=4-12", text)
	}
	x.When = strings.TrimSpace(text[:at])
	if _, err := scale.ParseSchedule(x.When, time.UTC); err != nil {
		return x, fault.Newf(fault.Invalid, "--scale-schedule: %v", err)
	}
	low, high, ranged := strings.Cut(strings.TrimSpace(text[at+1:]), "-")
	if !ranged {
		high = low
	}
	least, err1 := strconv.ParseInt(low, 10, 32)
	most, err2 := strconv.ParseInt(high, 10, 32)
	if err1 != nil || err2 != nil {
		return x, fault.Newf(fault.Invalid, "--scale-schedule %q: give the least and the most instances behind it, such as =4-12", text)
	}
	x.Min, x.Max = int32(least), int32(most)
	return x, nil
}

func (c *planServerless) serverless(q *plan.Question) error {
	if c.ServerlessPrice == "" && c.ServerlessCall == "" && c.ServerlessTokens == "" {
		return nil
	}
	in, out, both := strings.Cut(c.ServerlessTokens, "/")
	if c.ServerlessTokens != "" && !both {
		return fault.Newf(fault.Invalid, "--serverless-tokens %q is not INPUT/OUTPUT, the prices of a million tokens, such as 0.90/0.90", c.ServerlessTokens)
	}
	s := &plan.ServerlessOffer{
		Currency: "USD", Idle: c.IdleTimeout, Cold: c.ColdStart, Window: c.ServerlessWindow, Concurrency: c.ServerlessConcurrency,
		Provisioned: c.Provisioned, Hold: c.HoldTime, Held: c.HoldCalls, Source: givenOffer,
	}
	for _, x := range []struct {
		flag, text string
		into       *int64
	}{{"--serverless-price", c.ServerlessPrice, &s.Hour}, {"--serverless-call", c.ServerlessCall, &s.Invocation}, {"--serverless-tokens", in, &s.Input}, {"--serverless-tokens", out, &s.Output}, {"--serverless-provisioned-price", c.ProvisionedPrice, &s.ProvisionedHour}} {
		if x.text == "" {
			continue
		}
		n, err := priced(x.flag, x.text)
		if err != nil {
			return err
		}
		*x.into = n
	}
	if s.ProvisionedHour == 0 {
		s.ProvisionedHour = s.Hour
	}
	q.Serverless = s
	return nil
}
