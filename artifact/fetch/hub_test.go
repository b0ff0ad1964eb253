package fetch_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"forebay/artifact/fetch"
	"forebay/fault"

	"github.com/go-json-experiment/json"
)

// hub is a hub with one repository, whose large files are at another host, as the real one's are.
type hub struct {
	*httptest.Server
	cdn    *httptest.Server
	commit string
	files  map[string][]byte // those over 1000 bytes are large
	card   map[string]any
	gated  any
	refuse string       // an X-Error-Code for everything
	token  atomic.Value // that the last request came with
	leaked atomic.Bool
	bytes  atomic.Int64
}

func serveHub(t *testing.T, files map[string][]byte) *hub {
	h := &hub{files: files, commit: strings.Repeat("a1", 20), card: map[string]any{"license": "apache-2.0"}, gated: false}
	h.cdn = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			h.leaked.Store(true)
		}
		http.ServeContent(&counting{w, &h.bytes}, r, "", time.Time{}, bytes.NewReader(h.files[strings.TrimPrefix(r.URL.Path, "/")]))
	}))
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.cdn.Close)
	t.Cleanup(h.Close)
	return h
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.token.Store(r.Header.Get("Authorization"))
	if h.refuse != "" {
		w.Header().Set("X-Error-Code", h.refuse)
		w.WriteHeader(map[string]int{"GatedRepo": 403, "RepoNotFound": 401}[h.refuse] + map[string]int{"RevisionNotFound": 404}[h.refuse])
		return
	}
	if strings.HasPrefix(r.URL.Path, "/api/models/org/name/revision/") {
		var list []map[string]any
		for name, b := range h.files {
			e := map[string]any{"rfilename": name, "size": len(b), "blobId": gitName(b)}
			if len(b) > 1000 {
				e["lfs"] = map[string]any{"sha256": sha(b), "size": len(b), "pointerSize": 134}
			}
			list = append(list, e)
		}
		b, _ := json.Marshal(map[string]any{"sha": h.commit, "gated": h.gated, "cardData": h.card, "siblings": list, "unknown": 1})
		_, _ = w.Write(b)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/org/name/resolve/"+h.commit+"/")
	b, there := h.files[name]
	switch {
	case !ok || !there:
		w.Header().Set("X-Error-Code", "EntryNotFound")
		w.WriteHeader(http.StatusNotFound)
	case len(b) > 1000:
		http.Redirect(w, r, h.cdn.URL+"/"+name+"?signature=x", http.StatusFound)
	default:
		http.ServeContent(&counting{w, &h.bytes}, r, "", time.Time{}, bytes.NewReader(b))
	}
}

func gitName(b []byte) string {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(b))
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

func (h *hub) fetcher(token string) *fetch.Fetcher {
	return fetcher(fetch.Options{Hub: fetch.HubOptions{Endpoint: h.URL, Token: token}})
}

func TestHub(t *testing.T) {
	tensors := weights(5*chunkSize, 8)
	h := serveHub(t, map[string][]byte{
		"config.json": []byte("{}"), "model.safetensors": tensors, "pytorch_model.bin": weights(2000, 9), "sub/tokenizer.json": []byte("[]"), ".gitattributes": nil, "onnx/model.onnx": []byte("x"),
	})
	f := h.fetcher("hf_secret")
	l := list(t, f, "hf://org/name")
	names := make([]string, len(l.Files))
	for i := range l.Files {
		names[i] = l.Files[i].Path
		get(t, f, &l.Files[i], h.files[names[i]])
	}
	if got := strings.Join(names, " "); got != "config.json model.safetensors sub/tokenizer.json" || !l.Folder {
		t.Errorf("took %s", got)
	}
	if l.Pinned.Revision != h.commit || !strings.Contains(l.Identity, h.commit) || !l.Pinned.Pinned() {
		t.Errorf("%+v", l)
	}
	if h.token.Load() != "Bearer hf_secret" || h.leaked.Load() {
		t.Errorf("the hub had the token %v; it went on: %v", h.token.Load(), h.leaked.Load())
	}
	if l.Licence.NeedsAcceptance() || l.Licence.String() != "apache-2.0" {
		t.Errorf("%+v", l.Licence)
	}
	one := list(t, f, "hf://org/name@v1/sub/tokenizer.json")
	if one.Folder || len(one.Files) != 1 || one.Files[0].Path != "tokenizer.json" {
		t.Errorf("%+v", one)
	}
	some := list(t, f, "hf://org/name/*.bin")
	if !some.Folder || len(some.Files) != 1 || some.Files[0].SHA256() != sha(h.files["pytorch_model.bin"]) {
		t.Errorf("%+v", some)
	}
	if _, err := f.List(t.Context(), ref(t, "hf://org/name#sha256="+sha(nil))); fault.KindOf(err) != fault.Invalid {
		t.Error("a checksum of several files:", err)
	}
	_, err := f.List(t.Context(), ref(t, "hf://org/name/model.safetensors#sha256="+sha(nil)))
	wantCode(t, err, fault.Unavailable, fetch.CodeCorrupt, "by its source")
}

