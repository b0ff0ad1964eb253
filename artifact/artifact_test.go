package artifact_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"forebay/artifact"
	"forebay/fault"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]artifact.Location{
		"s3://models/llama/v1/": {Bucket: "models", Key: "llama/v1"},
		"s3://models":           {Bucket: "models"},
		"/srv/models/x/":        {Path: "/srv/models/x"},
		"file:///srv/a%20b":     {Path: "/srv/a b"},
		"file://localhost/srv":  {Path: "/srv"},
	} {
		got, err := artifact.Parse(in)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
		if again, err := artifact.Parse(got.String()); err != nil || again != got {
			t.Errorf("%s: written as %s it is %+v, %v", in, got, again, err)
		}
	}
	for _, in := range []string{"", "relative/path", "s3://", "s3://UPPER/x", "s3://a/x", "s3://../x", "s3://a..b/x", "s3://bucket/../x", "s3://bucket//x", "https://bucket/x", "file://host/x", "file:x", "s3:/x\x00"} {
		if got, err := artifact.Parse(in); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}

func parse(t *testing.T, s string) artifact.Location {
	t.Helper()
	l, err := artifact.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// What is written can be read at the same location; a write that fails leaves nothing.
func TestObjects(t *testing.T) {
	root, own := t.TempDir(), t.TempDir()
	o := artifact.Objects{Root: root, Buckets: map[string]string{"mine": own}}
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	for _, at := range []string{"s3://other/a/b.txt", "s3://mine/a/b.txt", "file://" + filepath.ToSlash(t.TempDir()) + "/a/b.txt"} {
		if err := o.Create(parse(t, at), text("one")); err != nil {
			t.Fatal(err)
		}
		failed := errors.New("full")
		if err := o.Create(parse(t, at), func(w io.Writer) error { return errors.Join(text("two")(w), failed) }); !errors.Is(err, failed) {
			t.Error(err)
		}
		folder, err := o.Open(parse(t, at[:len(at)-len("/b.txt")]))
		if err != nil {
			t.Fatal(err)
		}
		got, err := fs.ReadFile(folder.FS(), "b.txt")
		names, _ := fs.ReadDir(folder.FS(), ".")
		if err != nil || string(got) != "one" || len(names) != 1 {
			t.Errorf("%s: %q, %v, %d files", at, got, err, len(names))
		}
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(own, "a", "b.txt")); err != nil {
		t.Error(err)
	}
}

// A link out of a bucket is not followed.
func TestLinksStayInside(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "bucket", "link")); err != nil {
		t.Skip("no links here:", err)
	}
	o := artifact.Objects{Root: root}
	if r, err := o.Open(parse(t, "s3://bucket/link")); fault.KindOf(err) != fault.Invalid {
		t.Errorf("%v, %v", r, err)
	}
	if err := o.Create(parse(t, "s3://bucket/link/x"), func(io.Writer) error { return nil }); err == nil {
		t.Error("written through a link")
	}
	folder, err := o.Open(parse(t, "s3://bucket"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	if b, err := fs.ReadFile(folder.FS(), "link/secret"); err == nil {
		t.Errorf("read %q through a link", b)
	}
	for _, at := range []string{"s3://bucket/none", "s3://none"} {
		if _, err := o.Open(parse(t, at)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", at, err)
		}
	}
}
