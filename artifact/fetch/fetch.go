// Package fetch finds and downloads weights: from S3-compatible storage, the web and the Hugging Face hub. List says what a
// reference stands for, pinned to one content where the source can do that; Download brings one file, by several ranges at
// once, resumes where an earlier try was cut off, and takes no source at its word: lengths, ranges, validators and
// checksums are held against what comes.
package fetch

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"forebay/artifact"
	"forebay/fault"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Codes of faults, beside fault.CodeStorage of a full disk.
const (
	CodeCorrupt     = "weights_corrupt"     // Unavailable: what came is not what the source, or the caller, said
	CodeChanged     = "weights_changed"     // Unavailable: the source has another file now than when it was listed
	CodeUnreachable = "weights_unreachable" // Unavailable: the source does not answer, or with errors, after all attempts
	CodeGated       = "weights_gated"       // Denied: terms must be accepted at the source, or a token is needed
)

// Options say how to reach sources. The zero value has the usual ones.
type Options struct {
	Transport http.RoundTripper // nil is one with the proxies of the environment
	Hub       HubOptions
	S3        S3Options
	Objects   *artifact.Objects // buckets that are folders of this machine; may be nil
	Parallel  int               // ranges of a file under way at once; 8 when 0
	Chunk     int64             // bytes of a range; 32 MiB when 0
	Attempts  int               // of each request; 6 when 0
	// Stall is how long a response may bring less than a kibibyte a second before it is given up; 30 s when 0.
	Stall time.Duration
	// Backoff is the wait after the first failure, which doubles; 500 ms when 0.
	Backoff time.Duration
}

// HubOptions say which hub is asked, as whom.
type HubOptions struct {
	Endpoint string // https://huggingface.co when ""
	Token    string // "" is anonymous
}

// S3Options say which storage is asked, as whom.
type S3Options struct {
	Endpoint string // of S3-compatible storage, whose buckets are in the path; AWS's when ""
	Region   string // in place of what Load says
	// Load returns credentials, region and endpoint; nil reads the environment and the profiles of AWS's tools. It is
	// called once, at the first object that is asked for. Without credentials requests are not signed.
	Load func(context.Context) (aws.Config, error)
}

// Fetcher downloads. It is safe for concurrent use.
type Fetcher struct {
	o     Options
	s3    s3
	clock func() time.Time
}

// New returns a fetcher.
func New(o Options) *Fetcher {
	if o.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone() // it is one
		t.DisableCompression = true                          // lengths and ranges are of what is stored
		t.MaxIdleConnsPerHost = 4 * max(o.Parallel, 8)       // several files are under way at once
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true) // ranges of one HTTP/2 connection would share its one window
		o.Transport = t
	}
	o.Hub.Endpoint = cmp.Or(o.Hub.Endpoint, "https://huggingface.co")
	o.Parallel, o.Attempts = cmp.Or(o.Parallel, 8), cmp.Or(o.Attempts, 6)
	o.Chunk = cmp.Or(o.Chunk, 32<<20)
	o.Stall, o.Backoff = cmp.Or(o.Stall, 30*time.Second), cmp.Or(o.Backoff, 500*time.Millisecond)
	f := &Fetcher{o: o, clock: time.Now}
	f.s3.f = f
	return f
}

// Listing is what a reference stands for.
type Listing struct {
	// Pinned names this content for ever, as far as the source can: a commit of the hub, a checksum.
	Pinned artifact.Ref
	// Identity differs whenever the content does: it holds the commit, or the validators of the files. "" where the
	// source says nothing that would tell.
	Identity string
	Local    string // the file or folder of this machine that it is; there is nothing to download then
	Folder   bool   // the files are those of a folder, not one
	Files    []File
	Licence  Licence
}

// Bytes is the size of all files; false where one is not known.
func (l *Listing) Bytes() (int64, bool) {
	var n int64
	for i := range l.Files {
		if l.Files[i].Size < 0 {
			return n, false
		}
		n += l.Files[i].Size
	}
	return n, true
}

// File is one file at its source.
type File struct {
	Path      string // below the folder, with slashes
	Size      int64  // -1 is not known
	Sums      Sums
	Validator string // a strong ETag, or a date of modification; ""

	url     string
	source  *source
	oneGo   bool // the source ignores ranges
	fixture bool // the URL names one content for ever, so that validators need not be asked
}

