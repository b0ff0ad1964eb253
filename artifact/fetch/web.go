package fetch

import (
	"context"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"forebay/artifact"
	"forebay/fault"
)

// listLocal is the listing of what lies on this machine.
func listLocal(ref artifact.Ref, path string) (*Listing, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, ref.Redacted()+" is not there, or cannot be read.")
	}
	if st.IsDir() && ref.SHA256 != "" {
		return nil, fault.New(fault.Invalid, ref.Redacted()+" is a folder; a checksum is of one file.")
	}
	return &Listing{Pinned: ref, Local: path, Folder: st.IsDir()}, nil
}

// listWeb asks for the first byte of a file, which tells its size, what tells it from the next, and whether ranges are served.
func (f *Fetcher) listWeb(ctx context.Context, ref artifact.Ref) (*Listing, error) {
	u, err := url.Parse(ref.URL)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The reference is no URL.")
	}
	s := &source{name: u.Host}
	file := File{Path: ref.Base(), Size: -1, Sums: Sums{}, url: ref.URL, source: s}
	if !fs.ValidPath(file.Path) || strings.Contains(file.Path, `\`) || file.Path == "." {
		file.Path = "file"
	}
	err = f.attempts(ctx, s, func(ctx context.Context) error {
		res, err := f.do(ctx, s, http.MethodGet, ref.URL, http.Header{"Range": {"bytes=0-0"}})
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		file.Validator = validator(res.Header)
		if digest, ok := strings.CutPrefix(res.Header.Get("Repr-Digest"), "sha-256=:"); ok { // RFC 9530
			file.Sums.fromBase64(SumSHA256, strings.TrimSuffix(digest, ":"))
		}
		if res.StatusCode != http.StatusPartialContent {
			file.oneGo, file.Size = true, res.ContentLength
			return nil
		}
		_, _, file.Size, err = contentRange(res.Header)
		return err
	})
	if err != nil {
		return nil, err
	}
	l := &Listing{Pinned: ref, Files: []File{file}}
	if file.SHA256() != "" {
		l.Identity, l.Pinned.SHA256 = "sha256:"+file.SHA256()+"/"+file.Path, file.SHA256()
	} else if file.Validator != "" {
		l.Identity = "web:" + ref.URL + " " + file.Validator
	}
	return l, nil
}

// contentRange reads what a partial response has: its first and last byte, and how many the file has.
func contentRange(h http.Header) (first, last, size int64, err error) {
	text, ok := strings.CutPrefix(h.Get("Content-Range"), "bytes ")
	span, total, ok2 := strings.Cut(text, "/")
	a, b, ok3 := strings.Cut(span, "-")
	if ok && ok2 && ok3 {
		first, err = strconv.ParseInt(a, 10, 64)
		if err == nil {
			last, err = strconv.ParseInt(b, 10, 64)
		}
		if err == nil {
			size, err = strconv.ParseInt(total, 10, 64)
		}
	}
	if !ok || !ok2 || !ok3 || err != nil || first < 0 || last < first || size <= last {
		return 0, 0, 0, corrupt("The source sends the range %.64q, which is none.", h.Get("Content-Range"))
	}
	return first, last, size, nil
}
