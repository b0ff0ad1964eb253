package dialect

import (
	"encoding/binary"
	"strconv"
	"strings"

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
	ctlNoMax // an engine's own bound on output, which stands over ctlMax where the engine knows it
	ctlN
	ctlTier
	ctlUser
	ctlUsage // stream_options.include_usage
	ctlText  // a member whose strings the model reads
	ctlNest  // an object with control members of its own
	ctlOff   // a switch of which some values mean: not used
	ctlFormat
	ctlStop
	ctlVersion
	ctlTopK
)

// member describes a top-level member of a dialect.
type member struct {
	ctl control
	// uses is what a value other than null, false or an empty list asks for.
	uses infer.Features
	// nested are the control members inside, for ctlNest, and folded their names as keyed by fold.
	nested map[string]nest
	folded map[string]string
	system bool   // the member is the system prompt
	bit    uint32 // tells the member from the table's others
}

// nest is a control member of a nested object.
type nest struct {
	ctl control
	bit uint32
}

// within returns the table of a nested object.
func within(ctl map[string]control) map[string]nest {
	out := make(map[string]nest, len(ctl))
	bit := uint32(1)
	for name, c := range ctl {
		out[name] = nest{c, bit}
		bit <<= 1
	}
	return out
}

// inspector returns the Inspect function of a dialect with the given members. Tiles says
// that images are counted by OpenAI's rule.
func inspector(w wording, tiles bool, members map[string]member) func([]byte, *infer.Facts) error {
	table, folded := make(map[string]member, len(members)), make(map[string]string, len(members))
	bit := uint32(1)
	for name, m := range members {
		m.bit = bit
		bit <<= 1
		m.folded = make(map[string]string, len(m.nested))
		for inner := range m.nested {
			m.folded[fold([]byte(inner))] = inner
		}
		table[name] = m
		folded[fold([]byte(name))] = name
	}
	if bit == 0 {
		panic("dialect: more members than bits")
	}
	return func(body []byte, f *infer.Facts) error {
		x := inspection{body: body, f: f, late: w == wordsConverse, tiles: tiles, members: table, folded: folded}
		return w.fault(x.run())
	}
}

// innerUses are members inside messages and tools that tell of a feature.
var innerUses = map[string]infer.Features{
	"cache_control": infer.UsesCachePoints, "prompt_cache_breakpoint": infer.UsesCachePoints, "cachePoint": infer.UsesCachePoints,
	"document": infer.UsesDocuments, "video": infer.UsesVideo, "audio": infer.UsesAudio, "image": infer.UsesImages,
	"toolUse": infer.UsesTools, "toolResult": infer.UsesTools, "tool_calls": infer.UsesTools, "tool_call_id": infer.UsesTools,
}

// blockUses are the types of blocks that tell of a feature.
var blockUses = map[string]infer.Features{
	"image": infer.UsesImages, "image_url": infer.UsesImages, "document": infer.UsesDocuments, "file": infer.UsesDocuments,
	"video": infer.UsesVideo, "input_audio": infer.UsesAudio, "tool_use": infer.UsesTools, "tool_result": infer.UsesTools,
}

// opaque are members whose values are the caller's own JSON, in which no name means anything.
var opaque = map[string]bool{
	"input": true, "input_schema": true, "inputSchema": true, "parameters": true, "parameter_definitions": true, "json": true,
}

// prefixBytes is how much of a prompt's parts the prefix hash covers: enough to tell
// system prompts apart, short enough that hashing costs nothing.
const prefixBytes = 1024

// FNV-1a, 64 bit, taken eight bytes at a time for speed.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// prefix hashes the first bytes of a part of the prompt.
type prefix struct {
	sum uint64
	n   int
}

func (p *prefix) add(b []byte) {
	if p.n == 0 {
		p.sum = fnvOffset
	}
	b = b[:min(len(b), prefixBytes-p.n)]
	p.n += len(b)
	for ; len(b) >= 8; b = b[8:] {
		p.sum = (p.sum ^ binary.LittleEndian.Uint64(b)) * fnvPrime
		p.sum ^= p.sum >> 32
	}
	for _, c := range b {
		p.sum = (p.sum ^ uint64(c)) * fnvPrime
	}
}

// join adds the hash of a further part.
func (p *prefix) join(q prefix) {
	if p.n == 0 {
		*p = q
		return
	}
	p.sum = (p.sum ^ q.sum) * fnvPrime
	p.n = min(prefixBytes, p.n+q.n)
}

// tokenBytes is the text that a token stands for where a body has tokens instead of text.
const tokenBytes = 4

