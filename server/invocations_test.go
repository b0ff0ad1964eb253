package server

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"forebay/api/admin"
	"forebay/config"

	"github.com/go-json-experiment/json"
)

const loggingPath = "/logging/modelinvocations"

// invocation is a line of the log as the public description has it.
type invocation struct {
	SchemaType, SchemaVersion, Timestamp, AccountID, Region, RequestID, Operation, ModelID, ErrorCode string
	Identity                                                                                          struct{ ARN string }
	RequestMetadata                                                                                   map[string]string
	Input                                                                                             struct {
		InputContentType, InputBodyS3Path string
		InputBodyJSON                     any
		InputTokenCount                   int64
	}
	Output struct {
		OutputContentType, OutputBodyS3Path string
		OutputBodyJSON                      any
		OutputTokenCount                    int64
	}
}

// unzip reads a compressed object.
func unzip(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var recordKey = regexp.MustCompile(`^AWSLogs/000000000000/BedrockModelInvocationLogs/us-east-1/\d{4}/\d\d/\d\d/\d\d/\d{8}T\d{9}Z_[0-9a-z]{12}\.json\.gz$`)

// records reads the log below a folder.
func records(t *testing.T, dir string) (out []invocation) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.Contains(path, "/data/") || e.Name() == "amazon-bedrock-logs-permission-check" {
			return err
		}
		if key, _ := filepath.Rel(dir, path); !recordKey.MatchString(filepath.ToSlash(key)) {
			t.Errorf("an object named %s", key)
		}
		for lines := bufio.NewScanner(strings.NewReader(unzip(t, path))); lines.Scan(); {
			var r invocation
			if err := json.Unmarshal(lines.Bytes(), &r, json.MatchCaseInsensitiveNames(true), json.RejectUnknownMembers(true)); err != nil {
				t.Errorf("%v: %s", err, lines.Text())
			}
			out = append(out, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func putLogging(t *testing.T, s *Server, members string) answer {
	t.Helper()
	return post(t, s, loggingPath, `{"loggingConfig":{`+members+`}}`, func(r *http.Request) { r.Method = http.MethodPut })
}

// What an account's models were asked and answered is recorded in the documented form and place, once it has asked for that.
func TestInvocationLog(t *testing.T) {
	c := testConfig(t)
	var served string
	long := strings.Repeat("long ", 30_000)
	t.Run("calls", func(t *testing.T) {
		s := run(t, c)
		post(t, s, conversePath, hiConverse) // before anybody asked
		if a := putLogging(t, s, `"s3Config":{"bucketName":"logs","keyPrefix":"here"},"videoDataDeliveryEnabled":false`); a.status != http.StatusOK {
			t.Fatalf("%+v", a)
		}
		got := post(t, s, loggingPath, "", method("GET"))
		if got.body != `{"loggingConfig":{"s3Config":{"bucketName":"logs","keyPrefix":"here"},"textDataDeliveryEnabled":true,"imageDataDeliveryEnabled":true,"embeddingDataDeliveryEnabled":true,"videoDataDeliveryEnabled":false,"audioDataDeliveryEnabled":true}}` {
			t.Error(got.body)
		}
		profile, _ := createProfile(t, s, "p", foundation+haiku, `,"tags":[{"key":"team","value":"a"}]`).members(t, http.StatusCreated)["inferenceProfileArn"].(string)
		served = profile
		tagged := strings.Replace(hiConverse, "{", `{"requestMetadata":{"project":"x"},`, 1)
		for _, x := range []struct{ path, body string }{
			{"/model/" + url.PathEscape(profile) + "/converse", tagged},
			{conversePath + "-stream", strings.Replace(hiConverse, "[[tokens:1]]", "[[tool:search:{\\\"q\\\":1}]]", 1)},
			{conversePath + "-stream", hiConverse},
			{invokePath, viaInvoke.body(hi)},
			{invokePath + "-with-response-stream", viaInvoke.body(hi)},
			{conversePath, strings.Replace(hiConverse, "[[tokens:1]]", "[[fail:500]]", 1)},
			{conversePath, strings.Replace(hiConverse, "[[tokens:1]]", long, 1)},
			{conversePath, `{"messages":[{"role":"user","content":[{"text":"x"},{"video":{"format":"mp4","source":{"bytes":"AAAA"}}}]}]}`},
		} {
			post(t, s, x.path, x.body)
		}
		if a := post(t, s, loggingPath, "", method("DELETE")); a.status != http.StatusOK {
			t.Errorf("%+v", a)
		}
		if got := post(t, s, loggingPath, "", method("GET")); got.body != `{}` {
			t.Error(got.body)
		}
		post(t, s, conversePath, hiConverse) // afterwards
	})
	dir := filepath.Join(c.DataDir, "objects", "logs", "here")
	all := records(t, dir)
	if len(all) != 8 {
		t.Fatalf("%d records", len(all))
	}
	for i, r := range all {
		if r.SchemaType != "ModelInvocationLog" || r.SchemaVersion != "1.0" || r.AccountID != "000000000000" || r.Region != "us-east-1" || r.RequestID == "" ||
			!strings.HasPrefix(r.Identity.ARN, "arn:aws:iam::000000000000:") || r.Input.InputContentType != "application/json" || len(r.Timestamp) != len("2026-01-02T03:04:05Z") {
			t.Errorf("%d: %+v", i, r)
		}
	}
	text := func(x any) string { return fmt.Sprint(x) }
	if r := all[0]; r.ModelID != served || r.Operation != "Converse" || text(r.RequestMetadata) != "map[project:x]" || !strings.Contains(text(r.Input.InputBodyJSON), "[[tokens:1]]") ||
		!strings.Contains(text(r.Output.OutputBodyJSON), "output:map[message:") || r.Input.InputTokenCount == 0 || r.Output.OutputTokenCount != 1 {
		t.Errorf("%+v", r)
	}
	if r := all[2]; r.Operation != "ConverseStream" || !regexp.MustCompile(`output:map\[message:map\[content:\[map\[text:\S`).MatchString(text(r.Output.OutputBodyJSON)) ||
		!strings.Contains(text(r.Output.OutputBodyJSON), "stopReason:") || !strings.Contains(text(r.Output.OutputBodyJSON), "usage:map[") {
		t.Errorf("%+v", r)
	}
	if r := all[3]; r.Operation != "InvokeModel" || !strings.Contains(text(r.Output.OutputBodyJSON), "type:message") || r.Output.OutputTokenCount != 1 {
		t.Errorf("%+v", r)
	}
	events, _ := all[4].Output.OutputBodyJSON.([]any)
	if len(events) < 5 || !strings.Contains(text(events[0]), "message_start") || !strings.Contains(text(events[len(events)-1]), "amazon-bedrock-invocationMetrics") {
		t.Errorf("%+v", all[4])
	}
	if r := all[5]; r.ErrorCode == "" || r.Output.OutputBodyJSON != nil || r.Input.InputBodyJSON == nil {
		t.Errorf("%+v", r)
	}
	if r := all[6]; r.Input.InputBodyJSON != nil || !regexp.MustCompile(`^s3://logs/here/AWSLogs/.*/data/`+r.RequestID+`_input\.json\.gz$`).MatchString(r.Input.InputBodyS3Path) {
		t.Errorf("%+v", r)
	} else if body := unzip(t, filepath.Join(c.DataDir, "objects", filepath.FromSlash(strings.TrimPrefix(r.Input.InputBodyS3Path, "s3://")))); !strings.Contains(body, long) {
		t.Errorf("%d bytes aside", len(body))
	}
	if r := all[7]; r.Input.InputBodyJSON != nil {
		t.Errorf("video is recorded: %+v", r)
	}
}

// Calls of the other APIs are recorded in the same form, their failures by the name that Bedrock has for them.
func TestInvocationLogOfEveryAPI(t *testing.T) {
	c := testConfig(t)
	dir := t.TempDir()
	c.Logging.Invocations = config.Invocations{Location: dir}
	type call struct{ path, body, operation, answer, failure string }
	const chat, messages = `{"model":"` + haiku + `","max_tokens":5,"messages":[{"role":"user","content":"[[tokens:2]]"}]`, "/v1/messages"
	calls := []call{
		{chatPath, chat + `,"metadata":{"project":"x"}}`, "ChatCompletions", "object:chat.completion", ""},
		{chatPath, chat + `,"stream":true}`, "ChatCompletions", "object:chat.completion.chunk", ""},
		{"/v1/completions", `{"model":"` + haiku + `","max_tokens":5,"prompt":"[[tokens:2]]"}`, "Completions", "object:text_completion", ""},
		{"/v1/embeddings", `{"model":"amazon.titan-embed-text-v2:0","input":"hello"}`, "Embeddings", "embedding:", ""},
		{messages, chat + `}`, "Messages", "type:message", ""},
		{messages, chat + `,"stream":true}`, "Messages", "type:message_start", ""},
		{messages, strings.Replace(chat, "[[tokens:2]]", "[[fail:500]]", 1) + `}`, "Messages", "", "ServiceUnavailableException"},
		{chatPath, strings.Replace(chat, haiku, "no.such", 1) + `}`, "ChatCompletions", "", "ValidationException"},
	}
	t.Run("calls", func(t *testing.T) {
		s := run(t, c)
		for _, x := range calls {
			post(t, s, x.path, x.body, func(r *http.Request) { r.Header.Set("Anthropic-Version", "2023-06-01") })
		}
	})
	all := records(t, dir)
	if len(all) != len(calls) {
		t.Fatalf("%d records of %d calls", len(all), len(calls))
	}
	for i, r := range all {
		x := calls[i]
		answer := fmt.Sprint(r.Output.OutputBodyJSON)
		if r.SchemaType != "ModelInvocationLog" || r.Operation != x.operation || r.ErrorCode != x.failure || r.ModelID == "" || r.Input.InputBodyJSON == nil || !strings.Contains(answer, x.answer) {
			t.Errorf("%+v: %+v", x, r)
		}
		if x.failure == "" && r.Input.InputTokenCount == 0 {
			t.Errorf("%s: no tokens: %+v", x.path, r)
		}
	}
	if r := all[0]; fmt.Sprint(r.RequestMetadata) != "map[project:x]" || r.Output.OutputTokenCount != 2 {
		t.Errorf("%+v", r)
	}
}

func TestInvocationLogBadInput(t *testing.T) {
	c := testConfig(t)
	if err := os.MkdirAll(filepath.Join(c.DataDir, "objects"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.DataDir, "objects", "a-file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := run(t, c)
	for name, members := range map[string]string{
		"no destination":              ``,
		"no bucket":                   `"s3Config":{}`,
		"a bucket that is a path":     `"s3Config":{"bucketName":"../../etc"}`,
		"a bucket that is no folder":  `"s3Config":{"bucketName":"a-file"}`,
		"a prefix that climbs":        `"s3Config":{"bucketName":"logs","keyPrefix":"../x"}`,
		"logs of another kind":        `"cloudWatchConfig":{"logGroupName":"x","roleArn":"arn:aws:iam::000000000000:role/x"}`,
		"a flag that is none":         `"s3Config":{"bucketName":"logs"},"textDataDeliveryEnabled":"yes"`,
		"a bucket with a short name":  `"s3Config":{"bucketName":"l"}`,
		"a destination of wrong type": `"s3Config":"logs"`,
	} {
		if a := putLogging(t, s, members); a.status != http.StatusBadRequest {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if got := post(t, s, loggingPath, "", method("GET")); got.body != `{}` {
		t.Error(got.body)
	}
	if a := post(t, s, loggingPath, "", method("DELETE")); a.status != http.StatusOK {
		t.Errorf("%+v", a)
	}
}

// What forebay.yaml says holds for all accounts and can be changed there alone; bodies that it leaves out are not recorded.
func TestInvocationLogOfTheConfiguration(t *testing.T) {
	c := testConfig(t)
	dir := t.TempDir()
	c.Logging.Invocations = config.Invocations{Location: dir, LeaveOut: []string{"text"}}
	t.Run("calls", func(t *testing.T) {
		s := run(t, c)
		post(t, s, conversePath, hiConverse)
		post(t, s, "/model/amazon.titan-embed-text-v2:0/invoke", `{"inputText":"hello"}`)
		if a := putLogging(t, s, `"s3Config":{"bucketName":"logs"}`); a.status != http.StatusBadRequest || !strings.Contains(a.body, "managed by") {
			t.Errorf("%+v", a)
		}
		if a := post(t, s, loggingPath, "", method("DELETE")); a.status != http.StatusBadRequest {
			t.Errorf("%+v", a)
		}
	})
	all := records(t, dir)
	if len(all) != 2 || all[0].Input.InputBodyJSON != nil || all[0].Output.OutputBodyJSON != nil || all[0].Output.OutputTokenCount != 1 || all[1].Input.InputBodyJSON == nil {
		t.Errorf("%+v", all)
	}
}

// The admin API says what is in force, to the operator also how many records there were.
func TestLoggingOfTheAdminAPI(t *testing.T) {
	c := testConfig(t)
	c.Accounts = map[string]config.Tenant{"111111111111": {}}
	s := run(t, c)
	get := func(path string) (out admin.Logging) {
		t.Helper()
		got := ask(t, s, http.MethodGet, path, "")
		if err := json.Unmarshal([]byte(got.body), &out); got.status != http.StatusOK || err != nil {
			t.Fatalf("%+v, %v", got, err)
		}
		return out
	}
	if got := get("logging"); got.Location != "" || got.Records == nil {
		t.Errorf("%+v", got)
	}
	putLogging(t, s, `"s3Config":{"bucketName":"logs"},"textDataDeliveryEnabled":false`)
	if got := get("logging"); got.Location != "s3://logs" || got.Data.Text || !got.Data.Image {
		t.Errorf("%+v", got)
	}
	if got := get("logging?account=111111111111"); got.Location != "" {
		t.Errorf("%+v", got)
	}
}
