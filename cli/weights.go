package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"forebay/artifact"
	"forebay/artifact/cache"
	"forebay/artifact/fetch"
	"forebay/config"
	"forebay/fault"
	"forebay/server"
)

// weightsFlags say which cache of weights is meant. Its verbs work on the folder itself, beside a server that may have it open.
type weightsFlags struct {
	ConfigPath string `name:"config" help:"Configuration file, whose data_dir and weights count." type:"path" placeholder:"FILE"`
	DataDir    string `help:"Data directory; FOREBAY_DATA_DIR, or the usual one." type:"path" placeholder:"DIR"`
	JSON       bool   `name:"json" help:"Print JSON."`
}

func (f *weightsFlags) open() (*cache.Cache, error) {
	cfg, err := config.Load(f.ConfigPath)
	if f.DataDir != "" {
		cfg.Override("data_dir", func() { cfg.DataDir = f.DataDir })
	}
	if err != nil {
		return nil, err
	}
	if faults, ok := errors.AsType[config.Faults](cfg.Validate()); ok { // a secret of an engine, say, is not needed here
		faults = slices.DeleteFunc(faults, func(x config.Fault) bool {
			return !strings.HasPrefix(x.Path, "weights") && !strings.HasPrefix(x.Path, "buckets") && x.Path != "data_dir" && x.Path != ""
		})
		if len(faults) > 0 {
			return nil, faults
		}
	}
	return server.Weights(&cfg)
}

type modelPull struct {
	weightsFlags
	Ref    string `arg:"" help:"Where the weights are: hf://ORG/NAME[@REVISION][/FILE or pattern], s3://BUCKET/KEY, https://HOST/FILE or a path, with #sha256=HEX where the content of one file is known."`
	Accept bool   `name:"accept-licence" help:"Accept the licence of the weights, which is recorded with your name."`
}

// Run implements the verb.
func (c *modelPull) Run(e *env) error {
	text := c.Ref
	if strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../") {
		abs, err := filepath.Abs(text)
		if err != nil {
			return err
		}
		text = abs
	}
	ref, err := artifact.ParseRef(text)
	if err != nil {
		return badInput{err}
	}
	weights, err := c.open()
	if err != nil {
		return weightsError(err)
	}
	lease, err := c.pull(e, weights, ref)
	if err != nil {
		return weightsError(err)
	}
	return errors.Join(c.report(e, weights, lease), lease.Release())
}

// pull brings the weights, and asks for what has to be accepted before.
func (c *modelPull) pull(e *env, weights *cache.Cache, ref artifact.Ref) (*cache.Lease, error) {
	open := func() (*cache.Lease, error) {
		bar := &progressBar{out: e.Err, since: time.Now(), silent: !e.Terminal || c.JSON}
		defer bar.clear()
		return weights.Open(e.ctx, ref, (&pullProgress{bar: bar, now: time.Now}).show)
	}
	lease, err := open()
	if fault.From(err) == nil || fault.From(err).Code != cache.CodeLicence {
		return lease, err
	}
	l, derr := weights.Describe(e.ctx, ref)
	if derr != nil {
		return nil, derr
	}
	_, _ = fmt.Fprintf(e.Err, "The licence of %s: %s, see %s\n", plain(l.Licence.Of), plain(l.Licence.String()), plain(l.Licence.Link))
	if !c.Accept && (!e.Terminal || c.JSON || !agree(e)) {
		return nil, err
	}
	by := "unknown"
	if u, err := user.Current(); err == nil {
		by = u.Username
	}
	if err := weights.Accept(l.Licence, by); err != nil {
		return nil, err
	}
	return open()
}

// agree asks the person at the terminal. Nobody answers for one who says nothing.
func agree(e *env) bool {
	_, _ = fmt.Fprint(e.Err, "Do you accept it? [y/N] ")
	line := make(chan string, 1)
	go func() { // ends with the command at the latest: a read of a terminal cannot be called off
		text, _ := bufio.NewReader(e.In).ReadString('\n') // what came before an end counts
		line <- strings.ToLower(strings.TrimSpace(text))
	}()
	select {
	case <-e.ctx.Done():
		return false
	case text := <-line:
		return text == "y" || text == "yes"
	}
}

