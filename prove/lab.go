package prove

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Lab is where experiments run: a server, and what belongs to it.
type Lab struct {
	URL string
	// Key is of the account that buys, and may call.
	Key string
	// Dir is that of Setting.Files.
	Dir     string
	Setting Setting
	// Model and Tenants make the experiments run on an operator's own pool: the model that it serves, and the keys of tenants, each of an account
	// or a team of its own. Nothing is known there of the scheduler's record, and only contention and isolated can be shown.
	Model   string
	Tenants []string
	// Proxies are those of Setting.Files; without them there is no experiment of faults.
	Proxies []*Proxy
	// Progress, if any, is told what is under way, and how long it takes.
	Progress func(what string, length time.Duration)

	r      rates
	watch  []visitor
	finish []func()
}

// Run makes the experiments that are named, all when none is, one after the other. Finish completes the report.
func (l *Lab) Run(ctx context.Context, names []string) ([]*Experiment, error) {
	var err error
	if l.r, err = l.Setting.rates(); err != nil {
		return nil, err
	}
	known := Experiments()
	if l.foreign() {
		known = []string{"contention", "isolated"}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no experiment %q here; there are %s", name, strings.Join(known, ", "))
		}
	}
	if l.foreign() && len(names) == 0 {
		names = known[:1]
	}
	var out []*Experiment
	for _, x := range experiments {
		if len(names) > 0 && !slices.Contains(names, x.name) {
			continue
		}
		done, err := x.run(l, ctx)
		if err != nil {
			return out, fmt.Errorf("%s: %w", x.name, err)
		}
		out = append(out, done)
	}
	return out, nil
}

// foreign says that the pool is an operator's own.
func (l *Lab) foreign() bool { return l.Model != "" }

func (l *Lab) model() string { return cmp.Or(l.Model, Model) }

// tenant returns the key of a tenant.
func (l *Lab) tenant(i int) (string, error) {
	if l.foreign() {
		return l.Tenants[i], nil
	}
	return key(l.Dir, i)
}

// Finish decides the scheduler's record again, when the server has stopped, and completes the experiments with what it shows.
func (l *Lab) Finish(experiments []*Experiment) error {
	if l.foreign() {
		return nil
	}
	l.say(0, "deciding the recorded events again")
	again, err := replay(filepath.Join(l.Dir, recordingFolder), l.watch...)
	if err != nil {
		return err
	}
	for _, f := range l.finish {
		f()
	}
	for _, x := range experiments {
		x.check(again.Differ == 0, "every recorded event is decided the same again, to the byte", "%d of %d events differ", again.Differ, again.Events)
	}
	return nil
}

// Experiments names those that there are.
func Experiments() []string {
	var names []string
	for _, x := range experiments {
		names = append(names, x.name)
	}
	return names
}

var experiments = []struct {
	name string
	run  func(*Lab, context.Context) (*Experiment, error)
}{
	{"contention", (*Lab).contention},
	{"isolated", (*Lab).isolated},
	{"idle", (*Lab).idle},
	{"overshoot", (*Lab).overshoot},
	{"spill", (*Lab).spill},
	{"faults", (*Lab).faults},
}

func (l *Lab) say(length time.Duration, format string, args ...any) {
	if l.Progress != nil {
		l.Progress(fmt.Sprintf(format, args...), length)
	}
}

// ask makes a call of the Bedrock API.
func (l *Lab) ask(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, l.URL+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+l.Key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch {
	case err != nil:
		return err
	case res.StatusCode/100 != 2:
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	case out == nil:
		return nil
	default:
		return json.Unmarshal(text, out)
	}
}

// buy buys model units and returns the ARN once they are in service, and what gives them back, whatever has become of the experiment meanwhile.
func (l *Lab) buy(ctx context.Context, name, model, isolation string, units int) (arn string, giveBack func() error, err error) {
	var made struct {
		ARN string `json:"provisionedModelArn"`
	}
	order := map[string]any{"provisionedModelName": name, "modelId": model, "modelUnits": units}
	if isolation != "" {
		order["tags"] = []map[string]string{{"key": "forebay:isolation", "value": isolation}}
	}
	if err := l.ask(ctx, http.MethodPost, "/provisioned-model-throughput", order, &made); err != nil {
		return "", nil, err
	}
	giveBack = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackWithin)
		defer cancel()
		return l.ask(ctx, http.MethodDelete, "/provisioned-model-throughput/"+name, nil, nil)
	}
	if err := l.inService(ctx, name); err != nil {
		return "", nil, errors.Join(err, giveBack())
	}
	return made.ARN, giveBack, nil
}

// giveBackWithin bounds how long the end of a purchase may take to be taken.
const giveBackWithin = 10 * time.Second

// inService waits until a purchase is.
func (l *Lab) inService(ctx context.Context, name string) error {
	for {
		var is struct {
			Status string `json:"status"`
			Why    string `json:"failureMessage"`
		}
		if err := l.ask(ctx, http.MethodGet, "/provisioned-model-throughput/"+name, nil, &is); err != nil {
			return err
		}
		switch is.Status {
		case "InService":
			return nil
		case "Failed":
			return errors.New("the purchase failed: " + is.Why)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