// maxChoices is more completions than any engine makes of one prompt; beyond it they are not
// told apart.
const maxChoices = 1 << 20

// maxPath is how deep names are remembered: deeper than any dialect's own structure goes.
const maxPath = 16

// inspection is one scan of a body. It keeps the names that lead to the current token, by
// depth, so that a member is known by where it stands and not by its name alone.
type inspection struct {
	body    []byte
	f       *infer.Facts
	tiles   bool
	late    bool // ranges are checked with everything else, to be told together
	members map[string]member
	folded  map[string]string // names of members by fold

	path    [maxPath][]byte
	top     member
	pending infer.Features // of a list that may prove empty
	seen    uint32         // members met at the top level
	nested  uint32         // members met in the current nest
	hasMax  bool           // a bound on output was given
	noMax   bool           // and may be none
	prompts int64          // of a list of them (text completions), each of which is answered
	inside  int            // depth of the opaque value that is being read, 0 for none
	system  prefix
	message prefix // the current message, until the first is over
	start   prefix // the first message that is not a system message, or the prompt
	started bool
	aside   bool // the current message is a system message

	media scan.Token     // media whose object has not ended; Kind 0 for none
	kind  infer.Features // what the block around it says that it is
	text  bool           // it is a document in plain text
	low   bool           // an image in OpenAI's detail "low"
}

func (x *inspection) run() error {
	var s scan.Scanner
	s.Reset(x.body)
	for {
		t, err := s.Next()
		if err != nil {
			return malformed(err, malformedText[wordsAnthropic])
		}
		if t.Kind == scan.End {
			x.closeMedia()
			x.f.PrefixHash = x.hash()
			if x.prompts > 1 {
				x.f.N = min(max(x.f.N, 1), maxChoices) * x.prompts
			}
			if x.noMax {
				x.f.MaxTokens = 0
			}
			return nil
		}
		if t.Depth == 0 {
			if t.Kind != scan.ObjectStart && t.Kind != scan.ObjectEnd {
				return badType("", "object", kindName(t.Kind))
			}
			continue
		}
		if err := x.token(t); err != nil {
			return err
		}
	}
}

// hash joins the system prompt and the first message. A system prompt that fills the
// window stands alone, so that conversations under it go where it is cached.
func (x *inspection) hash() uint64 {
	switch {
	case x.system.n >= prefixBytes:
		return x.system.sum
	case x.system.n == 0:
		return x.start.sum
	default:
		return (x.system.sum ^ x.start.sum) * fnvPrime
	}
}

func (x *inspection) token(t scan.Token) error {
	if t.Kind == scan.Key {
		return x.key(t)
	}
	opens := t.Kind == scan.ObjectStart || t.Kind == scan.ArrayStart
	closes := t.Kind == scan.ObjectEnd || t.Kind == scan.ArrayEnd
	if opens && t.Depth+1 < maxPath {
		x.path[t.Depth+1] = nil
	}
	if closes && x.inside == t.Depth {
		x.inside = 0
	}
	if x.pending != 0 && t.Kind != scan.ArrayEnd {
		x.f.Uses |= x.pending
	}
	x.pending = 0
	if t.Depth == 1 && !closes {
		return x.value(t)
	}
	if x.top.ctl == ctlNest && t.Depth == 2 && !closes {
		name := x.name(2)
		return x.control(x.top.nested[string(name)].ctl, name, t)
	}
	if x.top.ctl != ctlText || x.inside != 0 && t.Depth > x.inside {
		if x.top.ctl == ctlText && t.Kind == scan.String {
			x.read(t)
		}
		return nil
	}
	switch {
	case t.Depth == 2 && !closes && string(x.path[1]) == "prompt" && t.Kind != scan.Number:
		x.prompts++
		if t.Kind == scan.String {
			x.str(t)
		}
	case t.Kind == scan.String:
		x.str(t)
	case t.Kind == scan.Number && x.path[1] != nil && (string(x.path[1]) == "prompt" || string(x.path[1]) == "input"):
		x.f.TextBytes += tokenBytes // a token, of so many bytes of text as tokens have in English
	case t.Kind == scan.ObjectStart && t.Depth < maxPath && opaque[string(x.path[t.Depth])]:
		x.inside = t.Depth
	case t.Kind == scan.ObjectEnd:
		x.end(t)
	}
	return nil
}

func (x *inspection) name(depth int) []byte {
	if depth < maxPath {
		return x.path[depth]
	}
	return nil
}

