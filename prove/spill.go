package prove

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"
)

// route names the lanes of the experiment of spilling: what was bought, and then the model on demand.
const (
	route      = "proof-route"
	laneBought = "bought"
	laneSpill  = "on-demand"
	spillName  = "proof-spill"
)

// The price of the model, nano-units of USD a token.
const (
	priceInput  = 100_000 // 100 USD a million
	priceOutput = 400_000
)

// demands are the shares of the purchase that are asked for, one after the other, from a purchase that is used up.
var demands = []float64{2, 1.5, 1.25, 1, 0.8, 0.6}

// spill is the experiment of a route that serves from a purchase first and lets the rest go on demand.
func (l *Lab) spill(ctx context.Context) (x *Experiment, err error) {
	s := &l.Setting
	length := min(s.Length, 25*time.Second)
	const units = 4 // of a hundred: the pool is never the limit
	bought := l.r.pool * units / 100
	x = &Experiment{
		Name: "What exceeds a purchase spills",
		What: fmt.Sprintf("A route serves from a purchase of %.2f calls a second first, and on demand what exceeds it. The purchase is used up at the start; then calls come at even distances, from twice the purchase down to 0.6 of it, %v each.", bought, length),
	}
	_, giveBack, err := l.buy(ctx, spillName, Model, "", units)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, giveBack()) }()
	call := Stream{Name: "route", Key: l.Key, Model: route, Even: true, Input: s.Input, Output: s.Output, MaxTokens: 128}
	fill := call
	fill.Rate = 8 * bought
	l.say(time.Minute/6, "using the purchase up")
	all := drive(ctx, l.URL, []Stream{fill}, time.Minute/6)
	bucket := float64(count(all, func(c *Sample) bool { return c.Lane == laneBought }))
	depth := bought * 60 // in calls
	bucket -= bought * 10
	served, predicted := Line{Name: "served by the purchase"}, Line{Name: "closed form"}
	for _, demand := range demands {
		at := call
		at.Rate = demand * bought
		l.say(length, "%.0f %% of the purchase", 100*demand)
		began := time.Now()
		samples := drive(ctx, l.URL, []Stream{at}, length)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		took := time.Since(began).Seconds()
		own := count(samples, func(c *Sample) bool { return c.Lane == laneBought })
		gone := count(samples, func(c *Sample) bool { return c.Lane == laneSpill })
		want := min(float64(len(samples)), depth-bucket+bought*length.Seconds())
		// A call is taken while what was used is within the depth: the last one passes it, and so does what is still being produced.
		slack := 1 + at.Rate*0.5 + 0.02*want
		x.check(own+gone == len(samples) && math.Abs(float64(own)-want) <= slack,
			fmt.Sprintf("at %.0f %% the purchase serves what it holds, and the rest spills", 100*demand),
			"%d of %d calls served by the purchase, closed form %.0f; %d spilled", own, len(samples), want, gone)
		bucket = max(0, min(bucket+float64(own)-bought*took, depth+slack))
		served.X, served.Y = append(served.X, 100*demand), append(served.Y, float64(own)/length.Seconds())
		predicted.X, predicted.Y = append(predicted.X, 100*demand), append(predicted.Y, want/length.Seconds())
		all = append(all, samples...)
	}
	if err := l.judgeMoney(ctx, x, all); err != nil {
		return nil, err
	}
	x.Plots = append(x.Plots, Plot{Name: "spill", Title: "Calls a second that the purchase served", X: "demand, % of the purchase", Y: "calls a second", Lines: []Line{served, predicted}})
	return x, nil
}

// judgeMoney holds the ledger against what the calls must have cost: nothing for those that the purchase served, their tokens for the others.
func (l *Lab) judgeMoney(ctx context.Context, x *Experiment, all []Sample) error {
	var usage struct {
		Rows []struct {
			Group    []string `json:"group"`
			Requests int64    `json:"requests"`
			Charge   int64    `json:"chargeNano"`
		} `json:"rows"`
	}
	if err := l.ask(ctx, http.MethodGet, "/admin/v1/usage?by=route,lane", nil, &usage); err != nil {
		return err
	}
	spilled := count(all, func(c *Sample) bool { return c.Lane == laneSpill && c.Status == http.StatusOK })
	s := &l.Setting
	want := int64(spilled) * (int64(s.Input)*priceInput + int64(s.Output)*priceOutput)
	var got, own int64
	for _, r := range usage.Rows {
		switch {
		case r.Group[0] != route:
		case r.Group[1] == laneSpill:
			got += r.Charge
		case r.Group[1] == laneBought:
			own += r.Charge
		}
	}
	usd := func(nano int64) string { return fmt.Sprintf("%d.%09d USD", nano/1e9, nano%1e9) }
	x.check(got == want && spilled > 0, "what spilled is charged by its tokens, to the last digit", "%s on the ledger, %d calls x their price are %s", usd(got), spilled, usd(want))
	x.check(own == 0, "what the purchase served is charged by the hour and not by the token", "%s", usd(own))
	return nil
}
