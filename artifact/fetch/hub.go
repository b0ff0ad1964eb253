package fetch

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"forebay/artifact"
	"forebay/fault"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// hubRevision is what the hub says of a revision. Source: "Hub API Endpoints" of the Hugging Face hub, GET
// /api/models/{repo}/revision/{revision}?blobs=true.
type hubRevision struct {
	SHA   string         `json:"sha"`
	Gated jsontext.Value `json:"gated"` // false, "auto" or "manual"
	Card  struct {
		Licence jsontext.Value `json:"license"` // a text, or a list of them
		Name    string         `json:"license_name"`
		Link    string         `json:"license_link"`
	} `json:"cardData"`
	Files []hubFile `json:"siblings"`
}

type hubFile struct {
	Name string `json:"rfilename"`
	Size int64  `json:"size"`
	Blob string `json:"blobId"`
	LFS  *struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"lfs"`
}

var (
	commit = regexp.MustCompile(`^[0-9a-f]{40}$`)
	digest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// shard is what names of the parts of one GGUF model differ in.
	shard = regexp.MustCompile(`-\d{5}-of-\d{5}\.gguf$`)
)

const maxFiles = 10_000 // of one repository, or below one key

// hub is the source of a repository.
func (f *Fetcher) hub(ref artifact.Ref) *source {
	endpoint := strings.TrimSuffix(f.o.Hub.Endpoint, "/")
	s := &source{name: "The hub " + endpoint}
	if f.o.Hub.Token != "" {
		s.sign = func(r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+f.o.Hub.Token)
			return nil
		}
	}
	page := endpoint + "/" + ref.Repo
	s.refused = func(res *http.Response, _ string) error {
		// Source: the header X-Error-Code as huggingface_hub reads it.
		switch code := res.Header.Get("X-Error-Code"); {
		case code == "GatedRepo" && f.o.Hub.Token == "":
			return coded(fault.Denied, CodeGated, nil, fmt.Sprintf("%s is gated: accept its terms at %s, make a token at %s/settings/tokens, and set HF_TOKEN to it.", ref.Repo, page, endpoint))
		case code == "GatedRepo":
			return coded(fault.Denied, CodeGated, nil, fmt.Sprintf("%s is gated, and the account of HF_TOKEN has no access: accept its terms at %s, or wait until that is granted.", ref.Repo, page))
		case code == "RepoNotFound", res.StatusCode == http.StatusUnauthorized && code == "":
			if f.o.Hub.Token == "" {
				return fault.Newf(fault.NotFound, "The hub has no repository %s, or it is private: then HF_TOKEN must be set to a token of who may read it.", ref.Repo)
			}
			return fault.Newf(fault.NotFound, "The hub has no repository %s, or the account of HF_TOKEN may not see it.", ref.Repo)
		case code == "RevisionNotFound":
			return fault.Newf(fault.NotFound, "%s has no revision %q.", ref.Repo, ref.Revision)
		case code == "EntryNotFound":
			return fault.Newf(fault.NotFound, "%s has no such file.", ref.Repo)
		}
		return nil
	}
	return s
}

func (f *Fetcher) listHub(ctx context.Context, ref artifact.Ref) (*Listing, error) {
	s, endpoint := f.hub(ref), strings.TrimSuffix(f.o.Hub.Endpoint, "/")
	revision := ref.Revision
	if revision == "" {
		revision = "main"
	}
	b, err := f.text(ctx, s, endpoint+"/api/models/"+ref.Repo+"/revision/"+url.PathEscape(revision)+"?blobs=true", http.Header{"Accept": {"application/json"}})
	if err != nil {
		return nil, err
	}
	var have hubRevision
	// Cards are written by people: what they repeat or encode badly is not ours to refuse.
	if err := json.Unmarshal(b, &have, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil || !commit.MatchString(have.SHA) {
		return nil, coded(fault.Unavailable, CodeCorrupt, err, s.name+" does not say which commit "+ref.Redacted()+" is.")
	}
	if commit.MatchString(revision) && revision != have.SHA {
		return nil, corrupt("%s was asked for the commit %s, and answers with %s.", s.name, revision, have.SHA)
	}
	l := &Listing{Pinned: ref, Folder: true, Licence: have.licence(endpoint, ref)}
	l.Pinned.Revision = have.SHA
	l.Identity = strings.Join([]string{"hf:", endpoint, ref.Repo, have.SHA, ref.Select}, " ")
	chosen, err := have.choose(ref)
	if err != nil {
		return nil, err
	}
	for _, h := range chosen {
		file, err := h.file(s, endpoint+"/"+ref.Repo+"/resolve/"+have.SHA+"/")
		if err != nil {
			return nil, err
		}
		l.Folder = l.Folder && h.Name != ref.Select
		l.Files = append(l.Files, file)
	}
	if !l.Folder { // the file itself, without the folders above it
		l.Files[0].Path = path.Base(l.Files[0].Path)
	}
	return l, nil
}

func (h *hubFile) file(s *source, below string) (File, error) {
	if !fs.ValidPath(h.Name) || h.Name == "." || strings.ContainsAny(h.Name, "\\\x00") || h.Size < 0 {
		return File{}, corrupt("%s lists the file %.128q, which is no name of one.", s.name, h.Name)
	}
	file := File{Path: h.Name, Size: h.Size, Sums: Sums{}, url: below + (&url.URL{Path: h.Name}).EscapedPath(), source: s, fixture: true}
	switch {
	case h.LFS != nil && digest.MatchString(h.LFS.SHA256):
		file.Size, file.Sums[SumSHA256] = h.LFS.Size, h.LFS.SHA256
	case h.LFS == nil && commit.MatchString(h.Blob):
		file.Sums[SumGit] = h.Blob
	}
	return file, nil
}

// copies are names of weights in formats of other frameworks, which repositories have beside safetensors.
var copies = []string{
	"pytorch_model*.bin", "model*.bin", "consolidated*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.onnx_data", "*.tflite", "*.mlmodel", "*.gguf",
}

// choose returns the files that a reference takes, in the order of their names. Without a selection those are all but what
// engines of the usual formats do not read: copies for other frameworks beside safetensors. A repository with several models in
// GGUF, as they are quantized, has no such choice: one must be named.
func (have *hubRevision) choose(ref artifact.Ref) ([]*hubFile, error) {
	var out []*hubFile
	var tensors bool
	models := map[string]bool{}
	for i := range have.Files {
		h := &have.Files[i]
		if !ref.Selects(h.Name) || h.Name == ".gitattributes" {
			continue
		}
		if h.Name == ref.Select {
			return []*hubFile{h}, nil
		}
		out = append(out, h)
		tensors = tensors || strings.HasSuffix(h.Name, ".safetensors")
		if strings.HasSuffix(h.Name, ".gguf") {
			models[shard.ReplaceAllString(h.Name, "-*.gguf")] = true
		}
	}
	if ref.Select == "" {
		if tensors {
			out = slices.DeleteFunc(out, (*hubFile).isCopy)
		} else if len(models) > 1 {
			return nil, fault.Newf(fault.Invalid, "%s has %d models; name one: %s.", ref.Redacted(), len(models), some(models, "hf://"+ref.Repo+"/"))
		}
	}
	if len(out) == 0 || len(out) > maxFiles {
		return nil, fault.Newf(fault.NotFound, "%s selects %d of the %d files of the repository.", ref.Redacted(), len(out), len(have.Files))
	}
	slices.SortFunc(out, func(a, b *hubFile) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (h *hubFile) isCopy() bool {
	for _, pattern := range copies {
		if ok, err := path.Match(pattern, path.Base(h.Name)); ok && err == nil {
			return true
		}
	}
	return false
}

// some lists names, a dozen at most.
func some(names map[string]bool, prefix string) string {
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, prefix+name)
	}
	slices.Sort(list)
	if len(list) > 12 {
		list = append(list[:12], "…")
	}
	return strings.Join(list, ", ")
}

func (have *hubRevision) licence(endpoint string, ref artifact.Ref) Licence {
	l := Licence{Of: "hf://" + ref.Repo, Link: endpoint + "/" + ref.Repo}
	gated := strings.Trim(string(have.Gated), `"`)
	l.Gated = gated == "auto" || gated == "manual"
	var one string
	var several []string
	if err := json.Unmarshal(have.Card.Licence, &one); err == nil {
		l.ID = one
	} else if err := json.Unmarshal(have.Card.Licence, &several); err == nil && len(several) > 0 {
		l.ID = strings.Join(several, ", ")
	}
	l.ID = clean(strings.ToLower(l.ID))
	l.Name = clean(have.Card.Name)
	if u, err := url.Parse(have.Card.Link); err == nil && (u.Scheme == "https" || u.Scheme == "http") {
		l.Link = clean(u.String())
	}
	return l
}

// clean makes a text of a card fit for one line of a terminal.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 256)]
}
