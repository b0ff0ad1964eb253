package invocationlog

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// record is a line of the log. Source: Bedrock user guide, "Monitor model invocation", and the schema
// ModelInvocationLog 1.0 of published records.
type record struct {
	SchemaType    string            `json:"schemaType"`
	SchemaVersion string            `json:"schemaVersion"`
	Timestamp     string            `json:"timestamp"`
	AccountID     string            `json:"accountId"`
	Identity      identity          `json:"identity"`
	Region        string            `json:"region"`
	RequestID     string            `json:"requestId"`
	Operation     string            `json:"operation"`
	ModelID       string            `json:"modelId"`
	ErrorCode     string            `json:"errorCode,omitzero"`
	Metadata      map[string]string `json:"requestMetadata,omitempty"`
	Input         input             `json:"input"`
	Output        *output           `json:"output,omitempty"`
}

type identity struct {
	ARN string `json:"arn"`
}

type input struct {
	ContentType string         `json:"inputContentType"`
	Body        jsontext.Value `json:"inputBodyJson,omitempty"`
	Path        string         `json:"inputBodyS3Path,omitzero"`
	Tokens      int64          `json:"inputTokenCount,omitzero"`
	CacheRead   int64          `json:"cacheReadInputTokenCount,omitzero"`
	CacheWrite  int64          `json:"cacheWriteInputTokenCount,omitzero"`
}

type output struct {
	ContentType string         `json:"outputContentType"`
	Body        jsontext.Value `json:"outputBodyJson,omitempty"`
	Path        string         `json:"outputBodyS3Path,omitzero"`
	Tokens      int64          `json:"outputTokenCount,omitzero"`
}

// inline is the longest body that stands in its record.
const inline = 100 << 10

const contentType = "application/json"

// End is what is known of a call when it has ended.
type End struct {
	Account, ARN, RequestID, Operation, Model string
	Began                                     time.Time
	Metadata                                  map[string]string
	Error                                     string // the name of its error, "" for none
	Embeds                                    bool   // the model makes embeddings
}

// record returns the line of a call, but for its bodies.
func (e *End) record(region string) record {
	return record{
		SchemaType: "ModelInvocationLog", SchemaVersion: "1.0", Timestamp: e.Began.UTC().Format("2006-01-02T15:04:05Z"),
		AccountID: e.Account, Identity: identity{e.ARN}, Region: region, RequestID: e.RequestID, Operation: e.Operation, ModelID: e.Model,
		ErrorCode: e.Error, Metadata: e.Metadata, Input: input{ContentType: contentType},
	}
}