// SHA256 returns the checksum that is known before the file is there; "".
func (f *File) SHA256() string { return f.Sums[SumSHA256] }

// Licence is what the hub's model card says of the terms.
type Licence struct {
	Of    string `json:"of,omitzero"`    // the repository; "" where the source knows no licences
	ID    string `json:"id,omitzero"`    // "apache-2.0", "llama3.1"; "" where none is stated
	Name  string `json:"name,omitzero"`  // where the id is "other"
	Link  string `json:"link,omitzero"`  // of the text, or of the page that names it
	Gated bool   `json:"gated,omitzero"` // the source itself demands acceptance
}

// open are licences that allow any use, so that nothing has to be accepted before. Source: those of the hub's list of
// licences that the Open Source Initiative or the Open Definition lists, by the hub's identifiers.
var open = map[string]bool{
	"apache-2.0": true, "mit": true, "bsd": true, "bsd-2-clause": true, "bsd-3-clause": true, "bsd-3-clause-clear": true, "isc": true, "zlib": true, "unlicense": true, "wtfpl": true,
	"artistic-2.0": true, "bsl-1.0": true, "ecl-2.0": true, "mpl-2.0": true, "ms-pl": true, "postgresql": true, "ncsa": true, "afl-3.0": true, "cc0-1.0": true, "cc-by-4.0": true,
	"cc-by-sa-4.0": true, "pddl": true, "odc-by": true, "odbl": true, "lgpl": true, "lgpl-2.1": true, "lgpl-3.0": true, "gpl": true, "gpl-2.0": true, "gpl-3.0": true,
	"agpl-3.0": true, "epl-1.0": true, "epl-2.0": true, "eupl-1.1": true, "eupl-1.2": true, "ofl-1.1": true, "osl-3.0": true, "cdla-permissive-1.0": true, "cdla-permissive-2.0": true,
}

// NeedsAcceptance reports whether somebody has to accept the terms before weights are pulled: those that are not open, and
// repositories that state none.
func (l Licence) NeedsAcceptance() bool { return l.Of != "" && !open[l.ID] }

// String names the licence for people.
func (l Licence) String() string {
	switch {
	case l.Of == "":
		return "unknown"
	case l.ID == "":
		return "none stated"
	default:
		return cmp.Or(l.Name, l.ID)
	}
}

// List asks the source what a reference stands for. Faults: Invalid for a reference that selects nothing, or too much;
// NotFound, Denied (of CodeGated at the hub), Unavailable of CodeUnreachable or CodeCorrupt.
func (f *Fetcher) List(ctx context.Context, ref artifact.Ref) (*Listing, error) {
	var l *Listing
	var err error
	switch ref.Source {
	case artifact.Hub:
		l, err = f.listHub(ctx, ref)
	case artifact.Web:
		l, err = f.listWeb(ctx, ref)
	case artifact.S3:
		l, err = f.s3.list(ctx, ref)
	case artifact.Local:
		l, err = listLocal(ref, ref.Location.Path)
	}
	if err != nil {
		return nil, err
	}
	return l, l.expect(ref)
}

// expect holds the checksum that the caller gave against the listing.
func (l *Listing) expect(ref artifact.Ref) error {
	if ref.SHA256 == "" || l.Local != "" {
		return nil
	}
	if len(l.Files) != 1 || l.Folder {
		return fault.Newf(fault.Invalid, "%s is %d files; a checksum is of one.", ref.Redacted(), len(l.Files))
	}
	file := &l.Files[0]
	if known := file.SHA256(); known != "" && known != ref.SHA256 {
		return corrupt("%s has the checksum %s by its source, and not %s.", ref.Redacted(), known, ref.SHA256)
	}
	if file.Sums == nil {
		file.Sums = Sums{}
	}
	file.Sums[SumSHA256] = ref.SHA256
	l.Identity = "sha256:" + ref.SHA256 + "/" + file.Path
	return nil
}

func coded(kind fault.Kind, code string, cause error, message string) error {
	e := fault.Wrap(kind, cause, message)
	e.Code = code
	return e
}
