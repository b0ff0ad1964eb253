package dialect

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"forebay/fault"
	"forebay/infer"
)

// Tokens of an image. Source: Anthropic's documentation of vision: width x height / 750
// after scaling the long edge to at most 1568 pixels, so about 1,600 at the most, which
// is also what stands in where the size cannot be read.
const (
	pixelsPerToken = 750
	maxEdge        = 1568
	unknownImage   = 1600
)

// headerSample is how much of an image is decoded to find its size.
const headerSample = 4096

// mediaTokens returns the tokens to expect for an image in base64, a data URL, or behind another URL.
func mediaTokens(raw []byte) int64 {
	if bytes.HasPrefix(raw, []byte("data:")) {
		i := bytes.IndexByte(raw, ',')
		if i < 0 {
			return unknownImage
		}
		raw = raw[i+1:]
	}
	n := min(len(raw), headerSample) / 4 * 4
	head := make([]byte, base64.StdEncoding.DecodedLen(n))
	n, _ = base64.StdEncoding.Decode(head, raw[:n])
	w, h := imageSize(head[:n])
	if w == 0 || h == 0 {
		return unknownImage
	}
	if long := max(w, h); long > maxEdge {
		w, h = w*maxEdge/long, h*maxEdge/long
	}
	return max(1, min((w*h+pixelsPerToken-1)/pixelsPerToken, unknownImage))
}

// imageSize reads width and height from the first bytes of a PNG, GIF, WebP or JPEG; zero
// when they cannot be told.
func imageSize(b []byte) (w, h int64) {
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")) && len(b) >= 24:
		return int64(binary.BigEndian.Uint32(b[16:])), int64(binary.BigEndian.Uint32(b[20:]))
	case bytes.HasPrefix(b, []byte("GIF8")) && len(b) >= 10:
		return int64(binary.LittleEndian.Uint16(b[6:])), int64(binary.LittleEndian.Uint16(b[8:]))
	case len(b) >= 30 && string(b[:4]) == "RIFF" && string(b[8:16]) == "WEBPVP8X":
		u24 := func(p []byte) int64 { return int64(p[0]) | int64(p[1])<<8 | int64(p[2])<<16 }
		return u24(b[24:]) + 1, u24(b[27:]) + 1
	case bytes.HasPrefix(b, []byte{0xff, 0xd8}):
		return jpegSize(b)
	}
	return 0, 0
}

func jpegSize(b []byte) (w, h int64) {
	for i := 2; i+9 < len(b) && b[i] == 0xff; {
		marker, size := b[i+1], int(binary.BigEndian.Uint16(b[i+2:]))
		if marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc {
			return int64(binary.BigEndian.Uint16(b[i+7:])), int64(binary.BigEndian.Uint16(b[i+5:]))
		}
		i += 2 + size
	}
	return 0, 0
}

// imageFormats are the formats every family with vision takes.
var imageFormats = map[string]bool{"png": true, "jpeg": true, "gif": true, "webp": true}

// decodeMedia decodes an inline image and checks that it is what it says.
func decodeMedia(path, format, data string) (infer.Media, error) {
	format = strings.TrimPrefix(format, "image/")
	if format == "jpg" {
		format = "jpeg"
	}
	if !imageFormats[format] {
		return infer.Media{}, invalid(path, "image type %q is not one of image/jpeg, image/png, image/gif, image/webp", format)
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return infer.Media{}, invalid(path, "image is not valid base64")
	}
	if err := checkImage(path, format, b); err != nil {
		return infer.Media{}, err
	}
	return infer.Media{Format: format, Data: b}, nil
}

var magics = map[string][]byte{
	"png": []byte("\x89PNG"), "jpeg": {0xff, 0xd8}, "gif": []byte("GIF8"), "webp": []byte("RIFF"),
}

func checkImage(path, format string, b []byte) error {
	if m := magics[format]; m != nil && !bytes.HasPrefix(b, m) {
		return invalid(path, "Image does not match the provided media type image/%s", format)
	}
	return nil
}

// dataURL parses an inline data URL; other URLs stay references.
func dataURL(path, url string) (infer.Media, error) {
	rest, ok := strings.CutPrefix(url, "data:")
	if !ok {
		if !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
			return infer.Media{}, invalid(path, "URL must be a data: or https: URL")
		}
		return infer.Media{URI: url}, nil
	}
	kind, data, ok := strings.Cut(rest, ";base64,")
	if !ok {
		return infer.Media{}, invalid(path, "data URL is not in base64")
	}
	return decodeMedia(path, kind, data)
}

func encodeDataURL(m infer.Media) string {
	if m.URI != "" {
		return m.URI
	}
	return "data:image/" + m.Format + ";base64," + base64.StdEncoding.EncodeToString(m.Data)
}

func needInline(m infer.Media, d infer.Dialect) error {
	if m.Data == nil {
		return fault.New(fault.Invalid, "Images by reference are not supported with this model; send the bytes.").
			WithReason("the engine's dialect %s takes inline images only", d)
	}
	return nil
}
