package fetch

import (
	"context"
	"crypto/sha1" //nolint:gosec // git's name of a file, which is all that the hub says of small ones
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"forebay/fault"
)

// Sums are checksums of a file in hex, by their algorithm.
type Sums map[string]string

// Algorithms of checksums.
const (
	SumSHA256    = "sha256"
	SumGit       = "git-sha1"  // of "blob SIZE\x00" and the file: the name that git gives it
	SumCRC64NVME = "crc64nvme" // what S3 computes when it is told nothing
	SumCRC32     = "crc32"
	SumCRC32C    = "crc32c"
)

// nvme is the polynomial of CRC-64/NVME, reversed. Source: NVM Command Set Specification 1.0, section 5.2.1.3.4; its check
// value of "123456789" is AE8B14860A799888.
var nvme = crc64.MakeTable(0x9a6c9329ac4bc9b5)

func newSum(algorithm string, size int64) hash.Hash {
	switch algorithm {
	case SumSHA256:
		return sha256.New()
	case SumGit:
		h := sha1.New() //nolint:gosec // see above
		_, _ = fmt.Fprintf(h, "blob %d\x00", size)
		return h
	case SumCRC64NVME:
		return crc64.New(nvme)
	case SumCRC32:
		return crc32.NewIEEE()
	case SumCRC32C:
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	default:
		panic("fetch: a checksum by " + algorithm)
	}
}

// fromBase64 adds a checksum as S3 and HTTP write them. One that is of parts ("…-4") says nothing of the whole.
func (s Sums) fromBase64(algorithm, text string) {
	if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) == newSum(algorithm, 0).Size() {
		s[algorithm] = hex.EncodeToString(b)
	}
}

// verify reads a file and returns its SHA-256. It fails when a checksum is another.
func verify(ctx context.Context, path, name string, size int64, sums Sums) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the caller's own file
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	hashes := map[string]hash.Hash{SumSHA256: newSum(SumSHA256, size)}
	for algorithm := range sums {
		if algorithm != SumSHA256 {
			hashes[algorithm] = newSum(algorithm, size)
		}
	}
	to := make([]io.Writer, 0, len(hashes))
	for _, algorithm := range slices.Sorted(maps.Keys(hashes)) {
		to = append(to, hashes[algorithm])
	}
	n, err := io.CopyBuffer(io.MultiWriter(to...), &canceled{ctx, f}, make([]byte, 1<<20))
	if err != nil {
		return "", err
	}
	if n != size {
		return "", corrupt("%s has %d bytes, and not %d.", name, n, size)
	}
	for _, algorithm := range slices.Sorted(maps.Keys(sums)) {
		if got := hex.EncodeToString(hashes[algorithm].Sum(nil)); !strings.EqualFold(got, sums[algorithm]) {
			return "", corrupt("%s has the %s checksum %s, and not %s.", name, algorithm, got, sums[algorithm])
		}
	}
	return hex.EncodeToString(hashes[SumSHA256].Sum(nil)), nil
}

// Check returns the SHA-256 of what an earlier Download has brought, held against all that is known of the file.
func (f *File) Check(ctx context.Context, path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	size := f.Size
	if size < 0 {
		size = st.Size()
	}
	return verify(ctx, path, f.Path, size, f.Sums)
}

// Verify returns the SHA-256 of a file of this machine; want, if not "", must be it. Faults: Unavailable of CodeCorrupt.
func Verify(ctx context.Context, path, want string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	sums := Sums{}
	if want != "" {
		sums[SumSHA256] = want
	}
	return verify(ctx, path, path, st.Size(), sums)
}

// canceled is a reader that ends with its context.
type canceled struct {
	ctx context.Context //nolint:containedctx // of one reading
	r   io.Reader
}

// Read implements io.Reader.
func (c *canceled) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

func corrupt(format string, args ...any) error {
	return coded(fault.Unavailable, CodeCorrupt, nil, fmt.Sprintf(format, args...))
}
