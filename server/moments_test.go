package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"forebay/config"
	"forebay/provision"
	"forebay/store"
)

// stored makes a change that is stored and not yet in force, as between the two steps of every change.
func stored(t *testing.T, s *Server, change func(*store.Tx) error) {
	t.Helper()
	if err := s.store.Update(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

// storedRoute is a route that is stored and not yet in force.
func storedRoute(t *testing.T, s *Server, name, body string) {
	t.Helper()
	stored(t, s, func(tx *store.Tx) error {
		return tx.CreateObject(t.Context(), &store.Object{Kind: config.KindRoute, Name: name, Body: []byte(body), Created: time.Now(), Updated: time.Now()})
	})
}

// A route is not made over what has been deleted, and what a route names is not deleted, although neither is in force yet.
func TestRoutesMeetDeletions(t *testing.T) {
	c := testConfig(t)
	artifacts(t, &c)
	s := run(t, c)
	remove := func(arn string) {
		t.Helper()
		stored(t, s, func(tx *store.Tx) error { return tx.DeleteResource(t.Context(), arn) })
	}
	lanes := func(lane string) string {
		return `{"lanes":[{` + lane + `,"failover":true},{"model":"` + novaLite + `"}]}`
	}
	one := buy(t, s, `{"provisionedModelName":"one","modelId":"`+haiku+`","modelUnits":1}`)
	two := buy(t, s, `{"provisionedModelName":"two","modelId":"`+haiku+`","modelUnits":1}`)
	first, second := customModel(t, s, "first", "lora"), customModel(t, s, "second", "lora2")

	storedRoute(t, s, "by-name", lanes(`"provisioned":"TWO"`))
	storedRoute(t, s, "by-arn", lanes(`"provisioned":"`+one+`"`))
	storedRoute(t, s, "by-model", lanes(`"model":"`+second+`"`))
	for path, route := range map[string]string{throughputPath + "/two": "by-name", throughputPath + "/" + inPath(one): "by-arn", customPath + "second": "by-model"} {
		if a := post(t, s, path, "", method(http.MethodDelete)); a.header.Get("X-Amzn-Errortype") != "ConflictException" || !strings.Contains(a.body, "the route "+route) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := post(t, s, throughputPath+"/two", `{"desiredProvisionedModelName":"three"}`, by(http.MethodPatch)); a.status != http.StatusBadRequest || !strings.Contains(a.body, "by-name") {
		t.Errorf("renamed: %d %s", a.status, a.body)
	}

	remove(one)
	remove(two)
	remove(first)
	for name, lane := range map[string]string{"the ARN": `"provisioned":"` + one + `"`, "the name": `"provisioned":"two"`, "the model": `"model":"` + first + `"`} {
		if got := ask(t, s, http.MethodPost, "routes/late", lanes(lane)); got.status != http.StatusBadRequest {
			t.Errorf("a route by %s of what was deleted: %d %s", name, got.status, got.body)
		}
	}
}

// A model is not bought when it has been deleted, and not deleted when it has been bought, although neither is in force yet.
func TestPurchasesMeetDeletionsOfModels(t *testing.T) {
	c := testConfig(t)
	artifacts(t, &c)
	c.Models[novaLite] = config.Model{Engines: []config.Binding{{Engine: "sim"}}, Unit: &config.Unit{Input: 10_000, Output: 1_000}}
	s := run(t, c)
	const made = `{"engines":[{"engine":"sim"}],"unit":{"input":10000,"output":1000}}`
	for _, name := range []string{"made", "gone"} {
		if got := ask(t, s, http.MethodPost, "models/"+name, made); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	first, second := customModel(t, s, "first", "lora"), customModel(t, s, "second", "lora2")
	quiet := provision.New(provision.Options{Store: resourceStore{s}, Models: unitOffers{s}, Pools: pools{s}, Region: "us-east-1"}) // which tells nobody
	for name, model := range map[string]string{"of-first": first, "of-made": "made"} {
		if _, err := quiet.Create(t.Context(), &provision.Order{Account: c.Account.ID, Name: name, Model: model, Units: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if a := post(t, s, customPath+"first", "", method(http.MethodDelete)); a.header.Get("X-Amzn-Errortype") != "ConflictException" || !strings.Contains(a.body, "of-first") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := ask(t, s, http.MethodDelete, "models/made", ""); got.status != http.StatusConflict || !strings.Contains(got.body, "of-made") {
		t.Errorf("%d %s", got.status, got.body)
	}

	stored(t, s, func(tx *store.Tx) error {
		if err := tx.DeleteResource(t.Context(), second); err != nil {
			return err
		}
		return tx.DeleteObject(t.Context(), config.KindModel, "", "gone")
	})
	for _, model := range []string{second, "gone"} {
		if a := post(t, s, throughputPath, `{"provisionedModelName":"late","modelId":"`+model+`","modelUnits":1}`); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", model, a.status, a.body)
		}
	}

	s.book.Changed()
	for _, name := range []string{"of-first", "of-made"} {
		if err := s.book.Delete(t.Context(), c.Account.ID, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := ask(t, s, http.MethodDelete, "models/made", ""); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// An order that failed keeps nothing: its model can be deleted.
func TestAFailedPurchaseLeavesItsModelFree(t *testing.T) {
	c := slow(testConfig(t), 8)
	artifacts(t, &c)
	c.Models[novaLite] = config.Model{Engines: []config.Binding{{Engine: "sim"}}, Unit: &config.Unit{Input: 10_000, Output: 1_000}}
	s := run(t, c)
	arn := customModel(t, s, "mine", "lora")
	if x := throughput(t, s, buy(t, s, `{"provisionedModelName":"huge","modelId":"`+arn+`","modelUnits":2147483647}`)); x["status"] != "Failed" {
		t.Fatal(x)
	}
	if a := post(t, s, customPath+url.PathEscape(arn), "", method(http.MethodDelete)); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	if x := throughput(t, s, "huge"); x["modelArn"] != arn {
		t.Error(x)
	}
}

// A route is no model: nothing is bought of it.
func TestRoutesAreNotSold(t *testing.T) {
	c := testConfig(t)
	c.Routes = map[string]config.Route{"way": {Lanes: []config.Lane{{Model: haiku, Failover: true}, {Model: novaLite}}}}
	s := run(t, c)
	a := post(t, s, throughputPath, `{"provisionedModelName":"a","modelId":"way","modelUnits":1}`)
	if a.status != http.StatusBadRequest || a.header.Get("X-Amzn-Errortype") != "ValidationException" || !strings.Contains(a.header.Get("X-Forebay-Reason"), "route") {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
}

// An account that has bought something stays as long as it owes for it.
func TestAccountsThatHaveBoughtStay(t *testing.T) {
	const account = "111111111111"
	s := run(t, testConfig(t))
	for _, x := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPost, "accounts/" + account, `{}`, 200},
		{http.MethodPost, "provisioned/chat?account=" + account, `{"model":"` + haiku + `","units":1}`, 200},
		{http.MethodDelete, "accounts/" + account, "", 409},
		{http.MethodDelete, "provisioned/chat?account=" + account, "", 200},
		{http.MethodDelete, "accounts/" + account, "", 200},
	} {
		if got := ask(t, s, x.method, x.path, x.body); got.status != x.status {
			t.Errorf("%s %s: %d %s", x.method, x.path, got.status, got.body)
		}
	}
}
