package wire_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"forebay/fault"
	"forebay/wire"
	"forebay/wire/awsjson"
	"forebay/wire/query"
	"forebay/wire/restjson"
	"forebay/wire/shapes/bedrock"
	"forebay/wire/shapes/bedrockruntime"
	"forebay/wire/shapes/sts"
)

// kitchen is a shape that has everything, itself included, for the protocols of which no service is
// served with that much.
func kitchen() *wire.Service {
	text := &wire.Shape{Name: "Text", Type: wire.String, Bounds: &wire.Bounds{Max: 20, HasMax: true}, Pattern: "[^!]*"}
	number := &wire.Shape{Name: "Number", Type: wire.Integer, Bounds: &wire.Bounds{Min: -5, HasMin: true}}
	sink := &wire.Shape{Name: "Sink", Type: wire.Structure}
	shape := func(t wire.Type) *wire.Shape { return &wire.Shape{Name: "S", Type: t, Elem: text, Key: text} }
	flat := shape(wire.List)
	flat.Flat, flat.Elem = true, number
	sinks := &wire.Shape{Name: "Sinks", Type: wire.List, Elem: sink, Bounds: &wire.Bounds{Max: 3, HasMax: true}}
	sink.Members = []wire.Member{
		{Name: "Text", Shape: text},
		{Name: "Number", Shape: number},
		{Name: "Flag", Shape: shape(wire.Boolean)},
		{Name: "Real", Shape: shape(wire.Double)},
		{Name: "When", Shape: shape(wire.Timestamp)},
		{Name: "Bytes", Shape: shape(wire.Blob)},
		{Name: "List", Shape: shape(wire.List)},
		{Name: "Flat", Shape: flat},
		{Name: "Map", Shape: shape(wire.Map)},
		{Name: "Sink", Shape: sink},
		{Name: "Sinks", WireName: "sinks", Shape: sinks},
	}
	return &wire.Service{
		Name: "kitchen", Version: "1", JSONVersion: "1.1", TargetPrefix: "Kitchen", Namespace: "urn:kitchen",
		Operations: []*wire.Operation{{Name: "Sink", Method: http.MethodPost, Path: "/", Status: 200, Input: sink, Output: sink}},
	}
}

// FuzzDecode: no request makes a protocol panic, every refusal is the client's fault, and what was decoded
// and encoded again decodes to the same.
func FuzzDecode(f *testing.F) {
	f.Add("POST", "/model/a.b-v1:0/converse", "", "", []byte(`{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":0}}`))
	f.Add("POST", "/model/arn%3Aaws/x/count-tokens", "", "", []byte(`{"input":{"converse":{"messages":[]},"invokeModel":{"body":"e30="}}}`))
	f.Add("POST", "/model/x/invoke", "", "X-Amzn-Bedrock-Trace: maybe", []byte("{"))
	f.Add("GET", "/foundation-models", "byOutputModality=SMELL&byProvider=%zz", "", []byte(nil))
	f.Add("GET", "/foundation-models/x%2Fy", "", "", []byte(nil))
	f.Add("POST", "/", "", "X-Amz-Target: Kitchen.Sink", []byte(`{"Text":"t","When":1.5,"Real":"NaN","Bytes":"AA==","List":["a",null],"Map":{"k":"v"},"Sink":{"sinks":[{},{"Flag":true}]}}`))
	f.Add("POST", "/", "", "", []byte("Action=Sink&Text=t&Number=-9&Flag=true&Real=1e3&When=2020-01-01T00:00:00Z&Bytes=AA%3D%3D&List.member.1=a&Flat.1=2&Map.entry.1.key=k&Map.entry.1.value=v&Sink.Sink.Text=x&sinks.member.1.Text=y"))
	f.Add("POST", "/", "", "", []byte("Action=GetCallerIdentity&Version=2011-06-15"))
	k := kitchen()
	f.Fuzz(func(t *testing.T, method, path, rawQuery, head string, body []byte) {
		h := http.Header{}
		for line := range strings.Lines(head) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			h.Add(name, strings.TrimSpace(value))
		}
		r := &wire.Request{Method: method, Path: path, Query: rawQuery, Header: h, Body: body}
		for _, x := range []struct {
			s *wire.Service
			p wire.Protocol
		}{
			{bedrockruntime.Service, restjson.Protocol{}},
			{bedrock.Service, restjson.Protocol{}},
			{sts.Service, query.Protocol{}},
			{k, restjson.Protocol{}},
			{k, awsjson.Protocol{}},
			{k, query.Protocol{}},
		} {
			exercise(t, x.s, x.p, r)
		}
	})
}

