package server

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forebay/config"
	"forebay/custom"
	"forebay/identity"
	"forebay/internal/tinygguf"
	"forebay/resource"
	"forebay/store"
)

// place writes files into a bucket of a server's data directory.
func place(t *testing.T, c *config.Config, key string, files map[string]string) {
	t.Helper()
	dir := filepath.Join(c.DataDir, "objects", filepath.FromSlash(key))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tensors is a safetensors file of one tensor.
func tensors() string {
	const head = `{"w":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}`
	return string(binary.LittleEndian.AppendUint64(nil, uint64(len(head)))) + head + "12345678"
}

// artifacts puts one of everything into the bucket "models".
func artifacts(t *testing.T, c *config.Config) {
	t.Helper()
	adapter := func(base string) map[string]string {
		return map[string]string{"adapter_config.json": `{"peft_type":"LORA","base_model_name_or_path":"` + base + `"}`, "adapter_model.safetensors": tensors()}
	}
	place(t, c, "models/lora", adapter(novaLite))
	place(t, c, "models/lora2", adapter(novaLite))
	place(t, c, "models/haiku-lora", adapter(haiku))
	place(t, c, "models/foreign", adapter("other/unknown-7b"))
	place(t, c, "models/broken", map[string]string{"adapter_config.json": `{"peft_type":"LORA","base_model_name_or_path":"` + novaLite + `"}`, "adapter_model.safetensors": tensors()[:20]})
	place(t, c, "models/llama", map[string]string{"config.json": `{"architectures":["LlamaForCausalLM"],"max_position_embeddings":2048}`, "model.safetensors": tensors(), "tokenizer_config.json": `{"chat_template":"x"}`})
	place(t, c, "models/bert", map[string]string{"config.json": `{"architectures":["BertModel"]}`, "model.safetensors": tensors()})
	var gguf strings.Builder
	if err := tinygguf.Write(&gguf, tinygguf.Params{}); err != nil {
		t.Fatal(err)
	}
	place(t, c, "models/gguf", map[string]string{"model.gguf": gguf.String()})
	place(t, c, "models/odd", map[string]string{"model.gguf": strings.Replace(gguf.String(), "llama", "ll\xffma", 1)})
}

// until asks until a member of the answer is no longer one of those that pass.
func until(t *testing.T, s *Server, path, member string, pass ...string) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		got := post(t, s, path, "", method("GET")).members(t, http.StatusOK)
		passing := false
		for _, p := range pass {
			passing = passing || got[member] == p
		}
		if !passing {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", path, got)
		}
		<-time.After(time.Millisecond)
	}
}

const (
	customPath      = "/custom-models/"
	deploymentsPath = "/model-customization/custom-model-deployments"
	importJobs      = "/model-import-jobs"
	importedPath    = "/imported-models/"
)

func createCustom(t *testing.T, s *Server, name, key string) answer {
	t.Helper()
	return post(t, s, "/custom-models/create-custom-model", `{"modelName":"`+name+`","modelSourceConfig":{"s3DataSource":{"s3Uri":"s3://models/`+key+`"}}}`)
}

// customModel makes a variant and waits for it.
func customModel(t *testing.T, s *Server, name, key string) (arn string) {
	t.Helper()
	arn, _ = createCustom(t, s, name, key).members(t, http.StatusAccepted)["modelArn"].(string)
	if got := until(t, s, customPath+url.PathEscape(arn), "modelStatus", "Creating"); got["modelStatus"] != "Active" {
		t.Fatal(got)
	}
	return arn
}

func createDeployment(t *testing.T, s *Server, name, model string) answer {
	t.Helper()
	return post(t, s, deploymentsPath, `{"modelDeploymentName":"`+name+`","modelArn":"`+model+`"}`)
}

