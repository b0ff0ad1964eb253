package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"forebay/config"
)

// A fine-tuned model is bought by the unit, called by the throughput's ARN, and exchanged for its siblings and for its base,
// and a model of another base is refused.
func TestCustomModelOnProvisionedThroughput(t *testing.T) {
	c := testConfig(t)
	artifacts(t, &c)
	unit := &config.Unit{Input: 10_000, Output: 1_000}
	c.Models[novaLite] = config.Model{Engines: []config.Binding{{Engine: "sim"}}, Unit: unit}
	c.Models["declared"] = config.Model{Base: novaLite, Engines: []config.Binding{{Engine: "sim", Model: "declared-lora"}}}
	s := run(t, c)
	one, two, foreign := customModel(t, s, "one", "lora"), customModel(t, s, "two", "lora2"), customModel(t, s, "foreign", "haiku-lora")
	pt := buy(t, s, `{"provisionedModelName":"support","modelId":"`+one+`","modelUnits":1}`)
	got := until(t, s, throughputPath+"/support", "status", "Creating")
	if got["status"] != "InService" || got["modelArn"] != one || got["foundationModelArn"] != foundation+novaLite {
		t.Fatal(got)
	}
	serves := func(want string) {
		t.Helper()
		for _, name := range []string{pt, url.PathEscape(pt)} {
			a := post(t, s, "/model/"+name+"/converse", hiConverse)
			if a.status != http.StatusOK || a.header.Get("X-Forebay-Model-Served") != want {
				t.Errorf("%+v, want %s", a, want)
			}
		}
	}
	serves(one)

	if a := post(t, s, customPath+url.PathEscape(one), "", method("DELETE")); a.header.Get("X-Amzn-Errortype") != "ConflictException" {
		t.Errorf("deleted while it is bought for: %+v", a)
	}
	declared, _ := post(t, s, customPath+"declared", "", method("GET")).members(t, http.StatusOK)["modelArn"].(string)
	for _, x := range []struct{ model, arn, served string }{
		{two, two, two}, {declared, declared, "declared"}, {one, one, one}, {two, two, two}, {novaLite, foundation + novaLite, novaLite},
	} {
		for name, model := range map[string]string{
			"a foreign base": haiku, "a model of a foreign base": foreign, "a model that is not there": here + "custom-model/" + novaLite + "/abcdefghij12",
		} {
			if a := post(t, s, throughputPath+"/support", `{"desiredModelId":"`+model+`"}`, by(http.MethodPatch)); a.status < 400 || a.status >= 500 || !strings.HasSuffix(a.header.Get("X-Amzn-Errortype"), "Exception") {
				t.Errorf("%s: %+v", name, a)
			}
		}
		if a := post(t, s, throughputPath+"/support", `{"desiredModelId":"`+x.model+`"}`, by(http.MethodPatch)); a.status != http.StatusOK {
			t.Fatalf("%s: %+v", x.model, a)
		}
		for deadline := time.Now().Add(20 * time.Second); ; <-time.After(time.Millisecond) {
			if got := throughput(t, s, "support"); got["status"] == "InService" && got["modelArn"] == x.arn {
				break
			} else if time.Now().After(deadline) {
				t.Fatal(got)
			}
		}
		serves(x.served)
	}
	// From the base there is no way back: the service says so of desiredModelId.
	if a := post(t, s, throughputPath+"/support", `{"desiredModelId":"`+one+`"}`, by(http.MethodPatch)); a.header.Get("X-Amzn-Errortype") != "ValidationException" {
		t.Errorf("back to a custom model: %+v", a)
	}
	if got := throughput(t, s, "support"); got["modelArn"] != foundation+novaLite || got["status"] != "InService" {
		t.Error(got)
	}
	if a := post(t, s, customPath+"one", "", method("DELETE")); a.status != http.StatusOK {
		t.Errorf("deleted when nothing uses it any more: %+v", a)
	}
	for _, row := range usage(t, s, "purchase", "model") {
		if row.Group[0] != pt && row.Requests != row.Refused { // refused are those of the control plane
			t.Errorf("%+v", row)
		}
	}
}
