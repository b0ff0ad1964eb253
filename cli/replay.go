package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"time"

	"forebay/capacity"
	"forebay/capacity/eventlog"
	"forebay/capacity/script"
)

type replayCmd struct {
	Files []string `arg:"" help:"Segments that a server with a recording: section has written." type:"path"`
	Quiet bool     `help:"Only say whether the scheduler decides today as it did then." short:"q"`
}

// Run implements the verb: it feeds recorded events to the scheduler, and shows them with what came of them, then and now.
func (c *replayCmd) Run(e *env) error {
	out := bufio.NewWriter(e.Out)
	var differ int
	var errs []error
	for _, name := range c.Files {
		n, err := c.replay(out, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		differ += n
	}
	if differ > 0 {
		errs = append(errs, fmt.Errorf("%d events give other actions than they did", differ))
	}
	return errors.Join(append(errs, out.Flush())...)
}

// replay shows one segment and returns how many events give other actions today.
func (c *replayCmd) replay(out *bufio.Writer, name string) (differ int, err error) {
	f, err := os.Open(name) //nolint:gosec // the operator's own file
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	log, err := eventlog.NewReader(bufio.NewReader(f))
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(out, "# %s from %s\n", name, log.Started().UTC().Format(time.RFC3339Nano))
	events := 0
	err = eventlog.Replay(log, func(rec *eventlog.Record, actions []capacity.Action, same bool) error {
		if rec.Name == "" {
			events++
		}
		if !same {
			differ++
		}
		if !c.Quiet || !same {
			show(out, rec, actions, same)
		}
		return nil
	})
	fmt.Fprintf(out, "# %d events, %d of them with other actions than then\n", events, differ)
	return differ, err
}

func show(out *bufio.Writer, rec *eventlog.Record, actions []capacity.Action, same bool) {
	if rec.Name != "" {
		fmt.Fprintf(out, "# %s %d is %s\n", rec.Kind, rec.Handle, rec.Name)
		return
	}
	fmt.Fprintf(out, "%s %s\n", time.Duration(rec.Now), script.FormatEvent(&rec.Event))
	for i := range actions {
		fmt.Fprintf(out, "    -> %s\n", script.FormatAction(&actions[i]))
	}
	if !same {
		fmt.Fprintf(out, "    !! then it gave %d actions, and others\n", rec.Actions)
	}
}
