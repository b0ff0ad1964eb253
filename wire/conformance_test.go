package wire_test

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"forebay/internal/testenv"
	"forebay/wire"
	"forebay/wire/awsjson"
	"forebay/wire/model"
	"forebay/wire/restjson"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// suite is a file's unit: some shapes, and cases that use them.
type suite struct {
	Metadata model.Metadata         `json:"metadata"`
	Shapes   map[string]model.Shape `json:"shapes"`
	Cases    []protocolCase         `json:"cases"`
}

// protocolCase is either direction: params and the request that carries them, or a response
// and the result or error that it carries.
type protocolCase struct {
	ID         string          `json:"id"`
	Given      model.Operation `json:"given"`
	Params     jsontext.Value  `json:"params"`
	Serialized struct {
		Method  string            `json:"method"`
		URI     string            `json:"uri"`
		Headers map[string]string `json:"headers"`
		Body    *string           `json:"body"`
	} `json:"serialized"`
	Result       jsontext.Value `json:"result"`
	ErrorCode    string         `json:"errorCode"`
	ErrorMessage string         `json:"errorMessage"`
	Error        jsontext.Value `json:"error"`
	Response     struct {
		Status  int               `json:"status_code"`
		Headers map[string]string `json:"headers"`
		Body    *string           `json:"body"` // absent: it is not said what it must be
	} `json:"response"`
}

func (c *protocolCase) body() []byte {
	if c.Response.Body == nil {
		return nil
	}
	return []byte(*c.Response.Body)
}

// Cases that do not apply to a server, with the reason.
var notOurs = map[string]string{
	"SDKAppliedContentEncoding_restJson1":                     compression,
	"SDKAppendedGzipAfterProvidedEncoding_restJson1":          compression,
	"SDKAppliedContentEncoding_awsJson1_0":                    compression,
	"SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_0": compression,
	"SDKAppliedContentEncoding_awsJson1_1":                    compression,
	"SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_1": compression,
}

const compression = "the case has no body to decode: it is about a client that compresses requests, for operations that ask for it"

// What a client sends is less, or more, than its caller's params, so that other ones arrive.
var arrives = map[string]string{
	"RestJsonHttpPrefixHeadersAreNotPresent": `{"foo":"Foo"}`, // an empty map makes no header
	"RestJsonOmitsEmptyListQueryValues":      `{}`,            // nor does an empty list make a parameter
	"RestJsonQueryIdempotencyTokenAutoFill":  `{"token":"00000000-0000-4000-8000-000000000000"}`,
	"RestJsonQueryPrecedence":                `{"foo":"named","baz":{"bar":"named","qux":"alsoFromMap"}}`, // the map has all that is in the query
	"RestJsonQueryParamsStringListMap":       `{"qux":"named","foo":{"corge":["named"],"baz":["bar","qux"]}}`,
	"RestJsonHttpWithEmptyStructurePayload":  `{"payloadConfig":{}}`,
	"RestJsonHttpWithHeadersButNoPayload":    `{"testId":"t-12345","payloadConfig":{}}`,
}

// Responses that only a client must cope with; this server writes the same result in another form.
var tolerated = map[string]string{
	"AwsJson11DateTimeWithNegativeOffset": offset, "AwsJson11DateTimeWithPositiveOffset": offset,
	"RestJsonDateTimeWithNegativeOffset": offset, "RestJsonDateTimeWithPositiveOffset": offset,
	"handles_unexpected_json_output": unmodelled, "AwsJson10HandlesUnexpectedJsonOutput": unmodelled,
	"AwsJson11DeserializeIgnoreType": unmodelled, "AwsJson10DeserializeIgnoreType": unmodelled, "RestJsonDeserializeIgnoreType": unmodelled,
	"AwsJson11StructuresDontDeserializeNullValues": nulls, "AwsJson10DeserializeAllowNulls": nulls,
	"RestJsonDeserializesDenseSetMapAndSkipsNull": nulls, "RestJsonDoesntDeserializeNullStructureValues": nulls,
	"json_1_1_service_responds_with_no_payload": empty, "AwsJson10ServiceRespondsWithNoPayload": empty,
	"RestJsonEmptyInputAndEmptyOutputJsonObjectOutput": empty, "RestJsonGreetingWithErrorsNoPayload": empty,
	"RestJsonHttpResponseCodeWithNoPayload": empty, "RestJsonIgnoreQueryParamsInResponseNoPayload": empty, "RestJsonNoInputAndOutputNoPayload": empty,
}

const (
	offset     = "timestamps are written in UTC"
	unmodelled = "members that the model does not have are read over, and never written"
	nulls      = "absent members are left out"
	empty      = "an output without members is an empty object, not an empty body"
)

