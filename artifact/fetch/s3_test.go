package fetch

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"forebay/artifact"
	"forebay/fault"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// The example of "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk (AWS Signature
// Version 4)", GET Object, in the API reference of Amazon S3.
func TestSignature(t *testing.T) {
	f := New(Options{})
	f.clock = func() time.Time { return time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC) }
	f.s3.cfg = aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://examplebucket.s3.amazonaws.com/test.txt", http.NoBody)
	r.Header.Set("Range", "bytes=0-9")
	if err := f.s3.sign(r); err != nil {
		t.Fatal(err)
	}
	if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41") {
		t.Error(got)
	}
}

// The check value of the specification.
func TestNVMeChecksum(t *testing.T) {
	if got := crc64.Checksum([]byte("123456789"), nvme); got != 0xAE8B14860A799888 {
		t.Errorf("%X", got)
	}
}

func TestS3Addresses(t *testing.T) {
	f := New(Options{})
	f.s3.cfg.Region = "eu-west-1"
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	for _, c := range []struct{ endpoint, bucket, key, want string }{
		{"", "models", "a b/c+d=é.gguf", "https://models.s3.eu-west-1.amazonaws.com/a%20b/c%2Bd%3D%C3%A9.gguf"},
		{"", "my.models", "x", "https://s3.eu-west-1.amazonaws.com/my.models/x"},
		{"http://127.0.0.1:9000/", "models", "x", "http://127.0.0.1:9000/models/x"},
	} {
		f.o.S3.Endpoint = c.endpoint
		if got, err := f.s3.address(c.bucket, c.key, nil); err != nil || got != c.want {
			t.Errorf("%s %v; want %s", got, err, c.want)
		}
	}
	f.o.S3.Endpoint = "://"
	if _, err := f.s3.address("b", "k", nil); fault.KindOf(err) != fault.Invalid {
		t.Error(err)
	}
}

// storage is S3-compatible storage with one bucket, whose signatures it computes itself from what came.
type storage struct {
	t       *testing.T
	objects map[string][]byte
	signer  *Fetcher // nil takes unsigned requests only
	page    int      // keys of one answer
	head    func(h http.Header, key string)
}

func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.signer != nil {
		again := httptest.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.URL.RequestURI(), http.NoBody)
		for name := range strings.SplitSeq(signedHeaders(r.Header.Get("Authorization")), ";") {
			if v := r.Header.Get(name); v != "" {
				again.Header.Set(name, v)
			}
		}
		s.signer.clock = func() time.Time {
			at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
			if err != nil {
				s.t.Error(err)
			}
			return at
		}
		if err := s.signer.s3.sign(again); err != nil || again.Header.Get("Authorization") != r.Header.Get("Authorization") {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<Error><Code>SignatureDoesNotMatch</Code></Error>")
			return
		}
	} else if r.Header.Get("Authorization") != "" {
		s.t.Error("signed")
	}
	key := strings.TrimPrefix(r.URL.Path, "/models/")
	if r.URL.Query().Get("list-type") == "2" {
		s.list(w, r)
		return
	}
	b, ok := s.objects[key]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, crc64.Checksum(b, nvme)))
	if s.head != nil && r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		s.head(w.Header(), key)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

func signedHeaders(authorization string) string {
	_, rest, _ := strings.Cut(authorization, "SignedHeaders=")
	names, _, _ := strings.Cut(rest, ",")
	return names
}

