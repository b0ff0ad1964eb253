// Package codec writes and reads a binary format by one description of it: the same calls on a Codec append the
// values to bytes, or fill them from bytes, so that writer and reader cannot drift apart.
//
// Every value has exactly one encoding, and a reader refuses all others: equal values are equal bytes. Unsigned integers are
// little-endian base 128 (as in protocol buffers), signed ones zigzag first, booleans 0 or 1, text its length and its bytes.
// A reader never panics and never allocates more than the bytes it is given can stand for.
package codec

import (
	"errors"
	"fmt"
)

// Codec is in the middle of writing or reading. The first error sticks; after it a reader fills in zeros. Not safe for concurrent use.
type Codec struct {
	buf     []byte
	reading bool
	err     error
}

// Writer returns a Codec that appends to buf.
func Writer(buf []byte) *Codec { return &Codec{buf: buf} }

// Rewrite makes c a writer that appends to buf, without a new allocation.
func (c *Codec) Rewrite(buf []byte) { *c = Codec{buf: buf} }

// Reader returns a Codec that reads b, which must not change meanwhile.
func Reader(b []byte) *Codec { return &Codec{buf: b, reading: true} }

// Reading says whether values are filled in rather than written.
func (c *Codec) Reading() bool { return c.reading }

// Bytes returns what has been written, or what is left to read.
func (c *Codec) Bytes() []byte { return c.buf }

// Err returns the first error.
func (c *Codec) Err() error { return c.err }

// Fail records that what was read is not valid.
func (c *Codec) Fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
	if c.reading {
		c.buf = nil
	}
}

// Done returns the first error; that bytes are left over is one.
func (c *Codec) Done() error {
	if c.err == nil && c.reading && len(c.buf) > 0 {
		c.err = fmt.Errorf("%d bytes too many", len(c.buf))
	}
	return c.err
}

var (
	errShort     = errors.New("the bytes end early")
	errCanonical = errors.New("a number is not in its shortest form, or out of its range")
)

func (c *Codec) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.buf = nil
}

// Uint writes or reads an unsigned integer of any size.
func Uint[T ~uint8 | ~uint16 | ~uint32 | ~uint64](c *Codec, x *T) {
	if !c.reading {
		c.put(uint64(*x))
		return
	}
	v := c.get()
	*x = T(v)
	if uint64(*x) != v {
		*x = 0
		c.fail(errCanonical)
	}
}

// Int writes or reads a signed integer of any size.
func Int[T ~int8 | ~int16 | ~int32 | ~int64](c *Codec, x *T) {
	if !c.reading {
		v := int64(*x)
		c.put(uint64(v)<<1 ^ uint64(v>>63))
		return
	}
	u := c.get()
	v := int64(u>>1) ^ -int64(u&1)
	*x = T(v)
	if int64(*x) != v {
		*x = 0
		c.fail(errCanonical)
	}
}

// Bool writes or reads a boolean.
func (c *Codec) Bool(x *bool) {
	var v uint8
	if *x {
		v = 1
	}
	Uint(c, &v)
	if v > 1 {
		c.fail(errCanonical)
	}
	*x = v == 1
}

// Len writes n and returns it, or reads the number of items that follow, each of which takes at least one byte.
func (c *Codec) Len(n int) int {
	v := uint64(n)
	Uint(c, &v)
	if c.reading && v > uint64(len(c.buf)) {
		c.fail(errShort)
		return 0
	}
	return int(v)
}

// Text writes or reads a string.
func (c *Codec) Text(s *string) {
	n := c.Len(len(*s))
	if !c.reading {
		c.buf = append(c.buf, *s...)
		return
	}
	*s = string(c.buf[:n])
	c.buf = c.buf[n:]
}

// Raw writes b, or reads as many bytes as b has into it.
func (c *Codec) Raw(b []byte) {
	if !c.reading {
		c.buf = append(c.buf, b...)
		return
	}
	if len(b) > len(c.buf) {
		clear(b)
		c.fail(errShort)
		return
	}
	c.buf = c.buf[copy(b, c.buf):]
}

func (c *Codec) put(v uint64) {
	for v >= 0x80 {
		c.buf = append(c.buf, byte(v)|0x80)
		v >>= 7
	}
	c.buf = append(c.buf, byte(v))
}

func (c *Codec) get() uint64 {
	var v uint64
	for i, b := range c.buf {
		if i == 9 && b > 1 || i > 0 && b == 0 {
			c.fail(errCanonical)
			return 0
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			c.buf = c.buf[i+1:]
			return v
		}
	}
	c.fail(errShort)
	return 0
}
