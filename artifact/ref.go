package artifact

import (
	"cmp"
	"io/fs"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"forebay/fault"
)

// Source is a kind of place that weights come from.
type Source uint8

// The sources.
const (
	Local Source = iota // a file or folder of this machine
	S3                  // an object, or those below a key, of S3-compatible storage
	Web                 // a file behind a URL
	Hub                 // a repository of the Hugging Face hub
)

// Ref names weights by the place that they come from. Its forms are
//
//	/PATH, file:///PATH                    a file or folder of this machine
//	s3://BUCKET/KEY                        an object, or those below a key
//	https://HOST/PATH                      a file; http:// of this machine, or with a checksum, as well
//	hf://ORG/NAME[@REVISION][/SELECTION]   files of a repository: all, one, those of a folder, or those that match a pattern
//
// each with #sha256=HEX behind it where it is one file whose content is known. Refs are comparable.
type Ref struct {
	Source   Source
	Location Location // of Local and S3
	URL      string   // of Web; it may hold a signature, which is a secret
	Repo     string   // of Hub: ORG/NAME
	Revision string   // of Hub: a branch, a tag, a commit; "" is the main branch
	Select   string   // of Hub: the path of a file or folder, or a pattern as path.Match has it; "" is all
	SHA256   string   // 64 digits in lower case, or ""
}

var (
	checksum   = regexp.MustCompile(`#sha256=([0-9a-fA-F]{64})$`)
	repository = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$`)
	revision   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/-]{0,255}$`)
	commit     = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// maxRef is the longest reference that is read: presigned URLs with session tokens take about 2,000.
const maxRef = 8192

// ParseRef reads a reference. Faults: Invalid.
func ParseRef(text string) (Ref, error) {
	if len(text) > maxRef || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Ref{}, invalidRef(text, "it is longer than 8,192 bytes, or has control characters")
	}
	bare, sum := text, ""
	if m := checksum.FindStringSubmatch(text); m != nil {
		bare, sum = strings.TrimSuffix(text, m[0]), strings.ToLower(m[1])
	}
	scheme, rest, _ := strings.Cut(bare, "://")
	var r Ref
	var err error
	switch scheme {
	case "hf":
		r, err = parseHub(text, rest)
	case "https", "http":
		r, err = parseWeb(text, bare, sum != "")
	case "s3":
		r.Source = S3
		r.Location, err = Parse(bare)
	default:
		r.Location, err = Parse(bare)
		if err != nil {
			err = invalidRef(text, "write /PATH, s3://BUCKET/KEY, https://HOST/PATH or hf://ORG/NAME")
		}
	}
	if err != nil {
		return Ref{}, err
	}
	r.SHA256 = sum
	if len(r.String()) > maxRef { // escaped it can be three times as long
		return Ref{}, invalidRef(text, "it is longer than 8,192 bytes when it is escaped")
	}
	return r, nil
}

