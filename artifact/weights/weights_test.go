package weights_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"forebay/artifact/weights"
	"forebay/fault"
	"forebay/internal/tinygguf"
)

// tensorFile is a safetensors file with a head and n bytes of tensors.
func tensorFile(head string, n int) string {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	return string(b) + head + strings.Repeat("x", n)
}

const (
	oneTensor = `{"__metadata__":{"format":"pt"},"w":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]}}`
	llama     = `{"architectures":["LlamaForCausalLM"],"max_position_embeddings":8192,"_name_or_path":"meta/base"}`
	lora      = `{"peft_type":"LORA","base_model_name_or_path":"amazon.nova-lite-v1:0"}`
)

func tiny(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	if err := tinygguf.Write(&b, tinygguf.Params{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func folder(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func TestInspect(t *testing.T) {
	good := tensorFile(oneTensor, 8)
	gguf := tiny(t)
	size := int64(len(good))
	for name, c := range map[string]struct {
		files map[string]string
		want  weights.Weights
		fault string // a part of it; "" for none
	}{
		"a whole model":          {map[string]string{"config.json": llama, "model.safetensors": good}, weights.Weights{Format: weights.Safetensors, Architecture: "LlamaForCausalLM", Base: "meta/base", Context: 8192, Bytes: size}, ""},
		"with a chat template":   {map[string]string{"config.json": llama, "model.safetensors": good, "tokenizer_config.json": `{"chat_template":"x"}`}, weights.Weights{Format: weights.Safetensors, Architecture: "LlamaForCausalLM", Base: "meta/base", Context: 8192, Instruct: true, Bytes: size}, ""},
		"in parts":               {map[string]string{"config.json": llama, "a.safetensors": good, "b.safetensors": good, "model.safetensors.index.json": `{"weight_map":{"x":"a.safetensors","y":"b.safetensors"}}`}, weights.Weights{Format: weights.Safetensors, Architecture: "LlamaForCausalLM", Base: "meta/base", Context: 8192, Bytes: 2 * size}, ""},
		"an adapter":             {map[string]string{"adapter_config.json": lora, "adapter_model.safetensors": good}, weights.Weights{Format: weights.Adapter, Architecture: "LORA", Base: "amazon.nova-lite-v1:0", Bytes: size}, ""},
		"a GGUF file":            {map[string]string{"m.gguf": gguf}, weights.Weights{Format: weights.GGUF, Architecture: "llama", Context: 4096, Instruct: true, Bytes: int64(len(gguf))}, ""},
		"a GGUF file of no text": {map[string]string{"m.gguf": strings.Replace(gguf, "llama", "ll\xffma", 1)}, weights.Weights{}, "architecture"},
		"a long architecture":    {map[string]string{"config.json": strings.Replace(llama, "Llama", strings.Repeat("L", 1000), 1), "model.safetensors": good}, weights.Weights{}, "architecture"},
		"a long base":            {map[string]string{"config.json": strings.Replace(llama, "meta", strings.Repeat("m", 10_000), 1), "model.safetensors": good}, weights.Weights{}, "name of the model that it was made from"},
		"an odd base":            {map[string]string{"adapter_config.json": strings.Replace(lora, "amazon", "\\u001b[2J", 1), "adapter_model.safetensors": good}, weights.Weights{}, "name of the model that it was made from"},
		"nothing":                {map[string]string{"readme.md": ""}, weights.Weights{}, "no config.json and no .gguf file"},
		"no weights":             {map[string]string{"config.json": llama}, weights.Weights{}, "has no weights"},
		"a part is missing":      {map[string]string{"config.json": llama, "a.safetensors": good, "model.safetensors.index.json": `{"weight_map":{"x":"b.safetensors"}}`}, weights.Weights{}, "no readable b.safetensors"},
		"a part is elsewhere":    {map[string]string{"config.json": llama, "model.safetensors.index.json": `{"weight_map":{"x":"../b.safetensors"}}`}, weights.Weights{}, "no file of the artifact"},
		"a description of text":  {map[string]string{"config.json": "no JSON", "model.safetensors": good}, weights.Weights{}, "config.json of the artifact is not valid"},
		"no architecture":        {map[string]string{"config.json": `{}`, "model.safetensors": good}, weights.Weights{}, "must name the one architecture"},
		"an encoder":             {map[string]string{"config.json": `{"architectures":["BertModel"]}`, "model.safetensors": good}, weights.Weights{}, "BertModel is not supported"},
		"weights cut off":        {map[string]string{"config.json": llama, "model.safetensors": good[:len(good)-1]}, weights.Weights{}, "no whole safetensors file"},
		"a head cut off":         {map[string]string{"config.json": llama, "model.safetensors": good[:20]}, weights.Weights{}, "longer than it may be"},
		"a pickle":               {map[string]string{"config.json": llama, "model.safetensors": "\x80\x04\x95"}, weights.Weights{}, "cut off"},
		"a head without end":     {map[string]string{"config.json": llama, "model.safetensors": "\xff\xff\xff\xff\xff\xff\xff\xff{}"}, weights.Weights{}, "longer than it may be"},
		"no tensors":             {map[string]string{"config.json": llama, "model.safetensors": tensorFile(`{}`, 0)}, weights.Weights{}, "no tensors"},
		"a tensor of nowhere":    {map[string]string{"config.json": llama, "model.safetensors": tensorFile(`{"w":{"data_offsets":[8,0]}}`, 8)}, weights.Weights{}, "nothing sensible"},
		"an adapter of nothing":  {map[string]string{"adapter_config.json": `{"peft_type":"LORA"}`, "adapter_model.safetensors": good}, weights.Weights{}, "must have peft_type"},
		"an empty adapter":       {map[string]string{"adapter_config.json": lora}, weights.Weights{}, "no readable adapter_model.safetensors"},
		"GGUF cut off":           {map[string]string{"m.gguf": gguf[:100]}, weights.Weights{}, "cut off"},
		"GGUF of text":           {map[string]string{"m.gguf": "GGML" + gguf}, weights.Weights{}, "does not begin as one"},
		"GGUF of the future":     {map[string]string{"m.gguf": gguf[:4] + "\x09" + gguf[5:]}, weights.Weights{}, "version 9"},
	} {
		got, err := weights.Inspect(folder(c.files))
		if c.fault == "" {
			if err != nil || *got != c.want {
				t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
			}
			continue
		}
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.From(err).Message, c.fault) {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, c.fault)
		}
	}
}

// A file that was made to be read for long is not read to its end, however little it takes on the disk.
func TestReadingIsBounded(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "m.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	head := binary.LittleEndian.AppendUint32([]byte("GGUF"), 3)
	head = binary.LittleEndian.AppendUint64(head, 1)     // tensors
	head = binary.LittleEndian.AppendUint64(head, 1<<16) // keys, each an array of 64 Mi bytes, which are holes of the file
	key := binary.LittleEndian.AppendUint32(append(binary.LittleEndian.AppendUint64(nil, 1), 'k'), 9)
	key = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(key, 0), 1<<26)
	at := int64(0)
	for _, b := range append([][]byte{head}, slices.Repeat([][]byte{key}, 8)...) {
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
		if at += int64(len(b)); len(b) == len(key) {
			at += 1 << 26
		}
	}
	many := folder(map[string]string{"config.json": llama})
	for i := range 5000 {
		many[fmt.Sprintf("part-%d.safetensors", i)] = &fstest.MapFile{Data: []byte(tensorFile(oneTensor, 8))}
	}
	for name, files := range map[string]fs.FS{"a long file": os.DirFS(dir), "many files": many} {
		if w, err := weights.Inspect(files); fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.From(err).Message, "longer than the") {
			t.Errorf("%s: %+v %v", name, w, err)
		}
	}
}

