package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"

	"forebay/artifact"
	"forebay/fault"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/encoding/httpbinding"
	"golang.org/x/sync/errgroup"
)

// emptyHash is the SHA-256 of a request without a body.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// s3 is S3-compatible storage. Its requests are plain ones with a signature: a GET is all that weights need.
type s3 struct {
	f    *Fetcher
	once sync.Once
	cfg  aws.Config
	err  error
}

// Profile returns what reads credentials, region and endpoint as AWS's tools do: from the environment, the files of profiles and what the
// machine has. "" is the usual profile.
func Profile(profile string) func(context.Context) (aws.Config, error) {
	return func(ctx context.Context) (aws.Config, error) {
		if profile == "" {
			return config.LoadDefaultConfig(ctx)
		}
		return config.LoadDefaultConfig(ctx, config.WithSharedConfigProfile(profile))
	}
}

func (s *s3) load(ctx context.Context) error {
	s.once.Do(func() {
		load := s.f.o.S3.Load
		if load == nil {
			load = Profile("")
		}
		s.cfg, s.err = load(context.WithoutCancel(ctx))
		s.cfg.Region = cmp.Or(s.f.o.S3.Region, s.cfg.Region, "us-east-1")
	})
	if s.err != nil {
		return fault.Wrap(fault.Invalid, s.err, fmt.Sprintf("The configuration of AWS's tools cannot be read: %v.", s.err))
	}
	return nil
}

func (s *s3) endpoint() string {
	known := aws.ToString(s.cfg.BaseEndpoint)
	return strings.TrimSuffix(cmp.Or(s.f.o.S3.Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), known), "/")
}

// address is the URL of a key: with the bucket in the path at endpoints that were given, and for names that no certificate covers.
func (s *s3) address(bucket, key string, query url.Values) (string, error) {
	at := s.endpoint()
	switch {
	case at != "":
		at += "/" + bucket
	case strings.Contains(bucket, "."):
		at = "https://s3." + s.cfg.Region + ".amazonaws.com/" + bucket
	default:
		at = "https://" + bucket + ".s3." + s.cfg.Region + ".amazonaws.com"
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" {
		return "", fault.Newf(fault.Invalid, "The address %q of S3 is invalid.", at)
	}
	// The service signs what it reads, escaped by its own rule; so must what is sent be.
	u.RawPath = httpbinding.EscapePath(u.Path+"/"+key, false)
	u.Path += "/" + key
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u.String(), nil
}

// source is a bucket with the credentials for it.
func (s *s3) source(ctx context.Context, bucket string) *source {
	src := &source{name: "The bucket " + bucket}
	signed := false
	if s.cfg.Credentials != nil {
		if _, err := s.cfg.Credentials.Retrieve(ctx); err == nil {
			signed, src.sign = true, s.sign
		}
	}
	src.refused = func(res *http.Response, text string) error {
		if region := res.Header.Get("X-Amz-Bucket-Region"); region != "" && region != s.cfg.Region {
			return fault.Newf(fault.Invalid, "The bucket %s is in the region %.32q: set weights.s3.region, or AWS_REGION.", bucket, region)
		}
		if res.StatusCode != http.StatusForbidden {
			return nil
		}
		var e struct{ Code string }
		_ = xml.Unmarshal([]byte(text), &e) // an answer to HEAD has no body
		if !signed {
			return fault.Newf(fault.Denied, "The bucket %s refuses access, and no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.", bucket)
		}
		return fault.Newf(fault.Denied, "The bucket %s refuses access to these credentials (%.64s), or has no such object.", bucket, cmp.Or(clean(e.Code), res.Status))
	}
	return src
}

// sign signs a request as Signature Version 4 for S3 says: paths are not escaped twice, the hash of the body is a header.
func (s *s3) sign(r *http.Request) error {
	c, err := s.cfg.Credentials.Retrieve(r.Context())
	if err != nil {
		return fault.Wrap(fault.Denied, err, "The credentials for S3 cannot be had.")
	}
	r.Header.Set("X-Amz-Content-Sha256", emptyHash)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	return signer.SignHTTP(r.Context(), c, r, emptyHash, "s3", s.cfg.Region, s.f.clock())
}

