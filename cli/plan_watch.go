package cli

import (
	"fmt"
	"strings"
	"time"

	"forebay/fault"
	"forebay/plan"

	"github.com/go-json-experiment/json"
)

// planWatch is advice while the future is not known.
type planWatch struct {
	Watch bool          `help:"Say what to reserve now, on what has been seen so far, and look at the traffic again from time to time."`
	Every time.Duration `help:"How often --watch looks; 0 is once." default:"1m"`
	Held  int64         `help:"Units that are held already, for --watch." placeholder:"N"`
}

// watch prints advice, and prints it again when it changes, until it is stopped.
func (c *planCmd) watch(e *env) error {
	if c.Shape != "" {
		return badInput{fault.New(fault.Invalid, "--watch is for recorded traffic: a shape in words has no past to learn from; give --trace FILE or --ledger")}
	}
	if c.Every < 0 {
		return badInput{fault.New(fault.Invalid, "--every must not be negative")}
	}
	last := ""
	for {
		text, err := c.advice(e)
		if err != nil {
			return bad(err)
		}
		if text != last {
			if _, err := e.Out.Write([]byte(text)); err != nil {
				return err
			}
			last = text
		}
		if c.Every == 0 {
			return nil
		}
		select {
		case <-e.ctx.Done():
			return nil
		case <-time.After(c.Every):
		}
	}
}

// advice is what there is to say now, as text or a line of JSON.
func (c *planCmd) advice(e *env) (string, error) {
	q, done, err := c.question(e.ctx)
	if err != nil {
		return "", err
	}
	defer done()
	list, err := plan.Advise(e.ctx, q, c.Held)
	if err != nil {
		return "", err
	}
	if c.JSON {
		text, err := json.Marshal(list)
		return string(text) + "\n", err
	}
	var text strings.Builder
	for i := range list {
		text.WriteString(adviceText(&list[i]))
	}
	return text.String(), nil
}

// adviceText is one advice for people.
func adviceText(a *plan.Advice) string {
	text := plain(a.Model) + ": " + plain(a.Says) + ".\n"
	if n := len(a.Buys); n > 0 {
		text += fmt.Sprintf("  Followed from the first hour on it would have bought %d times, last after hour %d, and have cost %s %s by now, with what is left of the terms; everything on demand %s.\n",
			n, a.Buys[n-1].Hour, plan.Amount(a.Paid), a.Currency, plan.Amount(a.OnDemand))
	}
	return text
}