func (x *inspection) key(t scan.Token) error {
	name := scan.Text(x.body, t)
	if t.Depth < maxPath {
		x.path[t.Depth] = name
	}
	if t.Depth == 1 {
		x.top, x.nested = x.members[string(name)], 0
		if x.top.bit == 0 {
			return lookalike(x.folded, name)
		}
		return once(&x.seen, x.top.bit, name)
	}
	if x.top.ctl == ctlNest && t.Depth == 2 {
		n := x.top.nested[string(name)]
		if n.bit == 0 {
			return lookalike(x.top.folded, name)
		}
		return once(&x.nested, n.bit, name)
	}
	if x.top.ctl == ctlText && x.inside == 0 {
		x.f.Uses |= innerUses[string(name)]
	}
	return nil
}

// once reports a member that comes twice: of two values the engine might read the other.
func once(seen *uint32, bit uint32, name []byte) error {
	if *seen&bit != 0 {
		return fault.Newf(fault.Malformed, "The request body has the member %q twice.", name)
	}
	*seen |= bit
	return nil
}

// lookalike reports a member that is none of ours by its exact name and one of ours to an
// engine that reads names without regard to case, as Go's encoding/json does.
func lookalike(folded map[string]string, name []byte) error {
	if ours, ok := folded[fold(name)]; ok {
		return fault.Newf(fault.Malformed, "The request body has the member %q, which some engines read as %q.", name, ours)
	}
	return nil
}

// fold returns what all spellings of a name that differ in case have in common. Through
// upper case, because the long s and the Kelvin sign have no other way to s and k.
func fold(name []byte) string { return strings.ToLower(strings.ToUpper(string(name))) }

// value reads the value of a top-level member.
func (x *inspection) value(t scan.Token) error {
	switch t.Kind {
	case scan.Null, scan.False:
	case scan.ArrayStart:
		x.pending = x.top.uses
	default:
		x.f.Uses |= x.top.uses
	}
	if x.top.ctl == ctlText {
		if t.Kind == scan.String {
			x.str(t)
		}
		return nil
	}
	return x.control(x.top.ctl, x.path[1], t)
}

func (x *inspection) control(c control, name []byte, t scan.Token) error {
	if t.Kind == scan.Null {
		return nil
	}
	switch c {
	case ctlModel, ctlTier, ctlUser:
		if t.Kind != scan.String {
			return badType(x.where(name), "string", kindName(t.Kind))
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
			return badType(x.where(name), "boolean", kindName(t.Kind))
		}
		if c == ctlStream {
			x.f.Stream = t.Kind == scan.True
		} else {
			x.f.WantUsage = t.Kind == scan.True
		}
	case ctlOff:
		switch string(x.body[t.Start:t.End]) {
		case `"disabled"`, `"none"`, `"text"`:
			x.f.Uses &^= x.top.uses
		}
	case ctlFormat:
		x.f.Uses |= infer.UsesResponseFormat
	case ctlStop:
		x.pending = infer.UsesStop
	case ctlVersion:
		if t.Kind != scan.String {
			return badType(x.where(name), "string", kindName(t.Kind))
		}
		x.f.Version = bedrockVersion
		if v := scan.Text(x.body, t); string(v) != bedrockVersion {
			x.f.Version = string(v)
		}
	case ctlTopK: // one that is no integer is for the decoder, or the engine, to refuse
		x.f.TopK, _ = strconv.ParseInt(string(x.body[t.Start:t.End]), 10, 64)
	case ctlMax, ctlN:
		return x.count(c, name, t)
	case ctlNoMax:
		x.noMax = true
	case ctlNest:
		if t.Kind != scan.ObjectStart {
			return badType(x.where(name), "object", kindName(t.Kind))
		}
	}
	return nil
}

// count reads a number of tokens or choices.
func (x *inspection) count(c control, name []byte, t scan.Token) error {
	if t.Kind != scan.Number {
		return badType(x.where(name), "integer", kindName(t.Kind))
	}
	text := string(x.body[t.Start:t.End])
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return badType(x.where(name), "integer", "number")
	}
	if n < 1 && x.late {
		return nil
	}
	if n < 1 {
		return outOfRange(breachMin, x.where(name), "1", text)
	}
	if c == ctlN {
		x.f.N = max(x.f.N, n) // of several, the engine may go by any
		return nil
	}
	if x.hasMax {
		return bothBounds()
	}
	x.f.MaxTokens, x.hasMax = n, true
	return nil
}