func parseHub(text, rest string) (Ref, error) {
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) < 2 || parts[0] == "datasets" || parts[0] == "spaces" {
		return Ref{}, invalidRef(text, "write hf://ORG/NAME[@REVISION][/FILE], of a repository of models")
	}
	r := Ref{Source: Hub}
	name, rev, pinned := strings.Cut(parts[1], "@")
	r.Repo = parts[0] + "/" + name
	if !repository.MatchString(r.Repo) || strings.Contains(r.Repo, "..") {
		return Ref{}, invalidRef(text, "names of repositories have letters, digits, dots, hyphens and underscores")
	}
	if pinned {
		var err error
		if r.Revision, err = url.PathUnescape(rev); err != nil || !revision.MatchString(r.Revision) || strings.Contains(r.Revision, "..") {
			return Ref{}, invalidRef(text, "behind @ stands a branch, a tag or a commit, with %2F for its slashes")
		}
	}
	if len(parts) < 3 {
		return r, nil
	}
	r.Select = strings.TrimSuffix(parts[2], "/")
	if r.Select == "" {
		return r, nil
	}
	if _, err := path.Match(r.Select, ""); err != nil || !fs.ValidPath(r.Select) || r.Select == "." || strings.Contains(r.Select, `\`) {
		return Ref{}, invalidRef(text, "the selection is a path inside the repository, or a pattern of one")
	}
	return r, nil
}

func parseWeb(text, bare string, known bool) (Ref, error) {
	u, err := url.Parse(bare)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return Ref{}, invalidRef(text, "it is no URL")
	case u.User != nil:
		return Ref{}, invalidRef(text, "it holds a name or a password, which would be shown wherever it is")
	case u.Fragment != "" || strings.HasSuffix(bare, "#"):
		return Ref{}, invalidRef(text, "behind # only sha256=HEX can stand")
	case u.Scheme == "http" && !known && !IsLoopback(u.Hostname()):
		return Ref{}, invalidRef(text, "without TLS anybody on the way can change it: use https, or say its #sha256=")
	case strings.Trim(u.Path, "/") == "":
		return Ref{}, invalidRef(text, "it names no file")
	}
	return Ref{Source: Web, URL: u.String()}, nil
}

// IsLoopback reports whether a host is this machine.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func invalidRef(text, why string) error {
	return fault.Newf(fault.Invalid, "The reference %q is invalid: %s.", clip(redact(text)), why)
}

// redact leaves out what may be a secret: everything behind a question mark of a URL, and names before its host.
func redact(text string) string {
	if !strings.HasPrefix(text, "https:") && !strings.HasPrefix(text, "http:") {
		return text
	}
	bare, _, signed := strings.Cut(text, "?")
	if scheme, rest, ok := strings.Cut(bare, "://"); ok {
		host, file, _ := strings.Cut(rest, "/")
		if at := strings.LastIndex(host, "@"); at >= 0 {
			bare = scheme + "://…@" + host[at+1:] + "/" + file
		}
	}
	if signed {
		return bare + "?…"
	}
	return bare
}

// String returns the reference as ParseRef takes it.
func (r Ref) String() string {
	var s string
	switch r.Source {
	case Web:
		s = r.URL
	case Hub:
		s = "hf://" + r.Repo
		if r.Revision != "" {
			s += "@" + strings.ReplaceAll(r.Revision, "/", "%2F")
		}
		if r.Select != "" {
			s += "/" + r.Select
		}
	case Local, S3:
		s = r.Location.String()
	}
	if r.SHA256 != "" {
		s += "#sha256=" + r.SHA256
	}
	return s
}

// Redacted returns the reference for people, logs and files: without what signs a URL.
func (r Ref) Redacted() string {
	bare := r
	bare.SHA256 = ""
	return redact(bare.String()) + strings.TrimPrefix(r.String(), bare.String())
}

// Pinned reports whether the reference names one content for ever: by its checksum, or by the commit of a repository.
func (r Ref) Pinned() bool {
	return r.SHA256 != "" || r.Source == Hub && commit.MatchString(r.Revision)
}

// Base is the last name of the reference: of a file, a folder or a repository.
func (r Ref) Base() string {
	switch r.Source {
	case Web:
		u, err := url.Parse(r.URL)
		if err != nil {
			return "file"
		}
		return path.Base(u.Path)
	case Hub:
		return path.Base(cmp.Or(r.Select, r.Repo))
	case Local, S3:
	}
	if r.Location.Path != "" {
		return filepath.Base(r.Location.Path)
	}
	return path.Base(cmp.Or(r.Location.Key, r.Location.Bucket))
}

// IsArchive reports whether a file of that name is unpacked before an engine sees it, as SageMaker's model.tar.gz is.
func IsArchive(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".tar")
}

// Selects reports whether the reference takes the file at a path of its repository: the file itself, one of a folder, or
// one that the pattern matches, whose last name alone counts where the pattern names no folder.
func (r Ref) Selects(name string) bool {
	if r.Select == "" || r.Select == name || strings.HasPrefix(name, r.Select+"/") {
		return true
	}
	if !strings.ContainsAny(r.Select, "*?[") {
		return false
	}
	if !strings.Contains(r.Select, "/") {
		name = path.Base(name)
	}
	ok, err := path.Match(r.Select, name)
	return ok && err == nil
}
