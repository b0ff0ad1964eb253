package prove

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Check is one thing that must be so.
type Check struct {
	Claim  string `json:"claim"`
	Figure string `json:"figure"`
	Holds  bool   `json:"holds"`
}

// Experiment is one that was run.
type Experiment struct {
	Name   string      `json:"name"`
	What   string      `json:"what"`
	Facts  [][2]string `json:"facts,omitempty"`
	Checks []Check     `json:"checks"`
	Plots  []Plot      `json:"plots,omitempty"`
}

func (x *Experiment) fact(name, format string, args ...any) {
	x.Facts = append(x.Facts, [2]string{name, fmt.Sprintf(format, args...)})
}

func (x *Experiment) check(holds bool, claim, format string, args ...any) {
	x.Checks = append(x.Checks, Check{Claim: claim, Figure: fmt.Sprintf(format, args...), Holds: holds})
}

// Report is what was run, on what, and what came of it.
type Report struct {
	At          time.Time    `json:"at"`
	Machine     string       `json:"machine"`
	Version     string       `json:"version"`
	Setting     Setting      `json:"setting"`
	Experiments []Experiment `json:"experiments"`
}

// Holds says whether every check of every experiment holds.
func (r *Report) Holds() bool {
	for i := range r.Experiments {
		for _, c := range r.Experiments[i].Checks {
			if !c.Holds {
				return false
			}
		}
	}
	return true
}

// Markdown writes the report, with its plots as SVG files beside it: plot names the file of one.
func (r *Report) Markdown(w io.Writer, plot func(Plot) (string, error)) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Run %s with forebay %s on %s.\n\n", r.At.UTC().Format("2006-01-02 15:04 MST"), r.Version, r.Machine)
	for i := range r.Experiments {
		x := &r.Experiments[i]
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", x.Name, x.What)
		for _, f := range x.Facts {
			fmt.Fprintf(&b, "- %s: %s\n", f[0], f[1])
		}
		b.WriteString("\n| claim | measured | holds |\n|---|---|---|\n")
		for _, c := range x.Checks {
			holds := "**no**"
			if c.Holds {
				holds = "yes"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", c.Claim, c.Figure, holds)
		}
		b.WriteString("\n")
		for _, p := range x.Plots {
			name, err := plot(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "![%s](%s)\n\n", p.Title, name)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
