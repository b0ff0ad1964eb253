package server

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"forebay/config"
)

// What no operation answers to is refused in the form of the protocol that it came in: never HTML, plain
// text, or a redirect. Operations that the services have and this server does not are refused by name.
func TestUnknownOperations(t *testing.T) {
	s := run(t, testConfig(t))
	const (
		rest  = "application/json"
		json0 = "application/x-amz-json-1.0"
		json1 = "application/x-amz-json-1.1"
		form  = "application/x-www-form-urlencoded"
	)
	set := func(pairs ...string) []func(*http.Request) {
		var out []func(*http.Request)
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, header(pairs[i], pairs[i+1]))
		}
		return out
	}
	host := func(name string) []func(*http.Request) {
		return []func(*http.Request){func(r *http.Request) { r.Host = name }}
	}
	method := func(m string) []func(*http.Request) {
		return []func(*http.Request){func(r *http.Request) { r.Method = m }}
	}
	for _, c := range []struct {
		name, path, body string
		change           []func(*http.Request)
		status           int
		kind, errName    string
		text             string
	}{
		{"a target of no service", "/", `{}`, set("X-Amz-Target", "DynamoDB_20120810.ListTables", "Content-Type", json1), 400, json1, "UnknownOperationException", ""},
		{"a target, awsJson1.0", "/", `{}`, set("X-Amz-Target", "AmazonSQS.SendMessage", "Content-Type", json0), 400, json0, "UnknownOperationException", ""},
		{"no operation of sagemaker", "/", `{}`, set("X-Amz-Target", "SageMaker.Nope", "Content-Type", json1), 400, json1, "UnknownOperationException", ""},
		{"CreateTrainingJob", "/", `{}`, set("X-Amz-Target", "SageMaker.CreateTrainingJob", "Content-Type", json1), 400, json1, "ValidationException", "The operation CreateTrainingJob is not supported"},
		{"an action of sts", "/", "Action=AssumeRole&Version=2011-06-15", set("Content-Type", form), 400, "text/xml", "InvalidAction", "The operation AssumeRole is not supported by this server."},
		{"no action of sts", "/", "Action=%3Cscript%3E&Version=2011-06-15", set("Content-Type", form), 400, "text/xml", "InvalidAction", "Could not find operation &lt;script&gt; for version 2011-06-15"},
		{"no action at all", "/", "", set("Content-Type", form), 400, "text/xml", "InvalidAction", ""},
		{"a path of bedrock-runtime", "/model/x/nope", `{}`, nil, 404, rest, "UnknownOperationException", ""},
		{"another method", "/model/x/invoke", ``, method("GET"), 404, rest, "UnknownOperationException", ""},
		{"ApplyGuardrail", "/guardrail/g/version/1/apply", `{}`, nil, 400, rest, "ValidationException", "The operation ApplyGuardrail is not supported by this server."},
		{"the bidirectional stream", "/model/x/invoke-with-bidirectional-stream", ``, nil, 400, rest, "ValidationException", "InvokeModelWithBidirectionalStream"},
		{"CreateModelCopyJob", "/model-copy-jobs", `{}`, nil, 400, rest, "ValidationException", "The operation CreateModelCopyJob is not supported"},
		{"ListGuardrails", "/guardrails", ``, method("GET"), 400, rest, "ValidationException", "ListGuardrails"},
		{"a path of nothing at a host of bedrock", "/nope", `{}`, host("bedrock.us-east-1.amazonaws.com"), 404, rest, "UnknownOperationException", ""},
		{"the same, of the runtime", "/nope", `{}`, host("bedrock-runtime.us-east-1.amazonaws.com"), 404, rest, "UnknownOperationException", ""},
		{"a path of the runtime's", "/guardrail-checks/invoke", `{}`, nil, 404, rest, "UnknownOperationException", ""},
		{"another", "/async-invoke/a/nope", `{}`, nil, 404, rest, "UnknownOperationException", ""},
		{"another, of guardrails", "/guardrail/g/nope", `{}`, nil, 404, rest, "UnknownOperationException", ""},
		{"a path of nothing, by an SDK's attempt", "/nope", `{}`, set("Amz-Sdk-Request", "attempt=1"), 404, rest, "UnknownOperationException", ""},
		{"by its header of a date", "/nope", `{}`, set("X-Amz-Date", "20260101T000000Z"), 404, rest, "UnknownOperationException", ""},
		{"by boto3", "/nope", `{}`, set("User-Agent", "Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1"), 404, rest, "UnknownOperationException", ""},
		{"by the Go SDK", "/nope", `{}`, set("User-Agent", "aws-sdk-go-v2/1.41.0 ua/2.1 os/linux"), 404, rest, "UnknownOperationException", ""},
		{"by the command line, without a key", "/nope", `{}`, set("User-Agent", "aws-cli/1.45.0 md/Botocore#1.43.11", "Authorization", ""), 403, rest, "MissingAuthenticationTokenException", ""},
	} {
		a := post(t, s, c.path, c.body, c.change...)
		if a.status != c.status || a.header.Get("Content-Type") != c.kind || !strings.Contains(a.body, c.text) {
			t.Errorf("%s: %d, %s: %.300s; want %d, %s, with %q", c.name, a.status, a.header.Get("Content-Type"), a.body, c.status, c.kind, c.text)
		}
		inBody := `"__type":"` + c.errName + `"`
		if c.kind == "text/xml" {
			inBody = "<Code>" + c.errName + "</Code>"
		} else if got := a.header.Get("X-Amzn-Errortype"); got != c.errName {
			t.Errorf("%s: X-Amzn-Errortype %q, want %s", c.name, got, c.errName)
		}
		if !strings.Contains(a.body, inBody) {
			t.Errorf("%s: %.300s, want %s", c.name, a.body, inBody)
		}
		if a.header.Get("X-Amzn-Requestid") == "" || a.header.Get("Date") == "" || a.header.Get("Location") != "" {
			t.Errorf("%s: headers %v", c.name, a.header)
		}
	}
}