// pulled is what is told of weights that are here.
type pulled struct {
	Ref      string            `json:"ref"`
	Pinned   string            `json:"pinned"`
	ID       string            `json:"id,omitzero"`
	Path     string            `json:"path"`
	Bytes    int64             `json:"bytes"`
	Files    int               `json:"files"`
	Licence  fetch.Licence     `json:"licence,omitzero"`
	Accepted *cache.Acceptance `json:"accepted,omitzero"`
	Stale    bool              `json:"stale,omitzero"`
}

func (c *modelPull) report(e *env, weights *cache.Cache, lease *cache.Lease) error {
	s := lease.Snapshot()
	p := pulled{Ref: s.Ref, Pinned: s.Pinned, ID: s.ID, Path: lease.Path(), Bytes: s.Bytes, Files: len(s.Files), Licence: s.Licence, Stale: lease.Stale()}
	if a, ok := weights.Accepted(s.Licence); ok {
		p.Accepted = &a
	}
	if c.JSON {
		return printJSON(e, p)
	}
	size := bytesText(p.Bytes)
	if s.Folder {
		size += fmt.Sprintf(" in %d files", p.Files)
	}
	rows := [][]string{{"weights", p.Pinned}, {"size", size}}
	if s.Licence.Of != "" {
		text := s.Licence.String() + ", see " + s.Licence.Link
		if p.Accepted != nil {
			text += "; accepted by " + p.Accepted.By + " on " + p.Accepted.At.Format(time.DateOnly)
		}
		rows = append(rows, []string{"licence", text})
	}
	if p.Stale {
		rows = append(rows, []string{"note", "the source cannot be reached: this is what it had the last time"})
	}
	return table(e, "path\t"+plain(p.Path), rows)
}

// pullProgress makes a line of each step of a pull.
type pullProgress struct {
	bar   *progressBar
	now   func() time.Time
	since time.Time // of the first bytes that were seen
	had   int64     // bytes that were there then
}

func (p *pullProgress) show(x cache.Progress) {
	if x.Phase != cache.Downloading {
		p.since = time.Time{}
	} else if p.since.IsZero() {
		p.since, p.had = p.now(), x.Done
	}
	share := int64(0)
	if x.Total > 0 {
		share = min(1000, x.Done*1000/x.Total)
	}
	p.bar.show(share, p.line(x))
}

