package trace

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"forebay/fault"
	"forebay/internal/minheap"
	"forebay/workload"
	"forebay/workload/rows"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Sessions is traffic of agents: recorded sessions, each a row of calls with the hashes of their prompts' blocks, that begin at random as often as
// was said, drawn again and again. It implements workload.Source. A session is an object with a block size and an array of requests: when each came
// from the session's start on (t, seconds), its tokens (in, out), hash_ids, and the time that the caller thought before it (think_time); requests of
// type subagent hold requests of their own. Files hold one, several, or an array of them.
type Sessions struct {
	path     string
	opt      Options
	sessions []session
	longest  time.Duration
	faults   []workload.Fault
	notes    []string
}

// session is the calls of one, in order.
type session []sessionCall

type sessionCall struct {
	at                    time.Duration // from the session's start on
	input, cached, output int32
}

const (
	requestsMember = "requests"
	// weekLength is how much traffic is made of sessions.
	weekLength = 7 * 24 * time.Hour
	// maxCalls bounds the calls of all sessions, which are kept: 24 bytes each.
	maxCalls = 4_000_000
	// usualReuse is how long the caches of clouds keep a prompt that is not used (Amazon Bedrock, Anthropic): 5 minutes, renewed by each use.
	usualReuse = 5 * time.Minute
	// maxNesting bounds agents that call agents.
	maxNesting = 8
)

func openSessions(path string, files []string, opt Options) (*Sessions, error) {
	if !(opt.Sessions > 0 && opt.Sessions <= 1e7) {
		return nil, fault.Newf(fault.Invalid, "%s tells what sessions are like, and not how many there are: say how many begin a day, from 1 to 10,000,000, such as --sessions 200", path)
	}
	if opt.Reuse == 0 {
		opt.Reuse = usualReuse
	}
	s := &Sessions{path: path, opt: opt}
	x := &sessionReading{s: s, faults: rows.Faults{}}
	for _, f := range files {
		if err := x.file(f); err != nil {
			return nil, err
		}
	}
	s.faults = x.faults.List()
	if len(s.sessions) == 0 {
		if len(s.faults) > 0 {
			f := s.faults[0]
			return nil, fault.Newf(fault.Invalid, "%s: none of its sessions can be read; the first is number %d: %s (%s)", path, f.Line, f.Reason, f.Text)
		}
		return nil, fault.Newf(fault.Invalid, "%s has no sessions: nothing can be planned for it", path)
	}
	x.remark()
	return s, nil
}

// recordedCall is a request of a session, as files have it.
type recordedCall struct {
	T        float64        `json:"t"`
	In       int64          `json:"in"`
	Out      int64          `json:"out"`
	Think    *float64       `json:"think_time"`
	Blocks   jsontext.Value `json:"hash_ids"`
	Requests []recordedCall `json:"requests"`
}

// sessionReading reads the sessions of files.
type sessionReading struct {
	s      *Sessions
	faults rows.Faults
	name   string // of the file
	number int64  // of the session
	calls  int
	thinks []float64
	global bool // hashes are of all sessions

	session       []promptCall // of the session that is read
	input, cached int64
}

// promptCall is a call of a session with the blocks of its prompt.
type promptCall struct {
	sessionCall

	blocks []uint64
}

func (x *sessionReading) file(path string) error {
	in, closer, err := rows.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }()
	if _, err := rows.Begin(path, in); err != nil {
		return err
	}
	x.name = filepath.Base(path)
	d := jsontext.NewDecoder(in.Reader, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		in.Row()
		switch kind := d.PeekKind(); {
		case kind == '[' && d.StackDepth() == 0, kind == ']':
			_, err = d.ReadToken()
		case kind == '{':
			x.number++
			err = x.read(d, in)
		default:
			if _, err = d.ReadToken(); errors.Is(err, io.EOF) {
				return nil
			}
			err = cmp.Or(err, errors.New("it is no session"))
		}
		switch {
		case err == nil:
		case fault.KindOf(err) == fault.Invalid:
			return err
		default:
			return fault.Newf(fault.Invalid, "%s, session %d: %v: mend the file, or cut it there", path, x.number, err)
		}
	}
}

// read reads a session, request by request.
func (x *sessionReading) read(d *jsontext.Decoder, in *rows.Input) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	x.session = x.session[:0]
	size := int64(0)
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		switch member := name.String(); {
		case member == "block_size":
			v, err := d.ReadValue()
			if err != nil {
				return err
			}
			size, _ = strconv.ParseInt(string(v), 10, 64) // what is none is not known
		case member == "hash_id_scope":
			v, err := d.ReadValue()
			if err != nil {
				return err
			}
			x.global = x.global || string(v) == `"global"`
		case member == requestsMember && d.PeekKind() == '[':
			if _, err := d.ReadToken(); err != nil {
				return err
			}
			for d.PeekKind() != ']' {
				in.Row()
				var r recordedCall
				v, err := d.ReadValue()
				if err != nil {
					return err
				}
				if err := json.Unmarshal(v, &r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
					x.wrong("a request has a member of another type", v)
					continue
				}
				if err := x.take(&r, 0, v, 0); err != nil {
					return err
				}
			}
			if _, err := d.ReadToken(); err != nil {
				return err
			}
		default:
			if err := d.SkipValue(); err != nil {
				return err
			}
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	x.add(size)
	return nil
}