// What comes through AWS's networks is not for that of its clients: paths of nothing stay OpenAI's.
func TestNetworksOfAWSAreNoClients(t *testing.T) {
	s := run(t, testConfig(t))
	for name, value := range map[string]string{"X-Amz-Cf-Id": "a", "X-Amzn-Trace-Id": "Root=1-2-3", "User-Agent": "OpenAI/Python 2.1"} {
		a := post(t, s, "/nope", `{}`, header(name, value))
		if a.status != 404 || !strings.Contains(a.body, `"error":{`) || a.header.Get("X-Amzn-Errortype") != "" {
			t.Errorf("%s: %d %v %.300s", name, a.status, a.header, a.body)
		}
	}
}

// The services' models say what a request may hold: all that is wrong is told at once, wherever it stands.
func TestModelValidation(t *testing.T) {
	s := run(t, testConfig(t))
	const bad = " failed to satisfy constraint: "
	for _, c := range []struct {
		name, path, body string
		change           []func(*http.Request)
		want             string
	}{
		{
			"headers of InvokeModel", invokePath, `{`,
			[]func(*http.Request){header("X-Amzn-Bedrock-Trace", "maybe"), header("X-Amzn-Bedrock-Service-Tier", "gold"), header("X-Amzn-Bedrock-GuardrailIdentifier", "NOT-ONE")},
			"3 validation errors detected: Value 'maybe' at 'trace'" + bad + "Member must satisfy enum value set: [ENABLED, DISABLED, ENABLED_FULL]; Value 'NOT-ONE' at 'guardrailIdentifier'" + bad + "Member must satisfy regular expression pattern: ",
		},
		{"metadata header", invokePath, `{}`, []func(*http.Request){header("X-Amzn-Bedrock-Request-Metadata", `{"a":"ü"}`)}, "1 validation error detected: Value at 'requestMetadata'" + bad + "Map value must satisfy constraint: ["},
		{"a long model id", "/model/" + strings.Repeat("x", 2049) + "/converse", `{"inferenceConfig":{"maxTokens":0}}`, nil, "2 validation errors detected: Value 'xxx"},
		{"Converse", conversePath, `{"messages":[{"role":"user","content":[{"text":"x"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"no spaces!","inputSchema":{"json":{}}}}]},"serviceTier":{"type":"gold"},"performanceConfig":{"latency":"warp"},"additionalModelResponseFieldPaths":[""]}`, nil, "4 validation errors detected: Value 'no spaces!' at 'toolConfig.tools.1.member.toolSpec.name'"},
		{"ConverseStream", conversePath + "-stream", `{"guardrailConfig":{"streamProcessingMode":"soon"}}`, nil, "Value 'soon' at 'guardrailConfig.streamProcessingMode'" + bad + "Member must satisfy enum value set: [sync, async]"},
		{"CountTokens", "/model/" + haiku + "/count-tokens", `{"input":{"converse":{"messages":[{"role":"user"}]}}}`, nil, "1 validation error detected: Value null at 'input.converse.messages.1.member.content'" + bad + "Member must not be null"},
		{"CountTokens of nothing", "/model/" + haiku + "/count-tokens", `{}`, nil, "Value null at 'input'" + bad + "Member must not be null"},
		{"CountTokens of two", "/model/" + haiku + "/count-tokens", `{"input":{"converse":{},"invokeModel":{"body":"e30="}}}`, nil, "Value at 'input'" + bad + "Member must have exactly one of these members set: [invokeModel, converse]"},
		{
			"ListFoundationModels", "/foundation-models?byProvider=!&byOutputModality=SMELL", "",
			[]func(*http.Request){func(r *http.Request) { r.Method = http.MethodGet }},
			"2 validation errors detected: Value '!' at 'byProvider'" + bad + "Member must satisfy regular expression pattern: [A-Za-z0-9- ]{1,63}; Value 'SMELL' at 'byOutputModality'" + bad + "Member must satisfy enum value set: [TEXT, IMAGE, EMBEDDING]",
		},
	} {
		a := post(t, s, c.path, c.body, c.change...)
		if a.status != 400 || a.header.Get("X-Amzn-Errortype") != "ValidationException" || !strings.Contains(a.body, c.want) {
			t.Errorf("%s: %d %.600s\nwant %s", c.name, a.status, a.body, c.want)
		}
	}
}