// Only regular files are opened: a pipe, for one, would be waited for.
func TestPipesAreNotOpened(t *testing.T) {
	for _, name := range []string{"config.json", "adapter_config.json", "m.gguf", "model.safetensors"} {
		files := folder(map[string]string{"config.json": llama})
		files[name] = &fstest.MapFile{Mode: fs.ModeNamedPipe}
		if name == "m.gguf" {
			delete(files, "config.json")
		}
		guarded := &unopened{files, t}
		if w, err := weights.Inspect(guarded); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %+v %v", name, w, err)
		}
		if strings.HasSuffix(name, "config.json") {
			if _, err := weights.Base(guarded); fault.KindOf(err) != fault.Invalid {
				t.Errorf("the base in %s: %v", name, err)
			}
		}
	}
}

// unopened are files of which no pipe may be opened.
type unopened struct {
	fstest.MapFS
	t *testing.T
}

func (u *unopened) Open(name string) (fs.File, error) {
	if f := u.MapFS[name]; f != nil && f.Mode&fs.ModeNamedPipe != 0 {
		u.t.Errorf("%s is opened", name)
	}
	return u.MapFS.Open(name)
}

func TestBase(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"amazon.nova-lite-v1:0": {"adapter_config.json": lora, "config.json": llama},
		"meta/base":             {"config.json": llama},
		"":                      {"config.json": `{}`},
	} {
		if got, err := weights.Base(folder(files)); err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	if _, err := weights.Base(folder(nil)); fault.KindOf(err) != fault.Invalid {
		t.Error(err)
	}
}

// Whatever lies in an artifact is told as a fault of the caller, or is whole.
func FuzzInspect(f *testing.F) {
	f.Add([]byte(tensorFile(oneTensor, 8)), []byte(llama), false)
	f.Add([]byte(tensorFile(`{"w":{"data_offsets":[0,1,2]}}`, 8)), []byte(`{"architectures":["A","B"]}`), false)
	f.Add([]byte(tiny(f)[:4096]), []byte{}, true)
	f.Fuzz(func(t *testing.T, data, description []byte, one bool) {
		files := map[string]string{"config.json": string(description), "model.safetensors": string(data)}
		if one {
			files = map[string]string{"m.gguf": string(data)}
		}
		w, err := weights.Inspect(folder(files))
		if err != nil && fault.KindOf(err) != fault.Invalid {
			t.Fatal(err)
		}
		if err == nil && (w.Bytes != int64(len(data)) || w.Architecture == "") {
			t.Fatalf("%+v", w)
		}
	})
}