func (s *storage) list(w http.ResponseWriter, r *http.Request) {
	var keys []string
	for key := range s.objects {
		if strings.HasPrefix(key, r.URL.Query().Get("prefix")) && key > r.URL.Query().Get("continuation-token") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	next := ""
	if len(keys) > s.page {
		keys = keys[:s.page]
		next = "<NextContinuationToken>" + keys[len(keys)-1] + "</NextContinuationToken>"
	}
	fmt.Fprint(w, `<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)
	for _, key := range keys {
		fmt.Fprintf(w, "<Contents><Key>%s</Key></Contents>", key)
	}
	fmt.Fprint(w, next, "</ListBucketResult>")
}

func static(id string) func(context.Context) (aws.Config, error) {
	return func(context.Context) (aws.Config, error) {
		c := aws.Config{Region: "eu-west-1"}
		if id != "" {
			c.Credentials = credentials.NewStaticCredentialsProvider(id, "secret", "session")
		}
		return c, nil
	}
}

func serveStorage(t *testing.T, id string, objects map[string][]byte) (*storage, *Fetcher) {
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	s := &storage{t: t, objects: objects, page: 2}
	if id != "" {
		s.signer = New(Options{S3: S3Options{Load: static(id)}})
		if err := s.signer.s3.load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// One at a time: the storage has one clock, which it sets to the request's.
	server := httptest.NewServer(http.MaxBytesHandler(serially(s), 1))
	t.Cleanup(server.Close)
	return s, New(Options{S3: S3Options{Endpoint: server.URL, Load: static(id)}, Chunk: 1 << 10, Backoff: 1, Attempts: 2})
}

func serially(h http.Handler) http.Handler {
	turn := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turn <- struct{}{}
		defer func() { <-turn }()
		h.ServeHTTP(w, r)
	})
}

func mustRef(t *testing.T, s string) artifact.Ref {
	t.Helper()
	r, err := artifact.ParseRef(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestS3(t *testing.T) {
	body := bytes.Repeat([]byte("weights!"), 1000)
	for _, id := range []string{"", "AKIA"} {
		s, f := serveStorage(t, id, map[string][]byte{
			"llama/a b+c.safetensors": body, "llama/config.json": []byte("{}"), "llama/sub/": nil, "llama/sub/x.txt": []byte("x"), "llama/z": []byte("z"), "other": []byte("o"),
		})
		s.head = func(h http.Header, key string) {
			h.Set("X-Amz-Checksum-Type", "FULL_OBJECT")
			h.Set("X-Amz-Checksum-Crc64nvme", base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc64.Checksum(s.objects[key], nvme))))
		}
		l, err := f.List(t.Context(), mustRef(t, "s3://models/llama"))
		if err != nil || len(l.Files) != 4 || !l.Folder || l.Identity == "" {
			t.Fatalf("%q: %+v, %v", id, l, err)
		}
		dir := t.TempDir()
		for i := range l.Files {
			path := filepath.Join(dir, strconv.Itoa(i))
			if _, err := f.Download(t.Context(), &l.Files[i], path, func(int64) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, s.objects["llama/"+l.Files[i].Path]) {
				t.Errorf("%s: %d bytes, %v", l.Files[i].Path, len(got), err)
			}
			if l.Files[i].Sums[SumCRC64NVME] == "" {
				t.Errorf("%+v", l.Files[i])
			}
		}
		one, err := f.List(t.Context(), mustRef(t, "s3://models/llama/a b+c.safetensors"))
		if err != nil || one.Folder || one.Files[0].Path != "a b+c.safetensors" {
			t.Fatalf("%+v, %v", one, err)
		}
		before := one.Identity
		s.objects["llama/a b+c.safetensors"] = body[8:]
		if one, err = f.List(t.Context(), mustRef(t, "s3://models/llama/a b+c.safetensors")); err != nil || one.Identity == before {
			t.Error("another object has the same identity", err)
		}
		if _, err := f.List(t.Context(), mustRef(t, "s3://models/none")); fault.KindOf(err) != fault.NotFound {
			t.Error(err)
		}
	}
}

// Checksums of the storage are held: of the whole object alone, for one of parts says nothing of it.
func TestS3Checksums(t *testing.T) {
	body := []byte(strings.Repeat("w", 3000))
	s, f := serveStorage(t, "AKIA", map[string][]byte{"m": body})
	wrong := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for kind, want := range map[string]string{"FULL_OBJECT": CodeCorrupt, "COMPOSITE": ""} {
		s.head = func(h http.Header, _ string) {
			h.Set("X-Amz-Checksum-Type", kind)
			h.Set("X-Amz-Checksum-Sha256", wrong)
		}
		l, err := f.List(t.Context(), mustRef(t, "s3://models/m"))
		if err != nil || l.Pinned.Pinned() != (want != "") {
			t.Fatalf("%+v, %v", l, err)
		}
		_, err = f.Download(t.Context(), &l.Files[0], filepath.Join(t.TempDir(), "x"), func(int64) error { return nil })
		if e := fault.From(err); want == "" && err != nil || want != "" && (e == nil || e.Code != want) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestS3Refuses(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	for _, c := range []struct {
		id    string
		serve http.HandlerFunc
		kind  fault.Kind
		words string
	}{
		{"AKIA", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, fault.Denied, "these credentials"},
		{"", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, fault.Denied, "no credentials were found"},
		{"AKIA", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Bucket-Region", "ap-south-1")
			w.WriteHeader(http.StatusMovedPermanently)
		}, fault.Invalid, `"ap-south-1"`},
		{"AKIA", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			fmt.Fprint(w, "no list")
		}, fault.Unavailable, "no list of objects"},
		{"AKIA", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			fmt.Fprint(w, "<L><Contents><Key>x/../../y</Key></Contents></L>")
		}, fault.Unavailable, "no path below"},
	} {
		server := httptest.NewServer(c.serve)
		t.Cleanup(server.Close)
		f := New(Options{S3: S3Options{Endpoint: server.URL, Load: static(c.id)}, Backoff: 1, Attempts: 2})
		_, err := f.List(t.Context(), mustRef(t, "s3://models/x"))
		if e := fault.From(err); e == nil || e.Kind != c.kind || !strings.Contains(e.Message, c.words) {
			t.Errorf("%s: %v", c.words, err)
		}
	}
	broken := errors.New("no such profile")
	f := New(Options{S3: S3Options{Load: func(context.Context) (aws.Config, error) { return aws.Config{}, broken }}})
	if _, err := f.List(t.Context(), mustRef(t, "s3://models/x")); fault.KindOf(err) != fault.Invalid || !errors.Is(err, broken) {
		t.Error(err)
	}
}