func suites(t *testing.T, direction string, total int, run func(t *testing.T, s *suite, c *protocolCase)) {
	files, err := filepath.Glob(filepath.Join(testenv.Shared(t, "conformance/protocols"), direction, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var all []suite
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		for i := range all {
			for j := range all[i].Cases {
				c := &all[i].Cases[j]
				n++
				t.Run(strings.TrimSuffix(filepath.Base(file), ".json")+"/"+c.ID, func(t *testing.T) {
					if why := notOurs[c.ID]; why != "" {
						t.Skip("does not apply: " + why)
					}
					run(t, &all[i], c)
				})
			}
		}
	}
	if n != total {
		t.Errorf("%d cases, docs/conformance.md says %d", n, total)
	}
}

func (s *suite) service(t *testing.T, c *protocolCase) (*wire.Service, *wire.Operation, wire.Protocol) {
	t.Helper()
	f := &model.File{Metadata: s.Metadata, Shapes: s.Shapes, Operations: model.Ordered[model.Operation]{{Name: c.Given.Name, Value: c.Given}}}
	svc, err := f.Service("case", func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	var p wire.Protocol = restjson.Protocol{}
	if s.Metadata.Protocol == "json" {
		p = awsjson.Protocol{}
	}
	return svc, svc.Operations[0], p
}

func header(h map[string]string) http.Header {
	out := http.Header{}
	for k, v := range h {
		out.Set(k, v)
	}
	return out
}

// TestInputCases: what a client sends for some params decodes to these params.
func TestInputCases(t *testing.T) {
	suites(t, "input", 189, func(t *testing.T, s *suite, c *protocolCase) {
		svc, op, p := s.service(t, c)
		r := &wire.Request{Method: c.Serialized.Method, Header: header(c.Serialized.Headers)}
		r.Path, r.Query, _ = strings.Cut(c.Serialized.URI, "?")
		if c.Serialized.Body != nil {
			r.Body = []byte(*c.Serialized.Body)
		}
		if r.Method == "" {
			r.Method = http.MethodPost
		}
		if strings.HasSuffix(c.ID, "HostWithPath") { // the path of the endpoint is not the service's
			r.Path = strings.TrimPrefix(r.Path, "/custom")
		}
		if _, says := r.Header[awsjson.TargetHeader]; says || s.Metadata.Protocol == "rest-json" { // some cases leave it out
			found, err := p.Route(svc, r)
			if err != nil || found != op {
				t.Fatalf("%s %s finds %v: %v", r.Method, r.Path, found, err)
			}
		}
		var got any
		if err := p.Decode(op, r, wire.Into(&got)); err != nil {
			t.Fatal(err)
		}
		params := c.Params
		if other := arrives[c.ID]; other != "" {
			params = jsontext.Value(other)
		}
		if op.Input == nil {
			return
		}
		equal(t, op.Input, got, natural(t, op.Input, params))
	})
}

// read decodes a response as a client would: with the codec, a response being a request
// without a path.
func read(t *testing.T, p wire.Protocol, s *wire.Shape, status int, h http.Header, body []byte) any {
	t.Helper()
	if s == nil {
		return nil
	}
	var got any
	if err := p.Decode(&wire.Operation{Input: s}, &wire.Request{Header: h, Body: body}, wire.Into(&got)); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for i := range s.Members {
		if m := &s.Members[i]; m.Location == wire.InStatus {
			got.(map[string]any)[m.Name] = int64(status)
		}
	}
	return got
}

// TestOutputCases: a response decodes to its result; the result, encoded, decodes to itself;
// and but for what only clients must cope with, it is encoded as that response.
func TestOutputCases(t *testing.T) {
	suites(t, "output", 183, func(t *testing.T, s *suite, c *protocolCase) {
		if c.ErrorCode != "" {
			errorCase(t, s, c)
			return
		}
		svc, op, p := s.service(t, c)
		got := read(t, p, op.Output, c.Response.Status, header(c.Response.Headers), c.body())
		var want any
		if op.Output != nil {
			want = natural(t, op.Output, c.Result)
			equal(t, op.Output, got, want)
		}
		r, err := p.Encode(svc, op, "id", wire.From(want))
		if err != nil {
			t.Fatal(err)
		}
		if op.Output != nil {
			h := r.Header.Clone()
			if c.ID == "HttpPrefixHeadersResponse" { // its map takes every header, ours included
				h.Del("Content-Type")
			}
			equal(t, op.Output, read(t, p, op.Output, r.Status, h, r.Body), want)
		}
		switch differs := difference(c, r); {
		case tolerated[c.ID] == "" && differs != "":
			t.Error(differs)
		case tolerated[c.ID] != "" && differs == "":
			t.Error("is encoded as the case says: take it off the list")
		}
	})
}

// difference compares a response with the case's: status, headers and body.
func difference(c *protocolCase, r *wire.Response) string {
	if r.Status != c.Response.Status {
		return fmt.Sprintf("status %d, want %d", r.Status, c.Response.Status)
	}
	for k, v := range c.Response.Headers {
		switch http.CanonicalHeaderKey(k) {
		case "X-Amzn-Requestid", "Content-Length": // the front door and net/http write them
			continue
		case "X-Amz-Target": // of the request
			continue
		}
		if got := r.Header.Get(k); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(v, " ", "") {
			return fmt.Sprintf("header %s: %q, want %q", k, got, v)
		}
	}
	if got, want := canonical(r.Body), canonical(c.body()); got != want && c.Response.Body != nil {
		return fmt.Sprintf("body\n%s\nwant\n%s", got, want)
	}
	return ""
}

// errorCase: the error's name and members are found in the response, and in what we write for them.
func errorCase(t *testing.T, s *suite, c *protocolCase) {
	svc, op, p := s.service(t, c)
	shape := op.Errors[0]
	want := natural(t, shape, c.Error)
	check := func(status int, h http.Header, body []byte) {
		t.Helper()
		var o map[string]any
		if err := json.Unmarshal(body, &o); err != nil && len(body) > 0 {
			t.Fatal(err)
		}
		code := h.Get("X-Amzn-Errortype")
		for _, k := range []string{"code", "__type"} {
			if v, ok := o[k].(string); ok && code == "" {
				code = v
			}
		}
		if code = wire.ErrorName(code); code != shape.Name {
			t.Errorf("error %q, want %q", code, shape.Name)
		}
		if old, _, _ := strings.Cut(h.Get("x-amzn-query-error"), ";"); c.ErrorCode != shape.Name && old != c.ErrorCode {
			t.Errorf("query error %q, want %q", old, c.ErrorCode)
		}
		equal(t, shape, read(t, p, shape, status, h, body), want)
	}
	check(c.Response.Status, header(c.Response.Headers), c.body())

	f := &wire.Failure{Name: shape.Name, Status: c.Response.Status, Message: c.ErrorMessage, Shape: shape, Fields: map[string]any{}}
	for k, v := range want.(map[string]any) {
		if !strings.EqualFold(k, "message") {
			f.Fields[k] = v
		}
	}
	r := p.Fail(svc, f)
	check(r.Status, r.Header, r.Body)
}

// natural turns a case's JSON into the values that the codec has for a shape. The cases write
// blobs as texts, and timestamps as seconds.
func natural(t *testing.T, s *wire.Shape, text jsontext.Value) any {
	t.Helper()
	into := func(v any) {
		if err := json.Unmarshal(text, v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	switch s.Type {
	case wire.Structure, wire.Union:
		var o map[string]jsontext.Value
		into(&o)
		out := map[string]any{}
		for i := range s.Members {
			m := &s.Members[i]
			switch v, ok := o[m.Name]; {
			case !ok || v.Kind() == 'n':
			case m.JSONValue || m.Shape.JSONValue:
				var text string
				_ = json.Unmarshal(v, &text)
				out[m.Name] = jsontext.Value(text)
			default:
				out[m.Name] = natural(t, m.Shape, v)
			}
		}
		return out
	case wire.List:
		var list []jsontext.Value
		into(&list)
		out := []any{}
		for _, v := range list {
			out = append(out, natural(t, s.Elem, v))
		}
		return out
	case wire.Map:
		var o map[string]jsontext.Value
		into(&o)
		out := map[string]any{}
		for k, v := range o {
			out[k] = natural(t, s.Elem, v)
		}
		return out
	case wire.Document:
		return text
	case wire.Integer, wire.Long:
		var v int64
		into(&v)
		return v
	}
	var v any
	into(&v)
	switch x := v.(type) {
	case string:
		switch s.Type {
		case wire.Blob:
			return []byte(x)
		case wire.Float, wire.Double:
			return map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}[x]
		}
	case float64:
		if s.Type == wire.Timestamp {
			return time.UnixMicro(int64(math.Round(x * 1e6))).UTC()
		}
	}
	return v
}

// equal compares two values of a shape.
func equal(t *testing.T, s *wire.Shape, got, want any) {
	t.Helper()
	if g, w := plain(got), plain(want); !reflect.DeepEqual(g, w) {
		t.Errorf("%s\n got %v\nwant %v", s.Name, g, w)
	}
}

// plain makes values comparable: NaN equals itself, times and JSON texts are compared by what they mean.
func plain(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, y := range x {
			out[k] = plain(y)
		}
		return out
	case []any:
		out := []any{}
		for _, y := range x {
			out = append(out, plain(y))
		}
		return out
	case time.Time:
		return x.Format(time.RFC3339Nano)
	case jsontext.Value:
		return "json " + canonical(x)
	case []byte:
		return fmt.Sprintf("%q", x)
	case float64:
		return fmt.Sprint(x)
	default:
		return v
	}
}

func canonical(text []byte) string {
	v := jsontext.Value(bytes.Clone(text))
	if err := v.Canonicalize(); err != nil {
		return string(text)
	}
	return string(v)
}
