package dialect

import (
	"strconv"

	"forebay/fault"
	"forebay/infer"
	"forebay/wire/scan"
)

// control is what a member that admission reads means.
type control uint8

const (
	ctlNone control = iota
	ctlModel
	ctlStream
	ctlMax
	ctlN
	ctlTier
	ctlUser
	ctlUsage // stream_options.include_usage
	ctlText  // a member whose strings the model reads
	ctlNest  // an object with control members of its own
)

// member describes a top-level member of a dialect.
type member struct {
	ctl  control
	uses infer.Features
	// nested are the control members inside, for ctlNest.
	nested map[string]control
}

// inspector returns the Inspect function of a dialect with the given members.
func inspector(members map[string]member) func([]byte, *infer.Facts) error {
	return func(body []byte, f *infer.Facts) error {
		x := inspection{body: body, f: f, members: members}
		return x.run()
	}
}

// innerUses are members anywhere inside messages that tell of a feature.
var innerUses = map[string]infer.Features{
	"cache_control": infer.UsesCachePoints, "cachePoint": infer.UsesCachePoints,
	"document": infer.UsesDocuments, "video": infer.UsesVideo, "input_audio": infer.UsesAudio,
	"toolUse": infer.UsesTools, "tool_calls": infer.UsesTools, "tool_use_id": infer.UsesTools,
}

// prefixBytes is how much of the prompt's start the prefix hash covers: enough to tell
// system prompts apart, short enough that a conversation's turns share it.
const prefixBytes = 1024

// FNV-1a, 64 bit.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// longString is the length from which a string under a media member is media and not text.
const longString = 64

type inspection struct {
	body    []byte
	f       *infer.Facts
	members map[string]member
	top     member // the top-level member that is being read
	topName []byte
	inner   []byte // the nearest key
	seen    [16][]byte
	nseen   int
	hashed  int
}

func (x *inspection) run() error {
	var s scan.Scanner
	s.Reset(x.body)
	x.f.PrefixHash = fnvOffset
	for {
		t, err := s.Next()
		if err != nil {
			return fault.Wrap(fault.Malformed, err, "The request body is not valid JSON.")
		}
		if t.Kind == scan.End {
			return nil
		}
		if t.Depth == 0 {
			if t.Kind != scan.ObjectStart && t.Kind != scan.ObjectEnd {
				return fault.New(fault.Malformed, "The request body is not a JSON object.")
			}
			continue
		}
		if err := x.token(t); err != nil {
			return err
		}
	}
}

func (x *inspection) token(t scan.Token) error {
	if t.Kind == scan.Key {
		name := scan.Text(x.body, t)
		x.inner = name
		if t.Depth == 1 {
			return x.enter(name)
		}
		if u, ok := innerUses[string(name)]; ok {
			x.f.Uses |= u
		}
		return nil
	}
	if t.Depth == 1 && t.Kind != scan.ObjectEnd && t.Kind != scan.ArrayEnd {
		return x.control(x.top.ctl, x.topName, t)
	}
	if x.top.ctl == ctlNest && t.Depth == 2 && t.Kind != scan.ObjectEnd {
		return x.control(x.top.nested[string(x.inner)], x.inner, t)
	}
	if x.top.ctl == ctlText && t.Kind == scan.String {
		x.text(t)
	}
	return nil
}

// enter begins a top-level member. Control members may come once.
func (x *inspection) enter(name []byte) error {
	m, ok := x.members[string(name)]
	x.top, x.topName = m, name
	if !ok {
		return nil
	}
	for _, s := range x.seen[:x.nseen] {
		if string(s) == string(name) {
			return fault.Newf(fault.Malformed, "The request body has the member %q twice.", name)
		}
	}
	if x.nseen < len(x.seen) {
		x.seen[x.nseen] = name
		x.nseen++
	}
	x.f.Uses |= m.uses
	return nil
}

func (x *inspection) control(c control, name []byte, t scan.Token) error {
	if t.Kind == scan.Null {
		return nil
	}
	switch c {
	case ctlModel, ctlTier, ctlUser:
		if t.Kind != scan.String {
			return invalid(string(name), "Input should be a valid string")
		}
		v := string(scan.Text(x.body, t))
		switch c {
		case ctlModel:
			x.f.Model = v
		case ctlTier:
			x.f.Tier = v
		default:
			x.f.User = v
		}
	case ctlStream, ctlUsage:
		if t.Kind != scan.True && t.Kind != scan.False {
			return invalid(string(name), "Input should be a valid boolean")
		}
		if c == ctlStream {
			x.f.Stream = t.Kind == scan.True
		} else {
			x.f.WantUsage = t.Kind == scan.True
		}
	case ctlMax, ctlN:
		if t.Kind != scan.Number {
			return invalid(string(name), "Input should be a valid integer")
		}
		n, err := strconv.ParseInt(string(x.body[t.Start:t.End]), 10, 64)
		if err != nil {
			return invalid(string(name), "Input should be a valid integer")
		}
		if n < 1 {
			return invalid(string(name), "Input should be greater than or equal to 1")
		}
		if c == ctlMax {
			x.f.MaxTokens = n
		} else {
			x.f.N = n
		}
	case ctlText:
		if t.Kind == scan.String {
			x.text(t)
		}
	}
	return nil
}

// text counts a string that the model reads, or media.
func (x *inspection) text(t scan.Token) {
	raw := x.body[t.Start+1 : t.End-1]
	switch string(x.inner) {
	case "data", "bytes", "url", "uri":
		if len(raw) > longString || string(x.inner) == "url" {
			x.f.Media++
			x.f.MediaUnits += mediaTokens(raw)
			x.f.Uses |= infer.UsesImages
			return
		}
	case "type", "role", "id", "media_type", "format", "tool_use_id", "toolUseId", "tool_call_id":
		return // structure, not text
	}
	x.f.TextBytes += int64(len(raw))
	for i := 0; i < len(raw) && x.hashed < prefixBytes; i++ {
		x.f.PrefixHash = (x.f.PrefixHash ^ uint64(raw[i])) * fnvPrime
		x.hashed++
	}
}