// take adds a request to the calls of a session, or those of an agent that it stands for: their times are from the session's start, or, where the
// first is before the agent's own, from that.
func (x *sessionReading) take(r *recordedCall, from float64, text jsontext.Value, depth int) error {
	at := from + r.T
	if !(at >= 0 && at < 10*366*24*3600) {
		x.wrong("the time of a request is no number of seconds from 0 on", text)
		return nil
	}
	if len(r.Requests) > 0 {
		if depth == maxNesting {
			x.wrong("agents call agents more than eight deep", text)
			return nil
		}
		inner := from
		if r.Requests[0].T < r.T {
			inner = at
		}
		for i := range r.Requests {
			if err := x.take(&r.Requests[i], inner, text, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	switch {
	case r.In < 1 || r.Out < 0 || r.In > maxTokens || r.Out > maxTokens:
		x.wrong("the tokens of a request are none, negative, or more than any call has", text)
		return nil
	case x.calls == maxCalls:
		return fault.Newf(fault.Invalid, "%s has more than %d calls of sessions: take some of them", x.s.path, maxCalls)
	}
	x.calls++
	c := promptCall{sessionCall: sessionCall{at: time.Duration(math.Round(at * float64(time.Second))), input: int32(r.In), output: int32(r.Out)}}
	if len(r.Blocks) > 0 {
		c.blocks = rows.AppendBlocks(nil, r.Blocks)
	}
	if r.Think != nil && *r.Think >= 0 {
		x.thinks = append(x.thinks, *r.Think)
	}
	x.session = append(x.session, c)
	return nil
}

func (x *sessionReading) wrong(why string, v jsontext.Value) {
	x.faults.LeaveOut(why, x.number, []string{x.name + ": " + string(v[:min(len(v), 60)])})
}

// add keeps a session that has calls. All of it, agents' calls among them, shares a cache: the same block is the same text.
func (x *sessionReading) add(size int64) {
	if len(x.session) == 0 {
		return
	}
	slices.SortStableFunc(x.session, func(a, b promptCall) int { return cmp.Compare(a.at, b.at) })
	held, calls := newCache(int64(x.s.opt.Reuse)), make(session, len(x.session))
	for i, c := range x.session {
		hits := held.prompt(int64(c.at), c.blocks)
		c.cached = int32(blockTokens(int64(c.input), hits, len(c.blocks), size))
		x.input, x.cached = x.input+int64(c.input), x.cached+int64(c.cached)
		calls[i] = c.sessionCall
		calls[i].at -= x.session[0].at
	}
	clear(x.session) // let go of the blocks
	x.s.longest = max(x.s.longest, calls[len(calls)-1].at)
	x.s.sessions = append(x.s.sessions, calls)
}

// remark notes what was assumed.
func (x *sessionReading) remark() {
	s := x.s
	note := func(format string, args ...any) { s.notes = append(s.notes, fmt.Sprintf(format, args...)) }
	note("%d recorded sessions of %.1f calls each on average begin at random, %g a day, drawn again by a seed; the hours of the day and the days of the week are not known", len(s.sessions), float64(x.calls)/float64(len(s.sessions)), s.opt.Sessions)
	note("%.0f %% of the prompts' tokens were in a prompt of the same session before that was used within %v, and count as read from a cache", 100*float64(x.cached)/float64(max(x.input, 1)), s.opt.Reuse)
	if len(x.thinks) > 0 {
		slices.Sort(x.thinks)
		at := func(q float64) float64 { return x.thinks[int(q*float64(len(x.thinks)-1))] }
		note("callers think %.1f s before a call in the middle, and more than %.1f s before one in ten", at(0.5), at(0.9))
	}
	if x.global {
		note("hashes are of all sessions together: what one reuses of another is not counted, since which go on at once is drawn anew")
	}
	note("calls of a session keep the times that were recorded: an engine that is slower or faster moves them in truth, and not here")
}

// Info implements workload.Source.
func (s *Sessions) Info() workload.Info {
	i := workload.Info{Name: filepath.Base(s.path), Format: "sessions", Length: weekLength, Notes: slices.Clone(s.notes)}
	for _, c := range [][2]string{{"t", "time"}, {"in", "input"}, {"out", "output"}, {rows.BlocksMember, "cached"}} {
		i.Columns = append(i.Columns, workload.Column{Name: requestsMember + "." + c[0], Meaning: c[1], Guessed: true})
	}
	return i
}

// Faults implements workload.Source.
func (s *Sessions) Faults() []workload.Fault { return slices.Clone(s.faults) }

// running is a session that goes on.
type running struct {
	begun  time.Duration
	number int64
	calls  session // those to come
}

// Before orders sessions by their next calls, and those of one instant by when they began.
func (r *running) Before(o *running) bool {
	a, b := r.begun+r.calls[0].at, o.begun+o.calls[0].at
	return a < b || a == b && r.number < o.number
}

// All implements workload.Source. Sessions begin as long before the start as the longest lasts, so that as many go on then as at any time.
func (s *Sessions) All() iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		random := rand.New(rand.NewPCG(s.opt.Seed, 0)) //nolint:gosec // traffic
		between := float64(24*time.Hour) / s.opt.Sessions
		next := -min(s.longest, weekLength)
		gap := func() { next += time.Duration(random.ExpFloat64() * between) }
		var going minheap.Heap[running, *running]
		gap()
		for number := int64(0); ; {
			if len(going) == 0 || next <= going[0].begun+going[0].calls[0].at {
				if next >= weekLength && len(going) == 0 {
					return
				}
				if next < weekLength {
					number++
					going.Push(running{next, number, s.sessions[random.IntN(len(s.sessions))]})
					gap()
					continue
				}
			}
			r := going.Pop()
			c := r.calls[0]
			at := r.begun + c.at
			if at >= weekLength {
				continue // and so are those behind it
			}
			if r.calls = r.calls[1:]; len(r.calls) > 0 {
				going.Push(r)
			}
			q := workload.Request{At: at, Input: int64(c.input), Cached: int64(c.cached), Output: int64(c.output), Prefix: uint64(r.number)}
			if at >= 0 && !yield(q, nil) {
				return
			}
		}
	}
}