// A small file of the hub has git's name of it as its only checksum, which is held as well.
func TestHubSmallFiles(t *testing.T) {
	h := serveHub(t, map[string][]byte{"config.json": []byte(`{"a":1}`)})
	f := h.fetcher("")
	l := list(t, f, "hf://org/name")
	h.files["config.json"] = []byte(`{"a":2}`)
	_, err := f.Download(t.Context(), &l.Files[0], filepath.Join(t.TempDir(), "x"), new(tally).grown)
	wantCode(t, err, fault.Unavailable, fetch.CodeCorrupt, "git-sha1")
}

func TestHubLicences(t *testing.T) {
	for _, c := range []struct {
		card  map[string]any
		gated any
		want  fetch.Licence
		needs bool
	}{
		{map[string]any{"license": "MIT"}, false, fetch.Licence{ID: "mit"}, false},
		{map[string]any{"license": "llama3.1"}, "manual", fetch.Licence{ID: "llama3.1", Gated: true}, true},
		{map[string]any{"license": "other", "license_name": "acme\x1b[2J", "license_link": "https://example.com/l"}, "auto", fetch.Licence{ID: "other", Name: "acme[2J", Link: "https://example.com/l", Gated: true}, true},
		{map[string]any{"license": []string{"mit", "cc-by-nc-4.0"}, "license_link": "LICENSE"}, false, fetch.Licence{ID: "mit, cc-by-nc-4.0"}, true},
		{nil, false, fetch.Licence{}, true},
	} {
		h := serveHub(t, map[string][]byte{"x.safetensors": []byte("x")})
		h.card, h.gated = c.card, c.gated
		got := list(t, h.fetcher(""), "hf://org/name").Licence
		c.want.Of = "hf://org/name"
		if c.want.Link == "" {
			c.want.Link = h.URL + "/org/name"
		}
		if got != c.want || got.NeedsAcceptance() != c.needs {
			t.Errorf("%v: %+v, needs %v", c.card, got, got.NeedsAcceptance())
		}
	}
}

func TestHubRefuses(t *testing.T) {
	for _, c := range []struct {
		refuse, token string
		kind          fault.Kind
		code, words   string
	}{
		{"GatedRepo", "", fault.Denied, fetch.CodeGated, "set HF_TOKEN"},
		{"GatedRepo", "x", fault.Denied, fetch.CodeGated, "accept its terms at"},
		{"RepoNotFound", "", fault.NotFound, "", "private"},
		{"RepoNotFound", "x", fault.NotFound, "", "may not see"},
		{"RevisionNotFound", "", fault.NotFound, "", "no revision"},
	} {
		h := serveHub(t, nil)
		h.refuse = c.refuse
		_, err := h.fetcher(c.token).List(t.Context(), ref(t, "hf://org/name@v9"))
		wantCode(t, err, c.kind, c.code, c.words)
	}
	h := serveHub(t, map[string][]byte{"a-Q4.gguf": []byte("x"), "a-Q8-00001-of-00002.gguf": []byte("x"), "a-Q8-00002-of-00002.gguf": []byte("x")})
	_, err := h.fetcher("").List(t.Context(), ref(t, "hf://org/name"))
	wantCode(t, err, fault.Invalid, "", "name one: hf://org/name/a-Q4.gguf, hf://org/name/a-Q8-*.gguf.")
	if l := list(t, h.fetcher(""), "hf://org/name/a-Q8-*.gguf"); len(l.Files) != 2 || !l.Folder {
		t.Errorf("%+v", l)
	}
	_, err = h.fetcher("").List(t.Context(), ref(t, "hf://org/name/none.gguf"))
	wantCode(t, err, fault.NotFound, "", "selects 0 of the 3")
	_, err = h.fetcher("").List(t.Context(), ref(t, "hf://org/name@"+strings.Repeat("b2", 20)))
	wantCode(t, err, fault.Unavailable, fetch.CodeCorrupt, "was asked for the commit")
	h.files = map[string][]byte{"../x": []byte("x")}
	_, err = h.fetcher("").List(t.Context(), ref(t, "hf://org/name"))
	wantCode(t, err, fault.Unavailable, fetch.CodeCorrupt, "no name")
	h.commit = "main"
	_, err = h.fetcher("").List(t.Context(), ref(t, "hf://org/name"))
	wantCode(t, err, fault.Unavailable, fetch.CodeCorrupt, "which commit")
	h.Close()
	_, err = h.fetcher("").List(t.Context(), ref(t, "hf://org/name"))
	wantCode(t, err, fault.Unavailable, fetch.CodeUnreachable, "cannot be reached")
}
