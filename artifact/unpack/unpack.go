// Package unpack takes apart archives of weights, as SageMaker's model.tar.gz, which may come from anybody. Nothing is written
// outside the folder, no link leads out of it, and how much, how many and how well compressed is bounded.
//
// What is refused: names that are absolute, lead up, or occur twice; entries below a link; devices, pipes and
// sockets; links whose target is outside, or not there; archives over a bound, cut off, or with a wrong checksum.
// Owners, times, extended attributes and all of the permissions but the right to execute are left out.
package unpack

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"forebay/artifact"
	"forebay/fault"
)

// Limits bound an archive; what is 0 is as Default has it.
type Limits struct {
	Bytes   int64 // of all files
	Entries int   // files, folders and links
	Ratio   int64 // bytes that come out for one that is read
	// Free is how many bytes come out before the ratio counts: small texts compress well, and harm nobody.
	Free int64
}

// Default are bounds that no archive of weights comes near. Of weights hardly anything is saved; tokenizers shrink to a tenth.
var Default = Limits{Bytes: 2 << 40, Entries: 100_000, Ratio: 100, Free: 64 << 20}

const (
	maxName  = 1024 // bytes of a path
	maxDepth = 32   // folders in folders
	copySize = 1 << 20
)

// File is something that was unpacked.
type File struct {
	Path   string // with slashes
	Size   int64
	SHA256 string
	Exec   bool
	Link   string // the target of a symbolic link, relative; the rest is empty then
}

// Tar unpacks an archive, compressed by gzip or not, into a folder that is empty. Before bytes are written it asks room for them,
// if that is not nil. When it fails, what it has written is for the caller to remove. Faults: Invalid for an archive that is refused, TooLarge
// over a bound, Unavailable of fault.CodeStorage when the disk is full; errors of room as they are.
func Tar(ctx context.Context, r io.Reader, into *os.Root, limits Limits, room func(n int64) error) ([]File, error) {
	u := &unpacker{in: &counter{r: r, ctx: ctx}, into: into, limits: limits.orDefault(), room: room, seen: map[string]fs.FileMode{".": fs.ModeDir}}
	err := u.archive()
	if err == nil {
		err = u.checkLinks()
	}
	if err != nil {
		return nil, u.classify(ctx, err)
	}
	return u.files, nil
}

func (l Limits) orDefault() Limits {
	set := func(v *int64, def int64) {
		if *v == 0 {
			*v = def
		}
	}
	if l.Entries == 0 {
		l.Entries = Default.Entries
	}
	set(&l.Bytes, Default.Bytes)
	set(&l.Ratio, Default.Ratio)
	set(&l.Free, Default.Free)
	return l
}

// counter counts what is read, and ends with its context.
type counter struct {
	r   io.Reader
	ctx context.Context //nolint:containedctx // of one call of Tar
	n   int64
	err error // of the reader, other than its end
}

func (c *counter) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

type unpacker struct {
	in      *counter
	into    *os.Root
	limits  Limits
	room    func(int64) error
	seen    map[string]fs.FileMode // types of what is there
	entries int
	out     int64 // bytes that have come out of the compression
	written int64
	files   []File
	failed  error // of writing, or of room
}

// refusal is an archive that is refused, in words for who made it.
type refusal string

func (r refusal) Error() string { return string(r) }

// tooLarge is an archive over a bound.
type tooLarge string

func (r tooLarge) Error() string { return string(r) }

func (u *unpacker) classify(ctx context.Context, err error) error {
	var refused refusal
	var large tooLarge
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case u.failed != nil:
		return artifact.DiskError(u.failed)
	case u.in.err != nil:
		return u.in.err
	case errors.As(err, &large):
		return fault.Wrap(fault.TooLarge, err, "The archive is refused: "+large.Error()+".")
	case errors.As(err, &refused):
		return fault.Wrap(fault.Invalid, err, "The archive is refused: "+refused.Error()+".")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fault.Wrap(fault.Invalid, err, "The archive is cut off.")
	default:
		return fault.Wrap(fault.Invalid, err, "The archive is damaged, or is no tar file.")
	}
}

// inflated is what comes out of the compression; reading it holds the ratio.
type inflated struct {
	*unpacker
	r io.Reader
}

// Read implements io.Reader.
func (i *inflated) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	i.out += int64(n)
	if i.out > i.limits.Free && i.out/i.limits.Ratio > i.in.n {
		return n, tooLarge(fmt.Sprintf("it grows to more than %d times its size", i.limits.Ratio))
	}
	return n, err
}

func (u *unpacker) archive() error {
	in := bufio.NewReaderSize(u.in, 64<<10)
	var plain io.Reader = in
	if magic, err := in.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		plain = z
	}
	plain = &inflated{u, plain}
	t := tar.NewReader(plain)
	buffer := make([]byte, copySize)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := u.entry(h, t, buffer); err != nil {
			return err
		}
	}
	if u.entries == 0 {
		return refusal("there is nothing in it")
	}
	return drain(plain, buffer)
}

