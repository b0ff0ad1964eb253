// Package artifact finds objects: weights of models to read, logs to write. Where they lie is said as cloud storage says it
// (s3://BUCKET/KEY) or as a file of this machine; buckets are directories.
package artifact

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"forebay/fault"
)

// Location is where objects lie: below a key of a bucket, or below a path of this machine.
type Location struct {
	Bucket, Key string
	Path        string // absolute; of a file: location
}

// bucketName is what names of buckets look like ("Bucket naming rules", Amazon S3 User Guide). None is a path.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// IsBucket reports whether a text can be the name of a bucket.
func IsBucket(name string) bool { return bucketName.MatchString(name) && !strings.Contains(name, "..") }

// Parse reads s3://BUCKET/KEY, file:///PATH or /PATH. Faults: Invalid.
func Parse(uri string) (Location, error) {
	if filepath.IsAbs(uri) {
		return Location{Path: filepath.Clean(uri)}, nil
	}
	if rest, ok := strings.CutPrefix(uri, "s3://"); ok {
		bucket, key, _ := strings.Cut(rest, "/")
		key = strings.TrimSuffix(key, "/")
		if !IsBucket(bucket) || key != "" && !fs.ValidPath(key) {
			return Location{}, invalid(uri)
		}
		return Location{Bucket: bucket, Key: key}, nil
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(u.Path) {
		return Location{}, invalid(uri)
	}
	return Location{Path: filepath.Clean(u.Path)}, nil
}

func invalid(uri string) error {
	return fault.Newf(fault.Invalid, "The location %q is invalid: write s3://BUCKET/KEY or file:///PATH.", clip(uri))
}

func clip(s string) string { return s[:min(len(s), 256)] }

// Objects are the objects of this machine. They are safe for concurrent use.
type Objects struct {
	Root    string            // a bucket without a directory of its own is one below it
	Buckets map[string]string // directories of buckets
}

// dir is the directory of a bucket.
func (o *Objects) dir(bucket string) string {
	if d := o.Buckets[bucket]; d != "" {
		return d
	}
	return filepath.Join(o.Root, bucket)
}

// Open opens the folder at a location for reading. Nothing outside of it can be read, through links either. It must be
// closed. Faults: Invalid for a location that is not there, or is no folder.
func (o *Objects) Open(l Location) (*os.Root, error) {
	root, err := os.OpenRoot(cmp.Or(l.Path, o.dir(l.Bucket)))
	if err == nil && l.Key != "" {
		var sub *os.Root
		sub, err = root.OpenRoot(filepath.FromSlash(l.Key))
		err = errors.Join(err, root.Close())
		root = sub
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "Could not find the location "+l.String()+", or it is no folder.")
	}
	return root, nil
}

// String returns the location as Parse takes it.
func (l Location) String() string {
	if l.Path != "" {
		u := url.URL{Scheme: "file", Path: filepath.ToSlash(l.Path)}
		return u.String()
	}
	return strings.TrimSuffix("s3://"+l.Bucket+"/"+l.Key, "/")
}

// Below returns the location of a key below this one.
func (l Location) Below(key string) Location {
	if l.Path != "" {
		return Location{Path: filepath.Join(l.Path, filepath.FromSlash(key))}
	}
	return Location{Bucket: l.Bucket, Key: path.Join(l.Key, key)}
}

// Permissions of what is written: prompts are in it.
const (
	folderMode = 0o700
	fileMode   = 0o600
)

// Create writes an object. It is there in full, or not at all. The key stays below its bucket's directory, through links too.
func (o *Objects) Create(l Location, write func(io.Writer) error) (err error) {
	dir, key := o.dir(l.Bucket), l.Key
	if l.Path != "" {
		dir, key = filepath.Split(l.Path)
	}
	if !fs.ValidPath(key) || key == "." {
		return invalid(l.String())
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if folder := path.Dir(key); folder != "." {
		if err := root.MkdirAll(filepath.FromSlash(folder), folderMode); err != nil {
			return err
		}
	}
	name := filepath.FromSlash(key)
	part := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".part")
	f, err := root.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return errors.Join(err, root.Remove(part))
	}
	return root.Rename(part, name)
}

// DiskError classifies a failure to write weights: Unavailable of fault.CodeStorage where the disk, or a share of it, is full.
// Other errors come back as they are.
func DiskError(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			e := fault.Wrap(fault.Unavailable, err, "The disk of the weights is full.")
			e.Code = fault.CodeStorage
			return e
		}
	}
	return err
}

// Folder returns the path of what lies at a location on this machine; false where the bucket is no folder of it. Faults:
// NotFound for what is not there, or outside of the bucket through a link.
func (o *Objects) Folder(l Location) (path string, ok bool, err error) {
	if o == nil || l.Path != "" {
		return l.Path, l.Path != "", nil
	}
	dir := o.dir(l.Bucket)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", o.Buckets[l.Bucket] != "", fault.Wrap(fault.NotFound, err, "The folder of the bucket "+l.Bucket+" is not there.")
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Stat(cmp.Or(filepath.FromSlash(l.Key), ".")); err != nil {
		return "", true, fault.Wrap(fault.NotFound, err, "Could not find the location "+l.String()+".")
	}
	return filepath.Join(dir, filepath.FromSlash(l.Key)), true, nil
}
