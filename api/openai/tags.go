package openai

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of metadata (OpenAI API reference, "metadata").
const (
	maxTags     = 16
	maxTagName  = 64
	maxTagValue = 512
)

// tags reads the metadata that the caller attached, for the ledger. What is not as the API has it is
// left to the engine to judge, and is no tag.
func tags(body []byte) map[string]string {
	if !bytes.Contains(body, []byte(`"metadata"`)) {
		return nil
	}
	var in struct {
		Metadata map[string]string `json:"metadata"`
	}
	if err := json.Unmarshal(body, &in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil || len(in.Metadata) > maxTags {
		return nil
	}
	for k, v := range in.Metadata {
		if len(k) > maxTagName || len(v) > maxTagValue {
			return nil
		}
	}
	return in.Metadata
}