// bothBounds refuses two spellings of the bound on output, as OpenAI does.
func bothBounds() error {
	e := fault.New(fault.Invalid, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
	e.Param, e.Code = "max_tokens", "invalid_parameter_combination"
	return e
}

// where is the path of a control member.
func (x *inspection) where(name []byte) string {
	if x.top.ctl == ctlNest && x.nested != 0 {
		return string(x.path[1]) + "." + string(name)
	}
	return string(name)
}

// str looks at a string that is part of what the model reads.
func (x *inspection) str(t scan.Token) {
	name := string(x.name(t.Depth))
	switch name {
	case "type":
		v := x.body[t.Start+1 : t.End-1]
		if uses := blockUses[string(v)]; uses != 0 {
			x.f.Uses |= uses
			x.kind = uses
		}
		x.text = x.text || string(v) == "text" && string(x.name(t.Depth-1)) == "source"
		return
	case "role":
		v := string(x.body[t.Start+1 : t.End-1])
		if t.Depth == 3 && (v == "system" || v == "developer") {
			x.aside, x.f.Uses = true, x.f.Uses|infer.UsesSystem
		}
		return
	case "id", "media_type", "format", "tool_use_id", "toolUseId", "tool_call_id", "ttl", "signature", "status", "name":
		return // structure, not text
	case "detail":
		x.low = string(x.body[t.Start+1:t.End-1]) == "low"
		return
	}
	if !x.isMedia(name, t) {
		x.read(t)
		return
	}
	x.closeMedia()
	x.media = t
	if t.Depth < 3 {
		return
	}
	for _, outer := range [2][]byte{x.name(t.Depth - 2), x.name(t.Depth - 3)} { // s3Location lies deeper
		if uses := innerUses[string(outer)]; uses&(infer.UsesDocuments|infer.UsesVideo|infer.UsesAudio) != 0 {
			x.kind = uses
		}
	}
}

// isMedia reports whether a string is media or a reference to it, by where it stands.
func (x *inspection) isMedia(name string, t scan.Token) bool {
	parent := string(x.name(t.Depth - 1))
	switch name {
	case "data":
		return parent == "source" || parent == "input_audio"
	case "bytes":
		return parent == "source"
	case "url":
		return parent == "source" || parent == "image_url"
	case "image_url":
		return true
	case "uri":
		return parent == "s3Location"
	case "file_data", "file_id":
		return parent == "file" || parent == "source"
	default:
		// a list of images: Cohere Embed and Llama
		return t.Depth == 2 && string(x.path[1]) == "images"
	}
}

// read counts a string that the model reads.
func (x *inspection) read(t scan.Token) {
	raw := x.body[t.Start+1 : t.End-1]
	x.f.TextBytes += int64(len(raw))
	switch {
	case x.top.system:
		x.system.add(raw)
	case string(x.path[1]) == "messages":
		if !x.started {
			x.message.add(raw)
		}
	case !x.top.uses.Has(infer.UsesTools):
		x.start.add(raw)
	}
}

// end closes an object. Media is counted when the object around it has been seen in full,
// since what it is may be said behind it.
func (x *inspection) end(t scan.Token) {
	if x.media.Kind != 0 && t.Depth <= x.media.Depth-2 {
		x.closeMedia()
	}
	if t.Depth != 2 || string(x.path[1]) != "messages" {
		return
	}
	if x.aside {
		x.system.join(x.message)
	} else if !x.started {
		x.start, x.started = x.message, true
	}
	x.message, x.aside = prefix{}, false
}

func (x *inspection) closeMedia() {
	t := x.media
	if t.Kind == 0 {
		return
	}
	switch {
	case x.text:
		x.read(t)
	case x.kind&(infer.UsesDocuments|infer.UsesVideo|infer.UsesAudio) != 0:
		x.f.Media++
		x.f.MediaUnits += documentTokens
	default:
		x.f.Media++
		x.f.Uses |= infer.UsesImages
		raw := x.body[t.Start+1 : t.End-1]
		switch {
		case t.Escaped || !x.tiles:
			x.f.MediaUnits += imageTokens(raw)
		case x.low:
			x.f.MediaUnits += tileBase
		default:
			x.f.MediaUnits += tileTokens(raw)
		}
	}
	x.media, x.kind, x.text, x.low = scan.Token{}, 0, false, false
}

func kindName(k scan.Kind) string {
	switch k {
	case scan.ObjectStart:
		return "object"
	case scan.ArrayStart:
		return "list"
	case scan.String:
		return "string"
	case scan.Number:
		return "number"
	case scan.True, scan.False:
		return "boolean"
	default:
		return "null"
	}
}