// drain reads what stands behind the end of the archive, zeros as a rule, so that the checksum of the compression is held against
// it. It is bounded by the ratio, and by the size of what is read.
func drain(r io.Reader, buffer []byte) error {
	for {
		n, err := r.Read(buffer)
		if len(bytes.Trim(buffer[:n], "\x00")) > 0 {
			return refusal("there is something behind its end")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (u *unpacker) entry(h *tar.Header, r io.Reader, buffer []byte) error {
	if h.Typeflag == tar.TypeXGlobalHeader { // comments, such as the commit that git archive writes
		return nil
	}
	if u.entries++; u.entries > u.limits.Entries {
		return tooLarge(fmt.Sprintf("it has more than %d entries", u.limits.Entries))
	}
	name := path.Clean(strings.TrimSuffix(h.Name, "/"))
	switch {
	case name == "." && h.Typeflag == tar.TypeDir:
		return nil
	case !local(h.Name):
		return refusal(fmt.Sprintf("the name %.128q leads out of it", h.Name))
	case len(name) > maxName || strings.Count(name, "/") > maxDepth:
		return refusal(fmt.Sprintf("the name %.128q… is too long or too deep", name))
	}
	if _, ok := u.seen[name]; ok && (h.Typeflag != tar.TypeDir || u.seen[name] != fs.ModeDir) {
		return refusal(fmt.Sprintf("%.128q occurs twice", name))
	}
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.folder(name)
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(name, h, r, buffer)
	case tar.TypeSymlink:
		return u.symlink(name, h.Linkname)
	case tar.TypeLink:
		return u.hardLink(name, h.Linkname)
	default:
		return refusal(fmt.Sprintf("%.128q is neither a file, a folder nor a link", name))
	}
}

// local reports whether a name, as it stands in the archive, stays below the folder.
func local(name string) bool {
	if name == "" || strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\x00\\") || !filepath.IsLocal(name) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." { // a/../b stays inside by its letters alone: a could be a link
			return false
		}
	}
	return path.Clean(name) != "."
}

// folder makes a folder and those above it. Each must be a true folder: below a link other rules would hold.
func (u *unpacker) folder(name string) error {
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		at := name[:i]
		switch mode, ok := u.seen[at]; {
		case ok && mode == fs.ModeDir:
		case ok:
			return refusal(fmt.Sprintf("something lies below %.128q, which is no folder", at))
		default:
			if u.entries++; u.entries > u.limits.Entries {
				return tooLarge(fmt.Sprintf("it has more than %d entries", u.limits.Entries))
			}
			if err := u.into.Mkdir(filepath.FromSlash(at), 0o700); err != nil {
				return u.fail(err)
			}
			u.seen[at] = fs.ModeDir
		}
	}
	return nil
}

func (u *unpacker) fail(err error) error {
	u.failed = err
	return err
}

func (u *unpacker) file(name string, h *tar.Header, r io.Reader, buffer []byte) (err error) {
	if h.Size > u.limits.Bytes-u.written {
		return tooLarge(fmt.Sprintf("it has more than %d bytes", u.limits.Bytes))
	}
	mode := fs.FileMode(0o600)
	if h.FileInfo().Mode()&0o111 != 0 {
		mode = 0o700
	}
	f, err := u.into.OpenFile(filepath.FromSlash(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return u.fail(err)
	}
	defer func() {
		if cerr := f.Close(); cerr != nil && err == nil {
			err = u.fail(cerr)
		}
	}()
	sum := sha256.New()
	size, err := u.contents(io.MultiWriter(f, sum), r, buffer)
	if err != nil {
		return err
	}
	u.seen[name] = 0
	u.files = append(u.files, File{Path: name, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil)), Exec: mode == 0o700})
	return nil
}

// contents writes the bytes of a file, and counts them.
func (u *unpacker) contents(w io.Writer, r io.Reader, buffer []byte) (size int64, err error) {
	for {
		n, rerr := r.Read(buffer)
		if n > 0 && u.room != nil {
			if err := u.room(int64(n)); err != nil {
				return size, u.fail(err)
			}
		}
		if _, err := w.Write(buffer[:n]); err != nil {
			return size, u.fail(err)
		}
		size += int64(n)
		u.written += int64(n)
		if errors.Is(rerr, io.EOF) {
			return size, nil
		}
		if rerr != nil {
			return size, rerr
		}
	}
}

// symlink makes a link that stays inside. Its target leads up at its beginning only, by no more than the link lies deep: as
// everything above the link is a true folder, and every other link holds the same rule, wherever it leads is inside.
func (u *unpacker) symlink(name, target string) error {
	depth, down := strings.Count(name, "/"), false
	if target == "" || strings.HasPrefix(target, "/") || strings.ContainsAny(target, "\x00\\") || len(target) > maxName {
		return refusal(fmt.Sprintf("the link %.128q leads out of it", name))
	}
	for part := range strings.SplitSeq(target, "/") {
		switch {
		case part == "..":
			if depth--; depth < 0 || down {
				return refusal(fmt.Sprintf("the link %.128q leads out of it", name))
			}
		case part != "" && part != ".":
			down = true
		}
	}
	if err := u.into.Symlink(target, filepath.FromSlash(name)); err != nil {
		return u.fail(err)
	}
	u.seen[name] = fs.ModeSymlink
	u.files = append(u.files, File{Path: name, Link: target})
	return nil
}

// hardLink makes a second name of a file that was unpacked before.
func (u *unpacker) hardLink(name, target string) error {
	target = path.Clean(target)
	for i := range u.files {
		if f := u.files[i]; f.Path == target && f.Link == "" {
			if err := u.into.Link(filepath.FromSlash(target), filepath.FromSlash(name)); err != nil {
				return u.fail(err)
			}
			f.Path = name
			u.seen[name] = 0
			u.files = append(u.files, f)
			return nil
		}
	}
	return refusal(fmt.Sprintf("the link %.128q is to no file before it", name))
}

// checkLinks follows every link once more with the system's eyes, which would find what the rule overlooks.
func (u *unpacker) checkLinks() error {
	for i := range u.files {
		f := &u.files[i]
		if f.Link == "" {
			continue
		}
		if _, err := u.into.Stat(filepath.FromSlash(f.Path)); err != nil {
			return refusal(fmt.Sprintf("the link %.128q leads to nothing inside it", f.Path))
		}
	}
	return nil
}
