package bedrockruntime

import "encoding/base64"

func appendBase64(dst, src []byte) []byte { return base64.StdEncoding.AppendEncode(dst, src) }
