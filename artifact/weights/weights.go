// Package weights looks at the weights of models before an engine does: that all of it is there and whole, and what model it
// is. It reads the descriptions of Hugging Face (config.json, adapter_config.json), the heads of safetensors files and
// of GGUF files, never the tensors.
package weights

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"forebay/fault"

	"github.com/go-json-experiment/json"
)

// Format is the form of weights.
type Format string

// The formats.
const (
	Safetensors Format = "safetensors"
	GGUF        Format = "gguf"
	Adapter     Format = "adapter" // low-rank weights beside those of a base model
)

// Weights is what is known of an artifact.
type Weights struct {
	Format       Format `json:"format"`
	Architecture string `json:"architecture,omitzero"` // "LlamaForCausalLM", or GGUF's "llama"
	Base         string `json:"base,omitzero"`         // the model that it was made from, as whoever made it called that
	Context      int64  `json:"context,omitzero"`      // tokens; 0 is not known
	Instruct     bool   `json:"instruct,omitzero"`     // it has a chat template
	Bytes        int64  `json:"bytes"`
}

// Inspect looks at the artifact in a folder. Its faults are Invalid, and say what is missing or wrong. Of whatever lies there no more
// than maxRead bytes are read.
func Inspect(files fs.FS) (*Weights, error) {
	fsys := &bounded{files, maxRead}
	names, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, invalid(err, "The artifact cannot be read.")
	}
	var w *Weights
	switch {
	case has(names, "adapter_config.json"):
		w, err = adapter(fsys)
	case has(names, "config.json"):
		w, err = whole(fsys, names)
	default:
		w, err = single(fsys, names)
	}
	if fsys.left < 0 {
		return nil, invalid(errTooMuch, "The descriptions and the heads of the weights are longer than the %d bytes that are read of an artifact.", maxRead)
	}
	if err == nil {
		err = w.check()
	}
	return w, err
}

// Bounds of what an artifact says of itself that is kept.
const (
	maxArchitecture = 256
	maxBase         = 1024
)

// check refuses what cannot be kept or shown: texts of files may be of any length, and need not be texts.
func (w *Weights) check() error {
	if !named(w.Architecture, maxArchitecture) {
		return fault.Newf(fault.Invalid, "The name of the architecture has not 1 to %d characters that can be printed.", maxArchitecture)
	}
	if w.Base != "" && !named(w.Base, maxBase) {
		return fault.Newf(fault.Invalid, "The name of the model that it was made from has not 1 to %d characters that can be printed.", maxBase)
	}
	return nil
}

// named reports whether a text can be a name.
func named(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// Base returns the model that an artifact was made from, "" for one that does not say. Nothing else of it is looked at.
func Base(fsys fs.FS) (string, error) {
	var d struct {
		Adapted string `json:"base_model_name_or_path"`
		Name    string `json:"_name_or_path"`
	}
	err := describe(fsys, "adapter_config.json", &d)
	if errors.Is(err, fs.ErrNotExist) {
		err = describe(fsys, "config.json", &d)
	}
	if d.Adapted == "" {
		d.Adapted = d.Name
	}
	return d.Adapted, err
}

func has(names []fs.DirEntry, name string) bool {
	return slices.ContainsFunc(names, func(e fs.DirEntry) bool { return e.Name() == name && !e.IsDir() })
}

func invalid(cause error, format string, args ...any) error {
	return fault.Wrap(fault.Invalid, cause, fmt.Sprintf(format, args...))
}

// open opens a file of the artifact. What is no regular file is refused before it is opened: a pipe would wait for its writer for good.
func open(fsys fs.FS, name string) (fs.File, error) {
	info, err := fs.Stat(fsys, name)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("no regular file")
	}
	if err != nil {
		return nil, invalid(err, "The artifact has no readable %s.", name)
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, invalid(err, "The artifact has no readable %s.", name)
	}
	return f, nil
}

// maxDescription bounds a JSON file. Tokenizers are not read.
const maxDescription = 16 << 20

// describe reads a JSON file of the artifact.
func describe(fsys fs.FS, name string, into any) error {
	f, err := open(fsys, name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxDescription+1))
	if err == nil && len(text) > maxDescription {
		err = errors.New("too long")
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return invalid(err, "%s of the artifact is not valid.", name)
	}
	return nil
}

