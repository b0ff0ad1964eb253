package server

import (
	"net/http"
	"strings"
	"testing"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
)

// Each API takes the tiers that its service knows, and says in its own place which has served.
func TestTiersInEveryAPI(t *testing.T) {
	s := run(t, testConfig(t))
	messages := `"messages":[{"role":"user","content":"hi"}],"max_tokens":9`
	chat := func(more string) string { return `{"model":"` + haiku + `",` + messages + more + `}` }
	converse := func(more string) string {
		return `{"messages":[{"role":"user","content":[{"text":"hi"}]}]` + more + `}`
	}
	header := func(tier string) func(*http.Request) { return set("X-Amzn-Bedrock-Service-Tier", tier) }
	none := func(*http.Request) {}
	for _, x := range []struct {
		name, path, body string
		change           func(*http.Request)
		status           int
		want, never      string // in the body
		told             string // in the header of Bedrock
		row              string // the tier that served
	}{
		{"chat", chatPath, chat(""), none, 200, "", "service_tier", "", "default"},
		{"chat auto", chatPath, chat(`,"service_tier":"auto"`), none, 200, `"service_tier":"default"`, "", "", "default"},
		{"chat flex", chatPath, chat(`,"service_tier":"flex"`), none, 200, `"service_tier":"flex"`, "", "", "flex"},
		{"chat priority stream", chatPath, chat(`,"service_tier":"priority","stream":true`), none, 200, `"service_tier":"priority","choices":[{`, "", "", "priority"},
		{"chat null", chatPath, chat(`,"service_tier":null`), none, 200, "", "service_tier", "", "default"},
		{"chat gold", chatPath, chat(`,"service_tier":"gold"`), none, 400, `Invalid value: 'gold'. Supported values are: 'auto', 'default', 'flex', and 'priority'.","type":"invalid_request_error","param":"service_tier","code":"invalid_value"`, "", "", ""},
		{"chat batch", chatPath, chat(`,"service_tier":"batch"`), none, 400, `'batch'`, "", "", ""},
		{"chat reserved", chatPath, chat(`,"service_tier":"reserved"`), none, 400, `'reserved'`, "", "", ""},
		{"messages", messagesPath, chat(""), none, 200, "", "service_tier", "", "default"},
		{"messages auto", messagesPath, chat(`,"service_tier":"auto"`), none, 200, `"service_tier":"standard"`, "", "", "default"},
		{"messages standard only", messagesPath, chat(`,"service_tier":"standard_only"`), none, 200, `"service_tier":"standard"`, "", "", "default"},
		{"messages flex stream", messagesPath, chat(`,"service_tier":"flex","stream":true`), none, 200, `"service_tier":"flex"`, "", "", "flex"},
		{"messages gold", messagesPath, chat(`,"service_tier":"gold"`), none, 400, `service_tier: Input should be 'auto' or 'standard_only'`, "", "", ""},
		{"converse", conversePath, converse(""), none, 200, "", "serviceTier", "", "default"},
		{"converse priority", conversePath, converse(`,"serviceTier":{"type":"priority"}`), none, 200, `"serviceTier":{"type":"priority"}`, "", "", "priority"},
		{"converse flex stream", conversePath + "-stream", converse(`,"serviceTier":{"type":"flex"}`), none, 200, `"serviceTier":{"type":"flex"}`, "", "", "flex"},
		{"converse reserved", conversePath, converse(`,"serviceTier":{"type":"reserved"}`), none, 200, `"serviceTier":{"type":"default"}`, "", "", "default"},
		{"converse gold", conversePath, converse(`,"serviceTier":{"type":"gold"}`), none, 400, "enum value set", "", "", ""},
		{"invoke", invokePath, viaInvoke.body(hi), none, 200, "", "service_tier", "", "default"},
		{"invoke priority", invokePath, viaInvoke.body(hi), header("priority"), 200, "", "service_tier", "priority", "priority"},
		{"invoke reserved", invokePath, viaInvoke.body(hi), header("reserved"), 200, "", "", "default", "default"},
		{"invoke flex stream", invokePath + "-with-response-stream", viaInvoke.body(hi), header("flex"), 200, "", "", "flex", "flex"},
		{"invoke gold", invokePath, viaInvoke.body(hi), header("gold"), 400, "enum value set", "", "", ""},
	} {
		got := post(t, s, x.path, x.body, x.change)
		if got.status != x.status || !strings.Contains(got.body, x.want) || x.never != "" && strings.Contains(got.body, x.never) || got.header.Get("X-Amzn-Bedrock-Service-Tier") != x.told {
			t.Errorf("%s: %d, header %q, %s; want %d with %s", x.name, got.status, got.header.Get("X-Amzn-Bedrock-Service-Tier"), got.body, x.status, x.want)
		}
		if x.status != 200 {
			continue
		}
		id := got.header.Get("X-Request-Id")
		if id == "" {
			id = got.header.Get("X-Amzn-Requestid")
		}
		if e, err := s.ledger.Explain(t.Context(), id); err != nil || e.Tier != x.row {
			t.Errorf("%s: the ledger says %+v, %v", x.name, e, err)
		}
	}
}

// An answer that passes through from an engine that names no tier says which has served to who named one, and is the engine's own to others.
func TestTiersOfAnswersThatPassThrough(t *testing.T) {
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	c := testConfig(t)
	c.Engines["up"] = config.Engine{Type: "openai", URL: up.URL + "/v1"}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "up"}}}
	s := run(t, c)
	for _, x := range []struct{ more, want, never string }{
		{"", `"object":"chat.completion"`, "service_tier"},
		{`,"service_tier":"auto"`, `"service_tier":"default"`, ""},
		{`,"service_tier":"flex"`, `"service_tier":"flex"`, ""},
		{`,"service_tier":"priority","stream":true`, `"service_tier":"priority"`, ""},
		{`,"stream":true`, `"object":"chat.completion.chunk"`, "service_tier"},
	} {
		got := post(t, s, chatPath, `{"model":"`+haiku+`","messages":[{"role":"user","content":"hi"}],"max_tokens":9`+x.more+`}`)
		if got.status != 200 || !strings.Contains(got.body, x.want) || x.never != "" && strings.Contains(got.body, x.never) {
			t.Errorf("%s: %d %s", x.more, got.status, got.body)
		}
		if x.never == "" && strings.Count(got.body, "service_tier") != strings.Count(got.body, `"model":`) {
			t.Errorf("%s: not in every payload: %s", x.more, got.body)
		}
	}
}

// A tier of ours does not go to an API that does not know it, and goes to one that does.
func TestTiersOfUpstreams(t *testing.T) {
	up := fakeupstream.New(t, fakeupstream.Anthropic)
	c := testConfig(t)
	c.Engines["up"] = config.Engine{Type: "anthropic", URL: up.URL}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "up"}}}
	s := run(t, c)
	for tier, sent := range map[string]bool{"auto": true, "standard_only": true, "flex": false, "priority": false} {
		got := post(t, s, messagesPath, `{"model":"`+haiku+`","max_tokens":9,"service_tier":"`+tier+`","messages":[{"role":"user","content":"hi"}]}`)
		if got.status != 200 {
			t.Errorf("%s: %d %s", tier, got.status, got.body)
		}
		calls := up.Calls()
		if body := string(calls[len(calls)-1].Body); strings.Contains(body, "service_tier") != sent {
			t.Errorf("%s: sent %s", tier, body)
		}
	}
}
