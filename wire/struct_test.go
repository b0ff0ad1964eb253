package wire_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/wire"
	"forebay/wire/query"
	"forebay/wire/restjson"
	"forebay/wire/shapes/bedrock"
	"forebay/wire/shapes/bedrockruntime"
	"forebay/wire/shapes/sts"

	"github.com/go-json-experiment/json/jsontext"
)

// Generated structs take what a request says: members in the path, in headers and in the body, a blob, a union, and a
// structure that is kept as the text that it is.
func TestStructs(t *testing.T) {
	body := `{"input":{"converse":{ "messages":[{"role":"user","content":[{"text":"é"}]}], "newer":1 }}}`
	var count bedrockruntime.CountTokensRequest
	r := &wire.Request{Method: http.MethodPost, Path: "/model/a%2Fb/count-tokens", Body: []byte(body)}
	if err := (restjson.Protocol{}).Decode(bedrockruntime.CountTokens, r, wire.Into(&count)); err != nil {
		t.Fatal(err)
	}
	want := bedrockruntime.CountTokensRequest{ModelId: "a/b", Input: &bedrockruntime.CountTokensInput{
		Converse: jsontext.Value(`{ "messages":[{"role":"user","content":[{"text":"é"}]}], "newer":1 }`),
	}}
	if !reflect.DeepEqual(count, want) {
		t.Errorf("got %+v of %s, want %+v", count, count.Input.Converse, want)
	}

	count = bedrockruntime.CountTokensRequest{}
	r.Body = []byte(`{"input":{"invokeModel":{"body":"e30="}}}`)
	if err := (restjson.Protocol{}).Decode(bedrockruntime.CountTokens, r, wire.Into(&count)); err != nil || string(count.Input.InvokeModel.Body) != "{}" {
		t.Errorf("%v %+v", err, count.Input)
	}
	r.Body = []byte(`{"input":{"invokeModel":{"body":"e30"}}}`)
	err := restjson.Protocol{}.Decode(bedrockruntime.CountTokens, r, wire.Into(&count))
	if e := fault.From(err); e == nil || e.Kind != fault.Malformed || e.Message != "Invalid base64 value at 'input.invokeModel.body'" {
		t.Error(err)
	}

	var invoke bedrockruntime.InvokeModelRequest
	r = &wire.Request{
		Method: http.MethodPost, Path: "/model/m/invoke", Body: []byte("anything"),
		Header: http.Header{"X-Amzn-Bedrock-Service-Tier": {"flex"}, "Content-Type": {"application/json"}},
	}
	if err := (restjson.Protocol{}).Decode(bedrockruntime.InvokeModel, r, wire.Into(&invoke)); err != nil {
		t.Fatal(err)
	}
	if invoke.ModelId != "m" || string(invoke.Body) != "anything" || *invoke.ServiceTier != "flex" || *invoke.ContentType != "application/json" || invoke.Accept != nil {
		t.Errorf("%+v", invoke)
	}
}

// What is nil is left out, what is empty is not, and bedrock's timestamps are ISO 8601.
func TestStructsAreEncoded(t *testing.T) {
	no, start := false, time.Date(2024, 3, 7, 1, 2, 3, 0, time.UTC)
	out := &bedrock.ListFoundationModelsResponse{ModelSummaries: []bedrock.FoundationModelSummary{{
		ModelArn: "arn", ModelId: "id", ResponseStreamingSupported: &no, CustomizationsSupported: []string{},
		ModelLifecycle: &bedrock.FoundationModelLifecycle{Status: "ACTIVE", StartOfLifeTime: &start},
	}}}
	r, err := restjson.Protocol{}.Encode(bedrock.Service, bedrock.ListFoundationModels, "id", wire.From(out))
	const want = `{"modelSummaries":[{"modelArn":"arn","modelId":"id","responseStreamingSupported":false,"customizationsSupported":[],"modelLifecycle":{"status":"ACTIVE","startOfLifeTime":"2024-03-07T01:02:03Z"}}]}`
	if err != nil || string(r.Body) != want || r.Status != http.StatusOK || r.ContentType() != "application/json" {
		t.Errorf("%v %+v\n%s\n%s", err, r, r.Body, want)
	}
	if _, err := (restjson.Protocol{}).Encode(bedrock.Service, bedrock.ListFoundationModels, "id", wire.From(map[string]any{"modelSummaries": "many"})); err == nil {
		t.Error("a text was encoded as a list")
	}
	for _, v := range []any{"x", 1.5, true, nil, []any{}} { // in place of a timestamp
		_, err := wire.Marshal(nil, bedrock.GetFoundationModel.Output, wire.From(map[string]any{"modelDetails": map[string]any{"modelLifecycle": map[string]any{"startOfLifeTime": v}}}))
		if (err == nil) != (v == nil) {
			t.Errorf("%v as a timestamp: %v", v, err)
		}
	}
}

// A query service's answer and error, to the letter.
func TestQueryAnswers(t *testing.T) {
	arn := "arn:aws:iam::1:user/<&>"
	r, err := query.Protocol{}.Encode(sts.Service, sts.GetCallerIdentity, "r-1", wire.From(&sts.GetCallerIdentityResponse{Arn: &arn}))
	const want = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::1:user/&lt;&amp;&gt;</Arn></GetCallerIdentityResult>` +
		`<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`
	if err != nil || string(r.Body) != want {
		t.Errorf("%v\n%s\n%s", err, r.Body, want)
	}
	r = query.Protocol{}.Fail(sts.Service, &wire.Failure{Name: "InvalidAction", Message: "a < b\x00", Status: 400, RequestID: "r-2"})
	const failed = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>a &lt; b` + "\uFFFD" + `</Message></Error><RequestId>r-2</RequestId></ErrorResponse>`
	if string(r.Body) != failed || r.Status != 400 || r.ContentType() != "text/xml" {
		t.Errorf("%d %s\n%s\n%s", r.Status, r.ContentType(), r.Body, failed)
	}
	if op, err := (query.Protocol{}).Route(sts.Service, &wire.Request{Query: "Action=GetCallerIdentity&Version=2011-06-15"}); err != nil || op != sts.GetCallerIdentity {
		t.Errorf("a call in the query: %v %v", op, err)
	}
	if _, err := (query.Protocol{}).Route(sts.Service, &wire.Request{Body: []byte("%zz=1")}); fault.KindOf(err) != fault.Malformed {
		t.Error(err)
	}
}

// A struct that is not the shape's is a mistake that must not go unseen.
func TestForeignStruct(t *testing.T) {
	defer func() {
		if p := recover(); p == nil || !strings.Contains(p.(string), "ListFoundationModelsRequest") {
			t.Errorf("%v", p)
		}
	}()
	var in struct{ A, B string }
	_ = restjson.Protocol{}.Decode(bedrock.ListFoundationModels, &wire.Request{}, wire.Into(&in))
}