// adapter looks at low-rank weights in the form of PEFT.
func adapter(fsys fs.FS) (*Weights, error) {
	var d struct {
		Base string `json:"base_model_name_or_path"`
		Type string `json:"peft_type"`
	}
	if err := describe(fsys, "adapter_config.json", &d); err != nil {
		return nil, err
	}
	if d.Base == "" || d.Type == "" {
		return nil, fault.New(fault.Invalid, "adapter_config.json must have peft_type and base_model_name_or_path.")
	}
	n, err := safetensors(fsys, "adapter_model.safetensors")
	return &Weights{Format: Adapter, Architecture: d.Type, Base: d.Base, Bytes: n}, err
}

// config is what is read of config.json.
type config struct {
	Architectures []string `json:"architectures"`
	Context       int64    `json:"max_position_embeddings"`
	Name          string   `json:"_name_or_path"`
	Text          struct { // of models that see images
		Context int64 `json:"max_position_embeddings"`
	} `json:"text_config"`
}

// whole looks at a model with its config.json.
func whole(fsys fs.FS, names []fs.DirEntry) (*Weights, error) {
	var c config
	if err := describe(fsys, "config.json", &c); err != nil {
		return nil, err
	}
	if len(c.Architectures) != 1 {
		return nil, fault.New(fault.Invalid, "config.json must name the one architecture of the model (architectures).")
	}
	w := &Weights{Format: Safetensors, Architecture: c.Architectures[0], Base: c.Name, Context: max(c.Context, c.Text.Context)}
	if !generates(w.Architecture) {
		return nil, fault.Newf(fault.Invalid, "The architecture %.64s is not supported: it generates no text.", w.Architecture)
	}
	if w.Instruct = has(names, "chat_template.jinja"); !w.Instruct {
		var t struct {
			Template any `json:"chat_template"`
		}
		if err := describe(fsys, "tokenizer_config.json", &t); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		w.Instruct = t.Template != nil
	}
	var err error
	if w.Bytes, err = tensors(fsys, names); err != nil {
		return nil, err
	}
	return w, nil
}

// generates reports whether an architecture makes text, by the endings that Hugging Face's names have.
func generates(architecture string) bool {
	for _, end := range []string{"ForCausalLM", "ForConditionalGeneration", "LMHeadModel"} {
		if strings.HasSuffix(architecture, end) {
			return true
		}
	}
	return false
}

// tensors checks all files of tensors, those that the index names among them, and returns their size.
func tensors(fsys fs.FS, names []fs.DirEntry) (int64, error) {
	files := map[string]bool{}
	for _, e := range names {
		if path.Ext(e.Name()) == ".safetensors" && !e.IsDir() {
			files[e.Name()] = true
		}
	}
	const index = "model.safetensors.index.json"
	if has(names, index) {
		var d struct {
			Files map[string]string `json:"weight_map"`
		}
		if err := describe(fsys, index, &d); err != nil {
			return 0, err
		}
		for _, name := range d.Files {
			files[name] = true
		}
	}
	if len(files) == 0 {
		return 0, fault.New(fault.Invalid, "The artifact has no weights: no .safetensors and no .gguf file.")
	}
	var total int64
	for name := range files {
		if !fs.ValidPath(name) {
			return 0, fault.Newf(fault.Invalid, "The index names %q, which is no file of the artifact.", name)
		}
		n, err := safetensors(fsys, name)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// single looks at a model of one GGUF file, or of its numbered parts.
func single(fsys fs.FS, names []fs.DirEntry) (*Weights, error) {
	var out *Weights
	for _, e := range names {
		if path.Ext(e.Name()) != ".gguf" || e.IsDir() {
			continue
		}
		w, err := gguf(fsys, e.Name())
		if err != nil {
			return nil, err
		}
		if out == nil || out.Architecture == "" {
			w.Bytes += bytesOf(out)
			out = w
			continue
		}
		if w.Architecture != "" && w.Architecture != out.Architecture {
			return nil, fault.New(fault.Invalid, "The artifact has GGUF files of several models; leave one.")
		}
		out.Bytes += w.Bytes
	}
	if out == nil {
		return nil, fault.New(fault.Invalid, "The artifact has no config.json and no .gguf file.")
	}
	if out.Architecture == "" {
		return nil, fault.New(fault.Invalid, "The GGUF file does not name its architecture.")
	}
	return out, nil
}

func bytesOf(w *Weights) int64 {
	if w == nil {
		return 0
	}
	return w.Bytes
}