func deploy(t *testing.T, s *Server, model string) (arn string) {
	t.Helper()
	arn, _ = createDeployment(t, s, "live", model).members(t, http.StatusAccepted)["customModelDeploymentArn"].(string)
	if got := until(t, s, deploymentsPath+"/live", "status", "Creating"); got["status"] != "Active" {
		t.Fatal(got)
	}
	return arn
}

// A fine-tuned model from its weights to a call by a deployment, to another model behind it, and to its end.
func TestCustomModelsOnDemand(t *testing.T) {
	c := testConfig(t)
	artifacts(t, &c)
	s := run(t, c)
	one := customModel(t, s, "support", "lora")
	if !strings.HasPrefix(one, here+"custom-model/"+novaLite+"/") {
		t.Error(one)
	}
	two := customModel(t, s, "support-2", "lora2")
	got := post(t, s, customPath+"support", "", method("GET")).members(t, http.StatusOK)
	if got["modelArn"] != one || got["baseModelArn"] != foundation+novaLite || got["customizationType"] != "FINE_TUNING" {
		t.Error(got)
	}
	list := post(t, s, "/custom-models?sortOrder=Ascending&baseModelArnEquals="+url.QueryEscape(foundation+novaLite), "", method("GET"))
	if i, j := strings.Index(list.body, one), strings.Index(list.body, two); i < 0 || j < i {
		t.Error(list.body)
	}

	// The model itself is no way to call it.
	if a := post(t, s, "/model/"+url.PathEscape(one)+"/converse", hiConverse); a.header.Get("X-Amzn-Errortype") != "ValidationException" || !strings.Contains(a.body, "on-demand throughput") {
		t.Errorf("%+v", a)
	}
	dep := deploy(t, s, one)
	for _, name := range []string{dep, url.PathEscape(dep)} {
		a := post(t, s, "/model/"+name+"/converse", hiConverse)
		if a.status != http.StatusOK || a.header.Get("X-Forebay-Model-Served") != one || a.header.Get("X-Forebay-Simulated") != "true" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	nova := `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":5}}`
	if a := post(t, s, "/model/"+url.PathEscape(dep)+"/invoke", nova); a.status != http.StatusOK || !strings.Contains(a.body, `"output"`) {
		t.Errorf("a body of the base's family: %+v", a)
	}
	if rows := usage(t, s, "model", "asked"); len(rows) != 2 {
		t.Errorf("%+v", rows)
	}
	for _, row := range usage(t, s, "model") {
		if row.Group[0] == one && (row.Requests != 3 || row.Unpriced != 3) {
			t.Errorf("%+v", row)
		}
	}

	// What is used stays.
	if a := post(t, s, customPath+url.PathEscape(one), "", method("DELETE")); a.header.Get("X-Amzn-Errortype") != "ConflictException" {
		t.Errorf("%+v", a)
	}
	for i := range 21 { // ends with the second
		next := []string{two, one}[i%2]
		if a := post(t, s, deploymentsPath+"/live", `{"modelArn":"`+next+`"}`, func(r *http.Request) { r.Method = "PATCH" }); a.status != http.StatusAccepted {
			t.Fatalf("%+v", a)
		}
		for deadline := time.Now().Add(20 * time.Second); ; {
			got := post(t, s, deploymentsPath+"/live", "", method("GET")).members(t, http.StatusOK)
			if details, _ := got["updateDetails"].(map[string]any); details["updateStatus"] == "UpdateCompleted" && got["modelArn"] == next {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(got)
			}
		}
		if a := post(t, s, "/model/"+url.PathEscape(dep)+"/converse", hiConverse); a.header.Get("X-Forebay-Model-Served") != next {
			t.Fatalf("a deployment that is shown as changed calls another model: %+v", a)
		}
	}
	for _, path := range []string{customPath + "support", deploymentsPath + "/live", customPath + "support-2"} {
		if a := post(t, s, path, "", method("DELETE")); a.status != http.StatusOK {
			t.Errorf("%s: %+v", path, a)
		}
	}
	if a := post(t, s, "/model/"+url.PathEscape(dep)+"/converse", hiConverse); a.status != http.StatusNotFound {
		t.Errorf("%+v", a)
	}
	if len(s.live.Load().variants) != 0 {
		t.Errorf("%v are still served", s.live.Load().variants)
	}
}

func createImport(t *testing.T, s *Server, job, name, uri string, more ...string) answer {
	t.Helper()
	return post(t, s, importJobs, `{"jobName":"`+job+`","importedModelName":"`+name+`","roleArn":"arn:aws:iam::000000000000:role/x","modelDataSource":{"s3DataSource":{"s3Uri":"`+uri+`"}}`+strings.Join(more, "")+`}`)
}

func TestImports(t *testing.T) {
	c := testConfig(t)
	artifacts(t, &c)
	s := run(t, c)
	file := "file://" + filepath.ToSlash(filepath.Join(c.DataDir, "objects", "models", "gguf"))
	for i, x := range []struct{ uri, architecture, invoke, member string }{
		{"s3://models/llama/", "LlamaForCausalLM", `{"prompt":"hi","max_gen_len":5}`, `"generation"`},
		{file, "llama", `{"prompt":"hi","max_gen_len":5}`, `"generation"`},
	} {
		name := "m" + strconv.Itoa(i)
		job, _ := createImport(t, s, "job"+name, name, x.uri, `,"importedModelTags":[{"key":"a","value":"b"}],"vpcConfig":{"subnetIds":["s-1"],"securityGroupIds":["g-1"]}`).members(t, http.StatusCreated)["jobArn"].(string)
		got := until(t, s, importJobs+"/"+url.PathEscape(job), "status", "InProgress")
		arn, _ := got["importedModelArn"].(string)
		if got["status"] != "Completed" || got["endTime"] == nil || !strings.HasPrefix(arn, here+"imported-model/") {
			t.Fatal(got)
		}
		model := post(t, s, importedPath+name, "", method("GET")).members(t, http.StatusOK)
		if model["modelArn"] != arn || model["modelArchitecture"] != x.architecture || model["instructSupported"] != true || model["jobName"] != "job"+name {
			t.Error(model)
		}
		if a := post(t, s, "/foundation-models/"+url.PathEscape(arn), "", method("GET")); a.status != http.StatusNotFound {
			t.Errorf("it is a foundation model: %+v", a)
		}
		if a := post(t, s, "/listTagsForResource", `{"resourceARN":"`+arn+`"}`); a.body != `{"tags":[{"key":"a","value":"b"}]}` {
			t.Errorf("%+v", a)
		}
		if a := post(t, s, "/model/"+arn+"/converse", hiConverse); a.status != http.StatusOK || a.header.Get("X-Forebay-Simulated") != "true" {
			t.Errorf("%+v", a)
		}
		if a := post(t, s, "/model/"+url.PathEscape(arn)+"/invoke", x.invoke); a.status != http.StatusOK || !strings.Contains(a.body, x.member) {
			t.Errorf("%+v", a)
		}
	}
	if got := post(t, s, "/imported-models?nameContains=M1", "", method("GET")); strings.Count(got.body, `"modelArn"`) != 1 {
		t.Error(got.body)
	}
	if got := post(t, s, importJobs+"?statusEquals=Completed", "", method("GET")); strings.Count(got.body, `"jobArn"`) != 2 {
		t.Error(got.body)
	}

	// A job that fails says why and leaves the name free.
	for key, why := range map[string]string{"odd": "characters that can be printed", "bert": "generates no text", "none": "Could not find the location", "lora": "is an adapter"} {
		createImport(t, s, "bad-"+key, "bad", "s3://models/"+key).members(t, http.StatusCreated)
		got := until(t, s, importJobs+"/bad-"+key, "status", "InProgress")
		if text, _ := got["failureMessage"].(string); got["status"] != "Failed" || !strings.Contains(text, why) || got["importedModelArn"] != nil {
			t.Error(got)
		}
	}
	if a := post(t, s, importedPath+"m0", "", method("DELETE")); a.status != http.StatusOK {
		t.Errorf("%+v", a)
	}
	if a := post(t, s, importedPath+"m0", "", method("GET")); a.status != http.StatusNotFound {
		t.Errorf("%+v", a)
	}
}

// What was brought is a lane, too, by its ARN. It stays as long as a route has it, and is passed over while it is not served.
func TestLanesOfWhatWasBrought(t *testing.T) {
	c := testConfig(t)
	artifacts(t, &c)
	nobody := here + "imported-model/abcdefghijkl"
	c.Routes = map[string]config.Route{"early": {Lanes: []config.Lane{{Model: nobody, Failover: true}, {Model: novaLite}}}}
	s := run(t, c)
	createImport(t, s, "job", "mine", "s3://models/llama/").members(t, http.StatusCreated)
	imported, _ := until(t, s, importJobs+"/job", "status", "InProgress")["importedModelArn"].(string)
	tuned := customModel(t, s, "tuned", "lora")
	lanes := func(first string) string {
		return `{"lanes":[{"model":"` + first + `","failover":true},{"model":"` + novaLite + `"}]}`
	}
	for name, x := range map[string]struct{ model, lane, served string }{
		"by-import": {imported, imported[strings.LastIndex(imported, "/")+1:], imported},
		"by-tuned":  {tuned, tuned[strings.LastIndex(tuned, "/")+1:], tuned},
		"early":     {"", novaLite, novaLite},
	} {
		if x.model != "" {
			if got := ask(t, s, http.MethodPost, "routes/"+name, lanes(x.model)); got.status != 200 {
				t.Fatalf("%s: %d %s", name, got.status, got.body)
			}
		}
		got := post(t, s, chatPath, `{"model":"`+name+`","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`)
		if got.status != 200 || got.header.Get("X-Forebay-Lane") != x.lane || got.header.Get("X-Forebay-Model-Served") != x.served {
			t.Errorf("%s: %d, lane %q, %s", name, got.status, got.header.Get("X-Forebay-Lane"), got.body)
		}
	}
	if got := ask(t, s, http.MethodPost, "routes/late", lanes(nobody)); got.status != 400 || !strings.Contains(got.body, "nobody has brought a model") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := ask(t, s, http.MethodGet, "routes/early/test", ""); !strings.Contains(got.body, "the model that was brought is not served") {
		t.Errorf("%s", got.body)
	}
	for path, route := range map[string]string{importedPath + "mine": "by-import", customPath + "tuned": "by-tuned"} {
		if a := post(t, s, path, "", method("DELETE")); a.status != http.StatusConflict && a.status != http.StatusBadRequest || !strings.Contains(a.body, "the route "+route) {
			t.Errorf("%+v", a)
		}
		if got := ask(t, s, http.MethodDelete, "routes/"+route, ""); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
		if a := post(t, s, path, "", method("DELETE")); a.status != http.StatusOK {
			t.Errorf("%+v", a)
		}
	}
}

// A lane of a deployment follows it to another model, and is passed over when an earlier lane is of that model.
func TestLanesOfDeployments(t *testing.T) {
	c := testConfig(t)
	artifacts(t, &c)
	s := run(t, c)
	first, second := customModel(t, s, "first", "lora"), customModel(t, s, "second", "lora")
	deployment := deploy(t, s, first)
	lanes := `{"lanes":[{"model":"` + second + `","engines":[],"failover":true},{"name":"live","model":"` + deployment + `","failover":true},{"model":"` + novaLite + `"}]}`
	for name, body := range map[string]string{"alone": `{"lanes":[{"model":"` + deployment + `"}]}`, "behind": lanes} {
		if got := ask(t, s, http.MethodPost, "routes/"+name, body); got.status != 200 {
			t.Fatalf("%s: %d %s", name, got.status, got.body)
		}
	}
	served := func(route, model string) {
		t.Helper()
		got := post(t, s, chatPath, `{"model":"`+route+`","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`)
		if got.status != 200 || got.header.Get("X-Forebay-Model-Served") != model {
			t.Errorf("%s: %d, %q, %s", route, got.status, got.header.Get("X-Forebay-Model-Served"), got.body)
		}
	}
	served("alone", first)
	served("behind", second)
	if got := ask(t, s, http.MethodGet, "routes/behind/test", ""); !strings.Contains(got.body, first) {
		t.Errorf("%s", got.body)
	}
	post(t, s, deploymentsPath+"/live", `{"modelArn":"`+second+`"}`, func(r *http.Request) { r.Method = http.MethodPatch }).members(t, http.StatusAccepted)
	for deadline := time.Now().Add(20 * time.Second); ; {
		if got := post(t, s, deploymentsPath+"/live", "", method("GET")); strings.Contains(got.body, "UpdateCompleted") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%+v", got)
		}
		<-time.After(time.Millisecond)
	}
	served("alone", second)
	served("behind", second)
	if got := ask(t, s, http.MethodGet, "routes/behind/test", ""); strings.Contains(got.body, first) || !strings.Contains(got.body, laneClosed) {
		t.Errorf("%s", got.body)
	}
	if a := post(t, s, deploymentsPath+"/live", "", method("DELETE")); a.status != http.StatusBadRequest || !strings.Contains(a.body, "the route ") {
		t.Errorf("%+v", a)
	}
	for _, route := range []string{"alone", "behind"} {
		if got := ask(t, s, http.MethodDelete, "routes/"+route, ""); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if a := post(t, s, deploymentsPath+"/live", "", method("DELETE")); a.status != http.StatusOK {
		t.Errorf("%+v", a)
	}
	if got := ask(t, s, http.MethodPost, "routes/late", `{"lanes":[{"model":"`+deployment+`"}]}`); got.status != 400 || !strings.Contains(got.body, "made a deployment") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A key whose policy lists no actions makes what is its own, and neither changes nor ends what others call.
func TestPlainKeysChangeNoOthersModels(t *testing.T) {
	c := testConfig(t)
	artifacts(t, &c)
	s := run(t, c)
	arn := customModel(t, s, "taken", "lora")
	deploy(t, s, arn)
	createImport(t, s, "job", "imported", "s3://models/llama", "").members(t, http.StatusCreated)
	until(t, s, importJobs+"/job", "status", "InProgress")
	profile, _ := createProfile(t, s, "one", foundation+haiku, "").members(t, http.StatusCreated)["inferenceProfileArn"].(string)
	plain := as(t, s, makeKey(t, s, "plain", identity.KeyBearer, identity.Policy{}, time.Time{}), "")
	post(t, s, profiles, `{"inferenceProfileName":"two","modelSource":{"copyFrom":"`+foundation+haiku+`"}}`, plain).members(t, http.StatusCreated)
	for _, x := range []struct{ method, path, body string }{
		{http.MethodPatch, deploymentsPath + "/live", `{"modelArn":"` + arn + `"}`},
		{http.MethodDelete, deploymentsPath + "/live", ""},
		{http.MethodDelete, customPath + "taken", ""},
		{http.MethodDelete, importedPath + "imported", ""},
		{http.MethodDelete, profiles + "/" + url.PathEscape(profile), ""},
		{http.MethodPost, "/tagResource", `{"resourceARN":"` + profile + `","tags":[{"key":"team","value":"other"}]}`},
		{http.MethodPost, "/untagResource", `{"resourceARN":"` + profile + `","tagKeys":["team"]}`},
	} {
		if a := post(t, s, x.path, x.body, plain, func(r *http.Request) { r.Method = x.method }); a.status != http.StatusForbidden {
			t.Errorf("%s %s: %d %s", x.method, x.path, a.status, a.body)
		}
	}
}

// Imports that have ended, well or not, do not fill the store: the oldest of very many make room.
func TestEndedImportsMakeRoom(t *testing.T) {
	s := run(t, testConfig(t))
	err := s.store.Update(t.Context(), func(tx *store.Tx) error {
		for i := range 1000 {
			at := time.Unix(int64(i), 0)
			r := store.Resource{
				ARN: here + "model-import-job/" + fmt.Sprintf("old%09d", i), Kind: resource.ImportJob, Account: s.cfg.Account.ID, Name: fmt.Sprint("old", i),
				Body: []byte(`{"status":"Failed"}`), Created: at, Updated: at,
			}
			if err := tx.CreateResource(t.Context(), &r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	createImport(t, s, "job", "m", "s3://models/nothing", "").members(t, http.StatusCreated)
	for name, want := range map[string]int{"old0": http.StatusNotFound, "old1": http.StatusOK, "old999": http.StatusOK, "job": http.StatusOK} {
		if a := post(t, s, importJobs+"/"+name, "", method("GET")); a.status != want {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestCustomModelBadInput(t *testing.T) {
	c := testConfig(t)
	c.Models["declared"] = config.Model{Base: novaLite}
	artifacts(t, &c)
	s := run(t, c)
	arn := customModel(t, s, "taken", "lora")
	other := customModel(t, s, "of-haiku", "haiku-lora")
	deploy(t, s, arn)
	job := createImport(t, s, "job", "imported", "s3://models/llama", `,"clientRequestToken":"t"`).members(t, http.StatusCreated)
	until(t, s, importJobs+"/job", "status", "InProgress")
	patch := func(model string) answer {
		return post(t, s, deploymentsPath+"/live", `{"modelArn":"`+model+`"}`, func(r *http.Request) { r.Method = "PATCH" })
	}
	const none = here + "custom-model/" + novaLite + "/abcdefghij12"
	for name, x := range map[string]struct {
		a    answer
		want string
	}{
		"a name that is taken":               {createCustom(t, s, "Taken", "lora"), "ConflictException"},
		"a name that is declared":            {createCustom(t, s, "declared", "lora"), "ConflictException"},
		"a location that is not there":       {createCustom(t, s, "x", "nothing"), "ValidationException"},
		"a location of no bucket":            {post(t, s, "/custom-models/create-custom-model", `{"modelName":"x","modelSourceConfig":{"s3DataSource":{"s3Uri":"s3://../x"}}}`), "ValidationException"},
		"a base of nobody":                   {createCustom(t, s, "x", "foreign"), "ValidationException"},
		"no base":                            {createCustom(t, s, "x", "llama"), "ValidationException"},
		"a name with bad characters":         {createCustom(t, s, "a b", "lora"), "ValidationException"},
		"no source":                          {post(t, s, "/custom-models/create-custom-model", `{"modelName":"x"}`), "ValidationException"},
		"to get what is not there":           {post(t, s, customPath+"nothing", "", method("GET")), "ResourceNotFoundException"},
		"to get a model of the catalogue":    {post(t, s, customPath+url.PathEscape(foundation+haiku), "", method("GET")), "ResourceNotFoundException"},
		"to delete what is not there":        {post(t, s, customPath+url.PathEscape(none), "", method("DELETE")), "ResourceNotFoundException"},
		"to delete what is declared":         {post(t, s, customPath+"declared", "", method("DELETE")), "ConflictException"},
		"to delete what is deployed":         {post(t, s, customPath+"taken", "", method("DELETE")), "ConflictException"},
		"a deployment's name that is taken":  {createDeployment(t, s, "live", arn), "ValidationException"},
		"a deployment of nothing":            {createDeployment(t, s, "x", none), "ResourceNotFoundException"},
		"a deployment of a foundation model": {createDeployment(t, s, "x", foundation+haiku), "ResourceNotFoundException"},
		"a deployment of another account's":  {createDeployment(t, s, "x", strings.Replace(arn, "000000000000", "111111111111", 1)), "ResourceNotFoundException"},
		"a swap to a foreign base":           {patch(other), "ValidationException"},
		"a swap to nothing":                  {patch(none), "ResourceNotFoundException"},
		"to get no deployment":               {post(t, s, deploymentsPath+"/nothing", "", method("GET")), "ResourceNotFoundException"},
		"to delete no deployment":            {post(t, s, deploymentsPath+"/nothing", "", method("DELETE")), "ResourceNotFoundException"},
		"an imported name that is taken":     {createImport(t, s, "job2", "imported", "s3://models/llama"), "ConflictException"},
		"a job's name that is taken":         {createImport(t, s, "job", "imported2", "s3://models/llama"), "ConflictException"},
		"a token with another body":          {createImport(t, s, "job3", "imported3", "s3://models/llama", `,"clientRequestToken":"t"`), "ConflictException"},
		"an import without a role":           {post(t, s, importJobs, `{"jobName":"j","importedModelName":"x","modelDataSource":{"s3DataSource":{"s3Uri":"s3://models/llama"}}}`), "ValidationException"},
		"an import from the web":             {createImport(t, s, "j", "x", "https://models/llama"), "ValidationException"},
		"to get no job":                      {post(t, s, importJobs+"/nothing", "", method("GET")), "ResourceNotFoundException"},
		"a variant as a foundation model":    {post(t, s, "/foundation-models/declared", "", method("GET")), "ResourceNotFoundException"},
		"to get no imported model":           {post(t, s, importedPath+"nothing", "", method("GET")), "ResourceNotFoundException"},
		"to call no deployment":              {post(t, s, "/model/"+url.PathEscape(here)+"custom-model-deployment%2Fabcdefghij12/converse", hiConverse), "ResourceNotFoundException"},
		"to call no imported model":          {post(t, s, "/model/"+url.PathEscape(here)+"imported-model%2Fabcdefghij12/converse", hiConverse), "ResourceNotFoundException"},
	} {
		if got := x.a.header.Get("X-Amzn-Errortype"); got != x.want {
			t.Errorf("%s: %d %s, want %s", name, x.a.status, x.a.body, x.want)
		}
	}
	again := createImport(t, s, "job", "imported", "s3://models/llama", `,"clientRequestToken":"t"`).members(t, http.StatusCreated)
	if again["jobArn"] != job["jobArn"] {
		t.Errorf("the same token made %v beside %v", again, job)
	}
	// Nothing was half-created.
	for path, want := range map[string]int{"/custom-models": 3, deploymentsPath: 1, importJobs: 1, "/imported-models": 1} {
		got := post(t, s, path, "", method("GET"))
		if n := strings.Count(got.body, `"modelName"`) + strings.Count(got.body, "DeploymentName") + strings.Count(got.body, `"jobName"`); n != want {
			t.Errorf("%s has %d: %s", path, n, got.body)
		}
	}

	// Weights that are broken fail in the background, and the model says why.
	createCustom(t, s, "broken", "broken").members(t, http.StatusAccepted)
	got := until(t, s, customPath+"broken", "modelStatus", "Creating")
	if text, _ := got["failureMessage"].(string); got["modelStatus"] != "Failed" || !strings.Contains(text, "no whole safetensors file") {
		t.Error(got)
	}
	broken, _ := got["modelArn"].(string)
	if a := createDeployment(t, s, "x", broken); a.header.Get("X-Amzn-Errortype") != "ValidationException" {
		t.Errorf("%+v", a)
	}
}

// A variant of forebay.yaml is called by its name, is listed beside those that callers made, and can be deployed. What
// callers made is served by the engine that the operator binds to its ARN.
func TestDeclaredVariants(t *testing.T) {
	c := testConfig(t)
	artifacts(t, &c)
	c.Models["support-bot"] = config.Model{Base: novaLite, Engines: []config.Binding{{Engine: "sim", Model: "support-lora"}}, Tags: map[string]string{"team": "search"}}
	s := run(t, c)
	a := post(t, s, "/model/support-bot/invoke", `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`)
	if a.status != http.StatusOK || !strings.Contains(a.body, `"output"`) {
		t.Errorf("%+v", a)
	}
	got := post(t, s, customPath+"support-bot", "", method("GET")).members(t, http.StatusOK)
	arn, _ := got["modelArn"].(string)
	if got["modelStatus"] != "Active" || !strings.HasPrefix(arn, here+"custom-model/"+novaLite+"/") {
		t.Error(got)
	}
	if a := post(t, s, "/listTagsForResource", `{"resourceARN":"`+arn+`"}`); !strings.Contains(a.body, `[{"key":"team","value":"search"}]`) {
		t.Errorf("%+v", a)
	}
	if a := post(t, s, "/tagResource", `{"resourceARN":"`+arn+`","tags":[{"key":"a","value":"b"}]}`); a.status != http.StatusBadRequest || !strings.Contains(a.body, "managed by") {
		t.Errorf("%+v", a)
	}
	dep := deploy(t, s, arn)
	if a := post(t, s, "/model/"+url.PathEscape(dep)+"/converse", hiConverse); a.header.Get("X-Forebay-Model-Served") != "support-bot" {
		t.Errorf("%+v", a)
	}
	if list := post(t, s, "/foundation-models", "", method("GET")); strings.Contains(list.body, "support-bot") {
		t.Error("a fine-tuned model is among the foundation models")
	}

	made := customModel(t, s, "made", "lora")
	body := `{"engines":[{"engine":"sim","model":"made-lora"}],"price":{"input":"1 USD","output":"2 USD"}}`
	if a := post(t, s, "/admin/v1/models/"+url.PathEscape(made), body); a.status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	m := s.live.Load().variants[made]
	if m == nil || m.Price == nil || m.Base != novaLite || m.Family != "nova" {
		t.Errorf("%+v", m)
	}
	if a := post(t, s, "/admin/v1/models/"+url.PathEscape(made+"x"), body); a.status != http.StatusNotFound {
		t.Errorf("a model that is not there: %+v", a)
	}
}

// What a stop interrupts goes on after a start, and what was made is there again.
func TestCustomModelsAfterARestart(t *testing.T) {
	c := testConfig(t)
	artifacts(t, &c)
	var arn, dep string
	t.Run("the first run", func(t *testing.T) {
		s := run(t, c)
		arn = customModel(t, s, "support", "lora")
		dep = deploy(t, s, arn)
	})
	s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	job, err := s.custom.CreateJob(t.Context(), &resource.Creation{Account: c.Account.ID}, &custom.Import{JobName: "j", ModelName: "m", Source: "s3://models/llama"})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	if got := until(t, s, importJobs+"/"+url.PathEscape(job), "status", "InProgress"); got["status"] != "Completed" {
		t.Error(got)
	}
	if a := post(t, s, "/model/"+url.PathEscape(dep)+"/converse", hiConverse); a.status != http.StatusOK || a.header.Get("X-Forebay-Model-Served") != arn {
		t.Errorf("%+v", a)
	}
}

// Of a hundred that make a model of one name at once, one does.
func TestHundredCustomModelsAtOnce(t *testing.T) {
	c := testConfig(t)
	artifacts(t, &c)
	s := run(t, c)
	var made, jobs atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if createCustom(t, s, "one", "lora").status == http.StatusAccepted {
				made.Add(1)
			}
			if createImport(t, s, fmt.Sprint("job", i), "one", "s3://models/llama").status == http.StatusCreated {
				jobs.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || jobs.Load() != 1 {
		t.Errorf("%d models and %d imports of 100", made.Load(), jobs.Load())
	}
}
