package identity

import (
	"maps"
	"slices"
	"strings"
)

// CanonicalRequest returns the canonical form of the request for the claim.
func (c *Claim) CanonicalRequest(r *Request, payloadHash string) string {
	var b strings.Builder
	b.Grow(512 + len(r.Path) + len(r.Query))
	b.WriteString(r.Method)
	b.WriteByte('\n')
	if r.Path == "" {
		b.WriteByte('/')
	} else {
		writeEscaped(&b, r.Path, true)
	}
	b.WriteByte('\n')
	b.WriteString(canonicalQuery(r.Query, c.Presigned))
	b.WriteByte('\n')
	for _, name := range c.signed {
		b.WriteString(name)
		b.WriteByte(':')
		if name == "host" || name == authority {
			writeTrimmed(&b, r.Host)
		} else {
			for i, v := range values(r.Header, name) {
				if i > 0 {
					b.WriteByte(',')
				}
				writeTrimmed(&b, v)
			}
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	for i, name := range c.signed {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(name)
	}
	b.WriteByte('\n')
	b.WriteString(payloadHash)
	return b.String()
}

// canonicalQuery sorts the parameters by their encoded names, then values. The signature
// itself is never part of it.
func canonicalQuery(raw string, presigned bool) string {
	if raw == "" {
		return ""
	}
	type param struct{ key, value string }
	var params []param
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		k = unescape(k)
		if presigned && k == "X-Amz-Signature" {
			continue
		}
		params = append(params, param{escape(k), escape(unescape(v))})
	}
	slices.SortFunc(params, func(a, b param) int {
		if n := strings.Compare(a.key, b.key); n != 0 {
			return n
		}
		return strings.Compare(a.value, b.value)
	})
	var b strings.Builder
	for i, p := range params {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.key)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String()
}

const upperHex = "0123456789ABCDEF"

func unreserved(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// writeEscaped writes s with all but unreserved bytes percent-encoded. A path keeps its slashes.
func writeEscaped(b *strings.Builder, s string, path bool) {
	for i := range len(s) {
		c := s[i]
		if unreserved(c) || path && c == '/' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
}

func escape(s string) string {
	var b strings.Builder
	writeEscaped(&b, s, false)
	return b.String()
}

// unescape decodes percent escapes and plus signs of a query; a malformed escape stays as it is.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			out = append(out, ' ')
		case s[i] == '%' && i+2 < len(s) && hexDigit(s[i+1]) >= 0 && hexDigit(s[i+2]) >= 0:
			out = append(out, byte(hexDigit(s[i+1])<<4|hexDigit(s[i+2])))
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}

// writeTrimmed writes a header's value without surrounding space, runs of space made one.
func writeTrimmed(b *strings.Builder, v string) {
	v = strings.Trim(v, " \t")
	space := false
	for i := range len(v) {
		if v[i] == ' ' {
			space = true
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteByte(v[i])
	}
}

// values returns the values of a header by its lower-case name.
func values(h map[string][]string, lower string) []string {
	if v, ok := h[canonicalName(lower)]; ok {
		return v
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if strings.EqualFold(name, lower) {
			return h[name]
		}
	}
	return nil
}

// canonicalName is the form of net/textproto: upper case at the start and behind hyphens.
func canonicalName(lower string) string {
	b := []byte(lower)
	up := true
	for i, c := range b {
		if up && c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
		up = c == '-'
	}
	return string(b)
}

func one(h map[string][]string, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}
