package bedrockclient

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"forebay/dialect"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
	"forebay/wire/eventstream"
)

// TestSignature verifies what arrives with Forebay's own verification of signatures, which
// is tested against AWS's vectors.
func TestSignature(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.BedrockAnthropic)
	for _, base := range []string{"", "/a%20b/c"} {
		c := open(t, upstream.Config{BaseURL: s.URL + base, Header: []upstream.Field{{Name: "X-Extra", Value: "1"}}}, infer.DialectAnthropic)
		res, err := c.Infer(t.Context(), &infer.Request{
			Dialect: infer.DialectAnthropic, UpstreamModel: "arn:aws:bedrock:us-east-1:1:provisioned-model/x y", Body: []byte(`{"messages":[]}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Close()
		_ = c.Close()
		calls := s.Calls()
		call := calls[len(calls)-1]
		if want := base + "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprovisioned-model%2Fx%20y/invoke"; call.Target != want {
			t.Errorf("target %s", call.Target)
		}
		r := &identity.Request{Method: call.Method, Path: call.Target, Host: call.Host, Header: call.Header}
		claim, err := identity.ParseAuthorization(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := claim.Check(time.Now(), "us-east-1", "bedrock"); err != nil {
			t.Error(err)
		}
		hash, err := identity.PayloadHash(r, call.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := claim.Verify(r, identity.SigningKey("secret", claim.Date, claim.Region, claim.Service), hash); err != nil {
			t.Error(err)
		}
		if claim.KeyID != "AKID" || call.Header.Get("X-Amz-Security-Token") != "token" {
			t.Errorf("%+v", claim)
		}
	}
}

func TestErrorNames(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.BedrockAnthropic)
	c := open(t, upstream.Config{BaseURL: s.URL}, infer.DialectAnthropic)
	defer c.Close() //nolint:errcheck // test
	for _, e := range []struct {
		status, original int
		header, body     string
		kind             fault.Kind
	}{
		{429, 429, "ThrottlingException:http://x/", `{"message":"m"}`, fault.Overloaded},
		{429, 429, "ModelNotReadyException", `{"message":"m"}`, fault.NotReady},
		{408, 408, "", `{"__type":"com.amazonaws.bedrock#ModelTimeoutException","message":"m"}`, fault.Timeout},
		{424, 422, "", `{"__type":"ModelErrorException","message":"m","originalStatusCode":422}`, fault.ModelFailed},
		{400, 400, "ValidationException", `{"message":"m"}`, fault.ModelFailed},
		{403, 403, "AccessDeniedException", `{"Message":"m"}`, fault.ModelFailed},
		{503, 503, "ServiceUnavailableException", `{"message":"m"}`, fault.Unavailable},
		{500, 500, "InternalServerException", `{"message":"m"}`, fault.Unavailable},
	} {
		s.Handle(func(c *fakeupstream.Call) {
			h := http.Header{}
			if e.header != "" {
				h.Set("X-Amzn-Errortype", e.header)
			}
			h.Set("x-amz-retry-after", "1500")
			c.Respond(e.status, h, []byte(e.body))
		})
		_, err := c.Infer(t.Context(), &infer.Request{Dialect: infer.DialectAnthropic, UpstreamModel: "m", Body: []byte(`{}`)})
		got := fault.From(err)
		if err == nil || got.Kind != e.kind || got.OriginalStatus != e.original || got.OriginalMessage != "m" || got.RetryAfter != 1500*time.Millisecond {
			t.Errorf("%s %s: %+v", e.header, e.body, got)
		}
	}
}

func TestExceptionsInStreams(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.BedrockAnthropic)
	c := open(t, upstream.Config{BaseURL: s.URL}, infer.DialectAnthropic)
	defer c.Close() //nolint:errcheck // test
	for _, e := range []struct {
		frame  []byte
		kind   fault.Kind
		status int
	}{
		{eventstream.AppendException(nil, "throttlingException", []byte(`{"message":"m"}`)), fault.StreamFailed, 429},
		{eventstream.AppendException(nil, "modelStreamErrorException", []byte(`{"message":"x","originalStatusCode":507,"originalMessage":"m"}`)), fault.StreamFailed, 507},
		{eventstream.AppendException(nil, "modelTimeoutException", []byte(`{"message":"m"}`)), fault.Timeout, 408},
		{eventstream.AppendException(nil, "brandNewException", []byte(`{"message":"m"}`)), fault.StreamFailed, 500},
		{eventstream.AppendError(nil, "InternalError", "m"), fault.StreamFailed, 500},
	} {
		s.Handle(func(c *fakeupstream.Call) { c.Write(e.frame) })
		res, err := c.Infer(t.Context(), &infer.Request{Dialect: infer.DialectAnthropic, UpstreamModel: "m", Stream: true, Body: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = res.Next()
		if got := fault.From(err); err == nil || got.Kind != e.kind || got.OriginalStatus != e.status || got.OriginalMessage != "m" {
			t.Errorf("%q: %+v", e.frame, got)
		}
		_ = res.Close()
	}
}

// TestFamilyWithMetrics streams a family whose stream has no end mark but the metrics.
func TestFamilyWithMetrics(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.BedrockAnthropic)
	c := open(t, upstream.Config{BaseURL: s.URL}, infer.DialectLlama)
	defer c.Close() //nolint:errcheck // test
	const first = `{"generation":"a \"amazon-bedrock-invocationMetrics\"","prompt_token_count":5,"stop_reason":null}`
	const last = `{"generation":"","prompt_token_count":null,"stop_reason":"stop"`
	const metrics = `,"amazon-bedrock-invocationMetrics":{"inputTokenCount":5,"outputTokenCount":2,"invocationLatency":9,"firstByteLatency":3}}`
	for _, whole := range []bool{true, false} {
		s.Handle(func(c *fakeupstream.Call) {
			c.Send(fakeupstream.Payload{Data: first})
			if whole {
				c.Send(fakeupstream.Payload{Data: last + metrics})
			}
		})
		body := `{"prompt":"x","model":"stays"}`
		res, err := c.Infer(t.Context(), &infer.Request{Dialect: infer.DialectLlama, UpstreamModel: "m", Stream: true, Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		if ev, err := res.Next(); err != nil || string(ev.Raw) != first || ev.Last {
			t.Errorf("%+v, %v", ev, err)
		}
		ev, err := res.Next()
		if !whole {
			if fault.KindOf(err) != fault.StreamFailed {
				t.Errorf("without metrics the stream is cut: %v", err)
			}
			continue
		}
		if err != nil || string(ev.Raw) != last+"}" || !ev.Last {
			t.Errorf("%+v, %v", ev, err)
		}
		if _, err := res.Next(); err != io.EOF { //nolint:errorlint // bare
			t.Error(err)
		}
		if u, ok := res.Usage(); !ok || u.Input != 5 || u.Output != 2 {
			t.Errorf("%+v", u)
		}
		if got := string(s.Calls()[0].Body); got != body {
			t.Errorf("arrived %s", got)
		}
		_ = res.Close()
	}
}

// A model that takes messages and prompts gets each as it came.
func TestMessagesAndPrompts(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.BedrockAnthropic)
	for _, completion := range []infer.Dialect{infer.DialectMistral, ""} {
		c, err := New(t.Context(), Config{Upstream: upstream.Config{BaseURL: s.URL}, Region: "us-east-1", Family: infer.DialectMistralChat, Completion: completion, APIKey: "k"})
		if err != nil {
			t.Fatal(err)
		}
		if !c.Speaks(infer.DialectMistralChat) || !c.Speaks(infer.DialectConverse) || c.Speaks(infer.DialectMistral) != (completion != "") || c.Speaks("") {
			t.Errorf("prompts in %q: it speaks %v, %v, %v", completion, c.Speaks(infer.DialectMistralChat), c.Speaks(infer.DialectMistral), c.Speaks(""))
		}
		for d, body := range map[infer.Dialect]string{infer.DialectMistralChat: `{"messages":[],"x":1.0}`, completion: `{"prompt":"x", "top_k":7}`} {
			if d == "" {
				continue
			}
			p, err := c.plan(&infer.Request{Dialect: d, UpstreamModel: "m", Body: []byte(body)})
			if err != nil || p.codec.Name != d || p.path != "/model/m/invoke" || !p.through || string(bytes.Join(p.body, nil)) != body {
				t.Errorf("%s: %+v, %v", d, p, err)
			}
		}
		_ = c.Close()
	}
}

func TestHeaderUsageAndEmbeddings(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.BedrockAnthropic)
	s.Handle(func(c *fakeupstream.Call) {
		h := http.Header{"X-Amzn-Bedrock-Input-Token-Count": {"4"}, "X-Amzn-Bedrock-Output-Token-Count": {"0"}, "X-Amzn-Requestid": {"r"}}
		c.Respond(http.StatusOK, h, []byte(`{"embedding":[0.5,-1],"inputTextTokenCount":4}`))
	})
	c := open(t, upstream.Config{BaseURL: s.URL}, infer.DialectTitanEmbed)
	defer c.Close() //nolint:errcheck // test
	for _, req := range []*infer.Request{
		{Task: infer.TaskEmbed, Dialect: infer.DialectTitanEmbed, Body: []byte(`{"inputText":"x"}`)},
		{Task: infer.TaskEmbed, Embed: &infer.Embed{Inputs: []string{"x"}}},
	} {
		req.UpstreamModel = "m"
		res, err := c.Infer(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		ev, err := res.Next()
		if err != nil || ev.Usage.Input != 4 || !ev.HasUsage || res.Head.RequestID != "r" {
			t.Errorf("%+v, %v", ev, err)
		}
		if ev.Result != nil && ev.Result.Embeddings[0].Floats[1] != -1 {
			t.Errorf("%+v", ev.Result)
		}
		_ = res.Close()
	}
	if _, err := c.CountTokens(t.Context(), &infer.Request{UpstreamModel: "m", Task: infer.TaskEmbed, Embed: &infer.Embed{Inputs: []string{"x"}}}); fault.KindOf(err) != fault.Unsupported {
		t.Error(err)
	}
}

func TestCountTokens(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.Converse)
	s.Handle(func(c *fakeupstream.Call) { c.Respond(http.StatusOK, nil, []byte(`{"inputTokens":7}`)) })
	c := open(t, upstream.Config{BaseURL: s.URL}, infer.DialectAnthropic)
	defer c.Close() //nolint:errcheck // test
	limit := int64(3)
	for i, req := range []*infer.Request{
		{Dialect: infer.DialectAnthropic, Body: []byte(`{"messages":[]}`)},
		{Chat: &infer.Chat{MaxTokens: &limit, Messages: []infer.Message{{Role: infer.RoleUser, Content: []infer.Block{{Text: "hi"}}}}}},
	} {
		req.UpstreamModel = "m"
		n, err := c.CountTokens(t.Context(), req)
		call := s.Calls()[i]
		want := []string{
			`{"input":{"invokeModel":{"body":"eyJhbnRocm9waWNfdmVyc2lvbiI6ImJlZHJvY2stMjAyMy0wNS0zMSIsIm1lc3NhZ2VzIjpbXX0="}}}`,
			`{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"hi"}]}]}}}`,
		}[i]
		if n != 7 || err != nil || call.Target != "/model/m/count-tokens" || string(call.Body) != want {
			t.Errorf("%d, %v: %s %s", n, err, call.Target, call.Body)
		}
	}
}

func TestChunksOfOtherShapes(t *testing.T) {
	for in, want := range map[string]string{
		`{"bytes":"eyJhIjoxfQ=="}`: `{"a":1}`, `{"p":"abc","bytes":"Pz8\/"}`: "???", `{"bytes":""}`: "",
	} {
		if got, err := inner(nil, []byte(in)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{``, `{}`, `{"bytes":1}`, `{"bytes":"!"}`, `{"bytes":"abc`, `[]`} {
		if got, err := inner(nil, []byte(in)); err == nil {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func TestConfiguration(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKENV")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	c, err := New(t.Context(), Config{Family: infer.DialectAnthropic})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // test
	creds, err := c.cfg.Credentials.Retrieve(t.Context())
	if err != nil || creds.AccessKeyID != "AKENV" || c.cfg.Region != "eu-central-1" {
		t.Errorf("%+v, %v", c.cfg.Region, err)
	}
	if _, err := New(t.Context(), Config{Family: "no such family"}); err == nil || !strings.Contains(err.Error(), "no such family") {
		t.Error(err)
	}
	if _, ok := dialect.Get(infer.DialectConverse); !ok {
		t.Error("no codec for Converse")
	}
}

// FuzzFrames reads whatever may come in the place of a stream.
func FuzzFrames(f *testing.F) {
	for _, p := range fakeupstream.BedrockAnthropic.Stream([]string{"a"}, fakeupstream.SaidUsage) {
		f.Add(fakeupstream.BedrockAnthropic.Frame(p))
	}
	f.Add(fakeupstream.BedrockAnthropic.Broken("x"))
	f.Add(eventstream.AppendError(nil, "a", "b"))
	codec, _ := dialect.Get(infer.DialectAnthropic)
	look := looker(codec)
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &frames{r: eventstream.NewReader(strings.NewReader(string(b)))}
		for {
			name, payload, err := s.Next()
			if err != nil {
				return
			}
			n, err := look(name, payload)
			if err != nil {
				return
			}
			if n.Payload != nil && strings.Contains(string(n.Payload), `"`+metricsName+`":{"inputTokenCount":1,`) {
				t.Fatalf("metrics are left in %q", n.Payload)
			}
		}
	})
}