// line says how far a step is, how fast and for how long.
func (p *pullProgress) line(x cache.Progress) string {
	text := string(x.Phase)
	if x.Done > 0 {
		text += " " + bytesText(x.Done)
	}
	if x.Total > 0 {
		text += " of " + bytesText(x.Total)
	}
	took := p.now().Sub(p.since)
	if p.since.IsZero() || took < time.Second || x.Done <= p.had {
		return text
	}
	rate := float64(x.Done-p.had) / took.Seconds()
	text += fmt.Sprintf(", %s/s", bytesText(int64(rate)))
	if left := float64(x.Total-x.Done) / rate; x.Total > x.Done && left < 100*3600 {
		text += ", " + (time.Duration(left+1) * time.Second).String() + " left"
	}
	return text
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	size, unit := float64(n), 0
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for size >= 1024 && unit < len(units)-1 {
		size /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}

type modelPulled struct{ weightsFlags }

// kept is an entry as it is printed.
type kept struct {
	Ref     string    `json:"ref"`
	Pinned  string    `json:"pinned,omitzero"`
	ID      string    `json:"id,omitzero"`
	Bytes   int64     `json:"bytes"`
	Used    time.Time `json:"last_used"`
	State   string    `json:"state"` // in use, partial, pulling, idle
	Licence string    `json:"licence,omitzero"`
}

func keptOf(e *cache.Entry) kept {
	k := kept{Ref: e.Ref, Pinned: e.Pinned, ID: e.ID, Bytes: e.Bytes, Used: e.Used.UTC(), State: "idle"}
	switch {
	case e.Partial && e.InUse:
		k.State = "pulling"
	case e.Partial:
		k.State = "partial"
	case e.InUse:
		k.State = "in use"
	}
	if e.Licence.Of != "" {
		k.Licence = e.Licence.String()
	}
	return k
}

func printKept(e *env, asJSON bool, entries []cache.Entry) error {
	list := make([]kept, len(entries))
	rows := make([][]string, len(entries))
	for i := range entries {
		k := keptOf(&entries[i])
		list[i] = k
		rows[i] = []string{k.Ref, k.ID[:min(12, len(k.ID))], bytesText(k.Bytes), k.State, k.Used.Local().Format(time.DateTime), k.Licence}
	}
	if asJSON {
		return printJSON(e, list)
	}
	return table(e, "REFERENCE\tID\tSIZE\tSTATE\tLAST USED\tLICENCE", rows)
}

// Run implements the verb.
func (c *modelPulled) Run(e *env) error {
	weights, err := c.open()
	if err != nil {
		return weightsError(err)
	}
	entries, err := weights.Entries(e.ctx)
	if err != nil {
		return weightsError(err)
	}
	return printKept(e, c.JSON, entries)
}

// checkWeights tells how much room pulled weights take, if there are any.
func checkWeights(e *env, cfg *config.Config, add func(name string, err error, ok string)) {
	if _, err := os.Stat(server.WeightsDir(cfg)); err != nil {
		return
	}
	var entries []cache.Entry
	weights, err := server.Weights(cfg)
	if err == nil {
		entries, err = weights.Entries(e.ctx)
	}
	var size int64
	var partial int
	for i := range entries {
		size += entries[i].Bytes
		if entries[i].Partial && !entries[i].InUse {
			partial++
		}
	}
	detail := fmt.Sprintf("%d pulled, %s", len(entries)-partial, bytesText(size))
	if partial > 0 {
		detail += fmt.Sprintf(", %d cut off: forebay models prune --partial", partial)
	}
	if limit := int64(cfg.Weights.Limit); limit > 0 {
		detail += ", of at most " + bytesText(limit)
	}
	add("weights", err, detail)
}

type modelPrune struct {
	weightsFlags
	Which     []string      `arg:"" optional:"" name:"ref" help:"References or ids, as forebay models pulled lists them."`
	Partial   bool          `help:"What was cut off while it was pulled."`
	UnusedFor time.Duration `help:"What nobody has used for this long, such as 720h." placeholder:"TIME"`
	All       bool          `help:"Everything."`
	DryRun    bool          `help:"Say what would be removed, and keep it."`
}

// Run implements the verb. What is in use stays.
func (c *modelPrune) Run(e *env) error {
	if len(c.Which) == 0 && !c.Partial && c.UnusedFor <= 0 && !c.All {
		return badInput{errors.New("say what to remove: references or ids, --partial, --unused-for TIME or --all")}
	}
	weights, err := c.open()
	if err != nil {
		return weightsError(err)
	}
	now := time.Now()
	known := map[string]bool{}
	chosen := func(x *cache.Entry) bool {
		named := false
		for _, which := range c.Which {
			if which == x.Ref || which == x.Pinned || len(which) >= 8 && strings.HasPrefix(x.ID, which) {
				named, known[which] = true, true
			}
		}
		return named || c.All || c.Partial && x.Partial || c.UnusedFor > 0 && now.Sub(x.Used) > c.UnusedFor
	}
	entries, err := weights.Entries(e.ctx)
	if err != nil {
		return weightsError(err)
	}
	var removed []cache.Entry
	var inUse []string
	for i := range entries {
		switch x := &entries[i]; {
		case !chosen(x):
		case x.InUse:
			inUse = append(inUse, plain(x.Ref))
		default:
			removed = append(removed, *x)
		}
	}
	for _, which := range c.Which {
		if !known[which] {
			return badInput{fmt.Errorf("%q is not among what forebay models pulled lists", which)}
		}
	}
	if !c.DryRun {
		if removed, err = weights.Prune(e.ctx, chosen); err != nil {
			return weightsError(err)
		}
	}
	if len(inUse) > 0 {
		_, _ = fmt.Fprintf(e.Err, "in use, and kept: %s\n", strings.Join(inUse, ", "))
	}
	return printKept(e, c.JSON, removed)
}

// weightsError is a fault in its words for people.
func weightsError(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Message == "" {
		return err
	}
	if f.Kind == fault.Invalid || f.Kind == fault.NotFound || f.Kind == fault.TooLarge {
		return badInput{err}
	}
	return errors.New(plain(f.Message))
}