func (s *s3) list(ctx context.Context, ref artifact.Ref) (*Listing, error) {
	bucket, key := ref.Location.Bucket, ref.Location.Key
	if dir, ok, err := s.f.o.Objects.Folder(ref.Location); ok {
		if err != nil {
			return nil, err
		}
		return listLocal(ref, dir)
	}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	src := s.source(ctx, bucket)
	if key != "" {
		file, err := s.head(ctx, src, bucket, key)
		if err == nil {
			file.Path = path.Base(key)
			return s.listing(ref, false, []File{file}), nil
		}
		if fault.KindOf(err) != fault.NotFound {
			return nil, err
		}
	}
	names, err := s.below(ctx, src, bucket, key)
	if err != nil {
		return nil, err
	}
	files := make([]File, len(names))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.f.o.Parallel)
	for i, name := range names {
		g.Go(func() (err error) {
			files[i], err = s.head(gctx, src, bucket, path.Join(key, name))
			files[i].Path = name
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return s.listing(ref, true, files), nil
}

// listing says what was found. A sole object whose SHA-256 the service knows is pinned by it.
func (s *s3) listing(ref artifact.Ref, folder bool, files []File) *Listing {
	sum := sha256.New()
	for i := range files {
		if files[i].Validator == "" {
			return &Listing{Pinned: ref, Folder: folder, Files: files}
		}
		fmt.Fprintf(sum, "%q %d %s\n", files[i].Path, files[i].Size, files[i].Validator)
	}
	l := &Listing{Pinned: ref, Folder: folder, Files: files, Identity: strings.Join([]string{"s3:", s.endpoint(), ref.Location.String(), hex.EncodeToString(sum.Sum(nil))}, " ")}
	if !folder && files[0].SHA256() != "" {
		l.Pinned.SHA256 = files[0].SHA256()
	}
	return l
}

// head asks what an object is.
func (s *s3) head(ctx context.Context, src *source, bucket, key string) (File, error) {
	address, err := s.address(bucket, key, nil)
	if err != nil {
		return File{}, err
	}
	file := File{Sums: Sums{}, url: address, source: src}
	err = s.f.attempts(ctx, src, func(ctx context.Context) error {
		res, err := s.f.do(ctx, src, http.MethodHead, address, http.Header{"X-Amz-Checksum-Mode": {"ENABLED"}})
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		file.Size, file.Validator = res.ContentLength, validator(res.Header)
		for algorithm, name := range map[string]string{SumSHA256: "Sha256", SumCRC64NVME: "Crc64nvme", SumCRC32: "Crc32", SumCRC32C: "Crc32c"} {
			if res.Header.Get("X-Amz-Checksum-Type") != "COMPOSITE" {
				file.Sums.fromBase64(algorithm, res.Header.Get("X-Amz-Checksum-"+name))
			}
		}
		return nil
	})
	return file, err
}

// below lists the names of the objects below a key.
func (s *s3) below(ctx context.Context, src *source, bucket, key string) ([]string, error) {
	prefix := key
	if prefix != "" {
		prefix += "/"
	}
	var names []string
	for token := ""; ; {
		query := url.Values{"list-type": {"2"}, "prefix": {prefix}}
		if token != "" {
			query.Set("continuation-token", token)
		}
		address, err := s.address(bucket, "", query)
		if err != nil {
			return nil, err
		}
		b, err := s.f.text(ctx, src, address, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Contents []struct{ Key string }
			Next     string `xml:"NextContinuationToken"`
		}
		if err := xml.Unmarshal(b, &page); err != nil {
			return nil, coded(fault.Unavailable, CodeCorrupt, err, src.name+" answers with what is no list of objects.")
		}
		for _, o := range page.Contents {
			name, ok := strings.CutPrefix(o.Key, prefix)
			switch {
			case strings.HasSuffix(o.Key, "/"): // a mark that stands for a folder
			case !ok || !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00"):
				return nil, corrupt("%s lists the object %.128q, whose name is no path below %q.", src.name, o.Key, prefix)
			default:
				names = append(names, name)
			}
		}
		switch {
		case len(names) > maxFiles:
			return nil, fault.Newf(fault.TooLarge, "More than %d objects are below s3://%s/%s.", maxFiles, bucket, key)
		case page.Next == "" || page.Next == token:
			if len(names) == 0 {
				return nil, fault.Newf(fault.NotFound, "The bucket %s has neither an object %q nor any below it.", bucket, key)
			}
			return names, nil
		}
		token = page.Next
	}
}
