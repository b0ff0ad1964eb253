package dialect

import (
	"bytes"
	"encoding/base64"
	"strings"

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

// Tokens of an image by OpenAI's rule for tiles (OpenAI API guide, "Images and vision"):
// scaled into 2048 x 2048, then to a short edge of 768, 170 for each tile of 512 x 512 and
// 85 for the whole; 85 alone in low detail.
const (
	tileBase  = 85
	tileCost  = 170
	tileEdge  = 512
	tileBox   = 2048
	tileShort = 768
)

// documentTokens stands in for a document, video or audio clip, of which only the bytes are
// known: two pages at the lower end of the 1,500 to 3,000 tokens per page of Anthropic's
// documentation of PDF support.
const documentTokens = 3000

// imageTokens returns the tokens to expect for an image in base64, a data URL, or behind
// another URL.
func imageTokens(raw []byte) int64 {
	w, h := imageSize(raw)
	if w == 0 || h == 0 {
		return unknownImage
	}
	if long := max(w, h); long > maxEdge {
		w, h = w*maxEdge/long, h*maxEdge/long
	}
	return max(1, min((w*h+pixelsPerToken-1)/pixelsPerToken, unknownImage))
}

// tileTokens is imageTokens by OpenAI's rule. A size that cannot be read counts as
// 1024 x 1024, which is four tiles.
func tileTokens(raw []byte) int64 {
	w, h := imageSize(raw)
	if w == 0 || h == 0 {
		w, h = 1024, 1024
	}
	if long := max(w, h); long > tileBox {
		w, h = max(1, w*tileBox/long), max(1, h*tileBox/long)
	}
	if short := min(w, h); short > tileShort {
		w, h = w*tileShort/short, h*tileShort/short
	}
	tiles := ((w + tileEdge - 1) / tileEdge) * ((h + tileEdge - 1) / tileEdge)
	return tileBase + tileCost*tiles
}

// base64Bytes reads single bytes out of base64 text, so that an image's header can be
// followed without decoding the image.
type base64Bytes []byte

func (b base64Bytes) at(i int) int64 {
	group := i / 3 * 4
	if i < 0 || group+4 > len(b) {
		return -1
	}
	var out [3]byte
	if n, err := base64.StdEncoding.Decode(out[:], b[group:group+4]); err != nil || i%3 >= n {
		return -1
	}
	return int64(out[i%3])
}

// big and little read an integer of n bytes; negative beyond the end.
func (b base64Bytes) big(i, n int) int64 {
	v := int64(0)
	for k := range n {
		x := b.at(i + k)
		if x < 0 {
			return -1
		}
		v = v<<8 | x
	}
	return v
}

func (b base64Bytes) little(i, n int) int64 {
	v := int64(0)
	for k := n - 1; k >= 0; k-- {
		x := b.at(i + k)
		if x < 0 {
			return -1
		}
		v = v<<8 | x
	}
	return v
}

// maxSide bounds what is believed of a header.
const maxSide = 1 << 16

// imageSize reads width and height from the header of a PNG, GIF, WebP or JPEG in base64;
// zero when they cannot be told.
func imageSize(raw []byte) (w, h int64) {
	if bytes.HasPrefix(raw, []byte("data:")) {
		i := bytes.IndexByte(raw[:min(len(raw), 128)], ',')
		if i < 0 {
			return 0, 0
		}
		raw = raw[i+1:]
	}
	b := base64Bytes(raw)
	switch {
	case b.big(0, 4) == 0x89504e47: // PNG: IHDR comes first
		w, h = b.big(16, 4), b.big(20, 4)
	case b.big(0, 4) == 0x47494638: // GIF8
		w, h = b.little(6, 2), b.little(8, 2)
	case b.big(0, 4) == 0x52494646 && b.big(8, 4) == 0x57454250: // RIFF, WEBP
		w, h = webpSize(b)
	case b.big(0, 2) == 0xffd8:
		w, h = jpegSize(b)
	}
	if w <= 0 || h <= 0 || w > maxSide || h > maxSide {
		return 0, 0
	}
	return w, h
}

// webpSize reads the three forms of WebP (RFC 9649): extended, lossless, lossy.
func webpSize(b base64Bytes) (w, h int64) {
	switch b.big(12, 4) {
	case 0x56503858: // VP8X
		return b.little(24, 3) + 1, b.little(27, 3) + 1
	case 0x5650384c: // VP8L: 14 bits each behind the signature byte
		v := b.little(21, 4)
		if v < 0 {
			return 0, 0
		}
		return v&0x3fff + 1, v>>14&0x3fff + 1
	case 0x56503820: // VP8: behind frame tag and start code
		if h = b.little(28, 2); h < 0 {
			return 0, 0
		}
		return b.little(26, 2) & 0x3fff, h & 0x3fff
	}
	return 0, 0
}

// maxSegments bounds how many segments of a JPEG are passed in search of its frame.
const maxSegments = 64

func jpegSize(b base64Bytes) (w, h int64) {
	at := 2
	for range maxSegments {
		if b.at(at) != 0xff {
			return 0, 0
		}
		marker, size := b.at(at+1), b.big(at+2, 2)
		if size < 2 {
			return 0, 0
		}
		if marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc {
			return b.big(at+7, 2), b.big(at+5, 2)
		}
		at += 2 + int(size)
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
		return infer.Media{}, badEnum(path+".media_type", "image/"+format, "image/jpeg", "image/png", "image/gif", "image/webp")
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return infer.Media{}, invalid(path, "invalid base64 data")
	}
	if err := checkImage(path, format, b); err != nil {
		return infer.Media{}, err
	}
	return infer.Media{Format: format, Data: b}, nil
}

var magics = map[string][]byte{
	"png": []byte("\x89PNG"), "jpeg": {0xff, 0xd8}, "gif": []byte("GIF8"), "webp": []byte("RIFF"),
}

// sniffMedia decodes an inline image whose format nobody says.
func sniffMedia(path, data string) (infer.Media, error) {
	if strings.HasPrefix(data, "data:") {
		return dataURL(path, data)
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return infer.Media{}, invalid(path, "invalid base64 data")
	}
	for format, magic := range magics {
		if bytes.HasPrefix(b, magic) {
			return infer.Media{Format: format, Data: b}, nil
		}
	}
	return infer.Media{}, invalid(path, "the image is none of PNG, JPEG, GIF and WebP")
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