func exercise(t *testing.T, s *wire.Service, p wire.Protocol, r *wire.Request) {
	t.Helper()
	blame := func(err error) bool {
		if k := fault.KindOf(err); err != nil && k != fault.Malformed && k != fault.Invalid && k != fault.UnknownOperation {
			t.Errorf("%T: %v", p, err)
		}
		return err != nil
	}
	op, err := p.Route(s, r)
	if blame(err) || op.Input == nil {
		return
	}
	var v any
	if blame(p.Decode(op, r, wire.Into(&v))) || op.Input != op.Output {
		return
	}
	out, err := p.Encode(s, op, "id", wire.From(v))
	if err != nil {
		t.Fatalf("%T: %v cannot be encoded: %v", p, v, err)
	}
	if _, ok := p.(query.Protocol); ok {
		return // its answers are XML, which it does not read
	}
	again := &wire.Request{Method: r.Method, Path: r.Path, Header: out.Header, Body: out.Body}
	var w any
	if err := p.Decode(op, again, wire.Into(&w)); err != nil {
		t.Fatalf("%T: %s: %v", p, out.Body, err)
	}
	equal(t, op.Input, w, v)
}

// What a form says is what a JSON object with the same members says.
func TestFormEqualsJSON(t *testing.T) {
	k := kitchen()
	op := k.Operations[0]
	form := url.Values{
		"Action": {"Sink"}, "Text": {"t"}, "Number": {"-5"}, "Flag": {"true"}, "Real": {"Infinity"}, "When": {"2020-01-01T00:00:00.5Z"}, "Bytes": {"AAE="},
		"List.member.1": {"a"}, "List.member.2": {"b"}, "Flat.1": {"2"}, "Map.entry.1.key": {"k"}, "Map.entry.1.value": {"v"},
		"Sink.Sink.Text": {"x"}, "sinks.member.1.Text": {"y"}, "Unknown.1": {"z"},
	}
	var got, want any
	if err := (query.Protocol{}).Decode(op, &wire.Request{Body: []byte(form.Encode())}, wire.Into(&got)); err != nil {
		t.Fatal(err)
	}
	body := `{"Text":"t","Number":-5,"Flag":true,"Real":"Infinity","When":1577836800.5,"Bytes":"AAE=","List":["a","b"],"Flat":[2],"Map":{"k":"v"},"Sink":{"Sink":{"Text":"x"}},"sinks":[{"Text":"y"}]}`
	if err := (awsjson.Protocol{}).Decode(op, &wire.Request{Body: []byte(body)}, wire.Into(&want)); err != nil {
		t.Fatal(err)
	}
	equal(t, op.Input, got, want)

	out, err := query.Protocol{}.Encode(k, op, "r&1", wire.From(want))
	if err != nil {
		t.Fatal(err)
	}
	const xml = `<SinkResponse xmlns="urn:kitchen"><SinkResult><Text>t</Text><Number>-5</Number><Flag>true</Flag><Real>Infinity</Real><When>2020-01-01T00:00:00.5Z</When><Bytes>AAE=</Bytes>` +
		`<List><member>a</member><member>b</member></List><Flat>2</Flat><Map><entry><key>k</key><value>v</value></entry></Map><Sink><Sink><Text>x</Text></Sink></Sink>` +
		`<sinks><member><Text>y</Text></member></sinks></SinkResult><ResponseMetadata><RequestId>r&amp;1</RequestId></ResponseMetadata></SinkResponse>`
	if string(out.Body) != xml {
		t.Errorf("got\n%s\nwant\n%s", out.Body, xml)
	}

	err = query.Protocol{}.Decode(op, &wire.Request{Body: []byte("Action=Sink&Text=!&Number=-6&sinks.member.1=a&sinks.member.2=a&sinks.member.3=a&sinks.member.4=a")}, wire.Target{})
	if e := fault.From(err); e == nil || e.Message != "3 validation errors detected: Value '!' at 'Text' failed to satisfy constraint: Member must satisfy regular expression pattern: [^!]*; "+
		"Value '-6' at 'Number' failed to satisfy constraint: Member must have value greater than or equal to -5; Value at 'sinks' failed to satisfy constraint: Member must have length less than or equal to 3" {
		t.Error(err)
	}
}