// A throttled call is told how long to wait in the forms that the clients read: seconds, and
// milliseconds by the name that the AWS SDKs know.
func TestThrottlesSayHowLong(t *testing.T) {
	c := testConfig(t)
	c.Account.Models = map[string]config.Limits{haiku: {RequestsPerMinute: 1}}
	s := run(t, c)
	for _, path := range []string{conversePath, conversePath + "-stream"} {
		var a answer
		for range 3 {
			if a = post(t, s, path, `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":5}}`); a.status != http.StatusOK {
				break
			}
		}
		if a.status != http.StatusTooManyRequests || a.header.Get("X-Amzn-Errortype") != "ThrottlingException" ||
			!strings.Contains(a.body, `{"__type":"ThrottlingException","message":"Too many requests, please wait before trying again."}`) {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		ms, err := strconv.Atoi(a.header.Get("X-Amz-Retry-After"))
		seconds, err2 := strconv.Atoi(a.header.Get("Retry-After"))
		if err != nil || err2 != nil || ms <= 0 || ms > 60_000 || seconds != (ms+999)/1000 {
			t.Errorf("%s: wait %q seconds, %q ms", path, a.header.Get("Retry-After"), a.header.Get("X-Amz-Retry-After"))
		}
	}
}

// Mistral Large (24.02) takes a prompt or messages, as its body has them, and answers in the same dialect; Mistral Small
// takes prompts alone (Bedrock user guide, "Mistral AI text completion" and "Mistral AI chat completion").
func TestMistralBodies(t *testing.T) {
	s := run(t, testConfig(t))
	const asks, turn = `{"max_tokens":3,"prompt":"<s>[INST] hi [/INST]"}`, `{"max_tokens":3,"messages":[{"role":"user","content":"hi"}]}`
	for _, c := range []struct {
		name, model, body string
		status            int
		want              string
	}{
		{"Large, a prompt", mistral, asks, 200, `"outputs":[`},
		{"Large, messages", mistral, turn, 200, `"choices":[`},
		{"Large, both", mistral, `{"prompt":"x",` + turn[1:], 200, `"choices":[`},
		{"Large, neither", mistral, `{"max_tokens":3}`, 400, "required key [messages] not found"},
		{"Large of July, a prompt", "mistral.mistral-large-2407-v1:0", asks, 400, "required key [messages] not found"},
		{"Small, a prompt", small, asks, 200, `"outputs":[`},
		{"Small, messages", small, turn, 400, "required key [prompt] not found"},
	} {
		if a := post(t, s, "/model/"+c.model+"/invoke", c.body); a.status != c.status || !strings.Contains(a.body, c.want) {
			t.Errorf("%s: %d %.300s, want %d with %s", c.name, a.status, a.body, c.status, c.want)
		}
	}
}
