package artifact_test

import (
	"strings"
	"testing"

	"forebay/artifact"
	"forebay/fault"
)

const (
	digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	pin    = "0123456789abcdef0123456789abcdef01234567"
)

func TestParseRef(t *testing.T) {
	for in, want := range map[string]artifact.Ref{
		"/srv/models/x.gguf":                            {Location: artifact.Location{Path: "/srv/models/x.gguf"}},
		"/srv/x.gguf#sha256=" + strings.ToUpper(digest): {Location: artifact.Location{Path: "/srv/x.gguf"}, SHA256: digest},
		"/srv/a#b":                                  {Location: artifact.Location{Path: "/srv/a#b"}},
		"file:///srv/x":                             {Location: artifact.Location{Path: "/srv/x"}},
		"s3://models/llama/model.tar.gz":            {Source: artifact.S3, Location: artifact.Location{Bucket: "models", Key: "llama/model.tar.gz"}},
		"https://example.com/a/x.gguf?sig=1":        {Source: artifact.Web, URL: "https://example.com/a/x.gguf?sig=1"},
		"https://example.com/x#sha256=" + digest:    {Source: artifact.Web, URL: "https://example.com/x", SHA256: digest},
		"http://127.0.0.1:8080/x":                   {Source: artifact.Web, URL: "http://127.0.0.1:8080/x"},
		"http://example.com/x#sha256=" + digest:     {Source: artifact.Web, URL: "http://example.com/x", SHA256: digest},
		"hf://org/name":                             {Source: artifact.Hub, Repo: "org/name"},
		"hf://org/name@v1.0":                        {Source: artifact.Hub, Repo: "org/name", Revision: "v1.0"},
		"hf://org/name@refs%2Fpr%2F1/x.gguf":        {Source: artifact.Hub, Repo: "org/name", Revision: "refs/pr/1", Select: "x.gguf"},
		"hf://org/name/dir/*.gguf":                  {Source: artifact.Hub, Repo: "org/name", Select: "dir/*.gguf"},
		"hf://org/name/":                            {Source: artifact.Hub, Repo: "org/name"},
		"hf://org/na.me_1/folder/#sha256=" + digest: {Source: artifact.Hub, Repo: "org/na.me_1", Select: "folder", SHA256: digest},
	} {
		got, err := artifact.ParseRef(in)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "x.gguf", "ftp://host/x", "hf://name", "hf://", "hf://a/b@", "hf://a/b@../x", "hf://a/../b", "hf://a..b/c", "hf://datasets/a/b", "hf://a/b/../c",
		"hf://a/b//c", "hf://a/b/[", `hf://a/b/c\d`, "hf://a/b@x%zz", "hf://-a/b", "http://example.com/x", "https://u:p@example.com/x", "https://example.com", "https://example.com/",
		"https:///x", "https://example.com/x#y", "https://example.com/x#", "s3://UPPER/x", "s3://bucket/../x", "/x\x00", "/x\n", "/" + strings.Repeat("x", 8192), "https://%zz/x",
	} {
		if got, err := artifact.ParseRef(in); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}

// What signs a URL is a secret: neither a fault nor what is shown has it.
func TestRefHidesSecrets(t *testing.T) {
	r, err := artifact.ParseRef("https://example.com/x.gguf?X-Amz-Signature=hush")
	if err != nil || strings.Contains(r.Redacted(), "hush") || r.Redacted() != "https://example.com/x.gguf?…" {
		t.Error(r.Redacted(), err)
	}
	r.SHA256 = digest
	if r.Redacted() != "https://example.com/x.gguf?…#sha256="+digest {
		t.Error(r.Redacted())
	}
	for _, in := range []string{"https://me:hush@example.com/x", "https://example.com/x?sig=hush#y"} {
		if _, err := artifact.ParseRef(in); err == nil || strings.Contains(err.Error(), "hush") {
			t.Error(err)
		}
	}
}

func TestSelects(t *testing.T) {
	for _, c := range []struct {
		sel, name string
		want      bool
	}{
		{"", "a/b", true},
		{"a.gguf", "a.gguf", true},
		{"a.gguf", "x/a.gguf", false},
		{"dir", "dir/a.gguf", true},
		{"dir", "dirt/a.gguf", false},
		{"*.gguf", "x/a.gguf", true},
		{"*Q4_K*.gguf", "a-Q4_K_M.gguf", true},
		{"x/*.gguf", "x/a.gguf", true},
		{"x/*.gguf", "x/y/a.gguf", false},
		{"*.gguf", "a.bin", false},
		{"a[1].gguf", "a[1].gguf", true}, // a name that looks like a pattern names itself
	} {
		if got := (artifact.Ref{Source: artifact.Hub, Select: c.sel}).Selects(c.name); got != c.want {
			t.Errorf("%q takes %q: %v", c.sel, c.name, got)
		}
	}
}

func TestRefNames(t *testing.T) {
	for in, want := range map[string]string{
		"/srv/x.gguf": "x.gguf", "s3://bucket": "bucket", "s3://bucket/a/model.tar.gz": "model.tar.gz",
		"https://example.com/a/x.gguf?y=/z": "x.gguf", "hf://org/name": "name", "hf://org/name/a/x.gguf": "x.gguf",
	} {
		r, err := artifact.ParseRef(in)
		if err != nil || r.Base() != want || artifact.IsArchive(r.Base()) != strings.HasSuffix(in, ".tar.gz") {
			t.Errorf("%s: %q, %v", in, r.Base(), err)
		}
	}
	for in, want := range map[string]bool{"hf://a/b": false, "hf://a/b@main": false, "hf://a/b@" + pin: true, "https://example.com/x": false, "https://example.com/x#sha256=" + digest: true} {
		if r, err := artifact.ParseRef(in); err != nil || r.Pinned() != want {
			t.Errorf("%s: %v, %v", in, r.Pinned(), err)
		}
	}
}

// Whatever is taken is written so that it is taken again as the same, and is nothing that leads out of its place.
func FuzzParseRef(f *testing.F) {
	for _, s := range []string{
		"/srv/x", "file:///a%20b", "s3://models/a/b", "https://example.com/x?y#sha256=" + digest, "hf://org/name@refs%2Fpr%2F1/dir/*.gguf", "hf://a/b@main", "http://[::1]/x",
		"hf://a/b/%2e%2e/c", "https://example.com/%2e%2e/x", "/a#sha256=" + digest, "hf://a/b/#sha256=" + digest,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := artifact.ParseRef(s)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		again, err := artifact.ParseRef(r.String())
		if err != nil || again != r {
			t.Fatalf("%q is %+v, written %q, which is %+v, %v", s, r, r.String(), again, err)
		}
		for part := range strings.SplitSeq(r.Repo+"/"+r.Select+"/"+r.Location.Key+"/"+r.Location.Path, "/") {
			if part == ".." {
				t.Fatalf("%q leads up: %+v", s, r)
			}
		}
	})
}
