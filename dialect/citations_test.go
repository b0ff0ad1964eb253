package dialect

import (
	"reflect"
	"strings"
	"testing"

	"forebay/infer"
)

// cited is an answer whose second sentence rests on two places.
func cited() *infer.Result {
	return &infer.Result{Choices: []infer.Choice{{Stop: infer.StopEndTurn, Content: []infer.Block{
		{Text: "Señor, "},
		{Text: "weirs are low.", Citations: []infer.Citation{
			{Document: 0, Title: "Weirs", Unit: infer.CitedChars, Start: 2, End: 17, Text: "A weir is low."},
			{Document: 1, Title: "Dams", Unit: infer.CitedPages, Start: 3, End: 4, Text: "Dams are not."},
		}},
	}}}}
}

// stream writes the result as a stream of canonical events.
func streamed(res *infer.Result) (out []infer.Event) {
	for i, b := range res.Choices[0].Content {
		out = append(out, infer.Event{Kind: infer.EventBlockStart, Index: i}, infer.Event{Kind: infer.EventDelta, Index: i, Text: b.Text})
		for j := range b.Citations {
			out = append(out, infer.Event{Kind: infer.EventDelta, Index: i, Citation: &b.Citations[j]})
		}
		out = append(out, infer.Event{Kind: infer.EventBlockStop, Index: i})
	}
	return append(out, infer.Event{Kind: infer.EventStop, Stop: infer.StopEndTurn})
}

// What one service cites reaches the caller of the other, whole and streamed.
func TestCitationsRoundTrip(t *testing.T) {
	for _, d := range []infer.Dialect{infer.DialectAnthropic, infer.DialectConverse} {
		c := codecs[d]
		body, err := c.EncodeResult(Head{ID: "i"}, cited())
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.DecodeResult(body)
		if err != nil || !reflect.DeepEqual(got.Choices[0].Content, cited().Choices[0].Content) {
			t.Errorf("%s: %s\n%+v %v", d, body, got, err)
		}
		enc, dec := c.NewStreamEncoder(Head{ID: "i"}), c.NewStreamDecoder()
		blocks := map[int]*infer.Block{}
		emit := func(name string, payload []byte) {
			if d == infer.DialectConverse {
				payload = []byte(`{"` + name + `":` + string(payload) + `}`)
				name = ""
			}
			events, err := dec.Decode(name, payload, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range events {
				if ev.Kind != infer.EventDelta {
					continue
				}
				if blocks[ev.Index] == nil {
					blocks[ev.Index] = &infer.Block{}
				}
				blocks[ev.Index].Text += ev.Text
				if ev.Citation != nil {
					blocks[ev.Index].Citations = append(blocks[ev.Index].Citations, *ev.Citation)
				}
			}
		}
		for _, ev := range streamed(cited()) {
			if err := enc.Encode(&ev, emit); err != nil {
				t.Fatal(err)
			}
		}
		enc.Finish(emit)
		var all []infer.Block
		for i := range len(blocks) {
			all = append(all, *blocks[i])
		}
		want := cited().Choices[0].Content
		if d == infer.DialectConverse { // whose neighbouring texts are one: Nova ends a block with each piece
			want = []infer.Block{{Text: want[0].Text + want[1].Text, Citations: want[1].Citations}}
		}
		if !reflect.DeepEqual(all, want) {
			t.Errorf("%s, streamed: %+v", d, all)
		}
	}
}

// Command R cites by characters of its answer and by document.
func TestCitationsOfCommandR(t *testing.T) {
	const want = `"citations":[{"start":7,"end":21,"text":"weirs are low.","document_ids":["doc_0","doc_1"]}]`
	c := codecs[infer.DialectCohereCommand]
	body, err := c.EncodeResult(Head{ID: "i"}, cited())
	if err != nil || !strings.Contains(string(body), want) {
		t.Errorf("%s %v, want %s", body, err, want)
	}
	enc := c.NewStreamEncoder(Head{ID: "i"})
	var all []string
	emit := func(_ string, payload []byte) { all = append(all, string(payload)) }
	for _, ev := range streamed(cited()) {
		if err := enc.Encode(&ev, emit); err != nil {
			t.Fatal(err)
		}
	}
	enc.Finish(emit)
	joined := strings.Join(all, "\n")
	if strings.Count(joined, want) != 2 || !strings.Contains(joined, `{"event_type":"citation-generation"`) || strings.Count(joined, `"text-generation"`) != 2 {
		t.Errorf("streamed:\n%s", joined)
	}
}

// Citations that come back in a conversation are left out, and named; citations that a document
// asks for are written where they can be.
func TestCitationsInRequests(t *testing.T) {
	chat := &infer.Chat{Messages: []infer.Message{user("q"), {Role: infer.RoleAssistant, Content: cited().Choices[0].Content}, user("r")}}
	for _, d := range []infer.Dialect{infer.DialectAnthropic, infer.DialectConverse} {
		body, dropped, err := codecs[d].EncodeChat(chat, EncodeOptions{})
		if err != nil || len(dropped) != 1 || dropped[0] != "citations of earlier turns" || strings.Contains(string(body), "Dams are not") {
			t.Errorf("%s: %s %v %v", d, body, dropped, err)
		}
	}
	c, err := codecs[infer.DialectConverse].DecodeChat([]byte(`{"messages":[{"role":"user","content":[{"text":"q"},
		{"document":{"format":"pdf","name":"n","source":{"bytes":"JVBERg=="},"citations":{"enabled":true}}}]}]}`))
	if err != nil || !c.Messages[0].Content[1].Cite {
		t.Fatalf("%+v %v", c, err)
	}
	for d, want := range map[infer.Dialect]string{infer.DialectAnthropic: `"citations":{"enabled":true}`, infer.DialectConverse: `"citations":{"enabled":true}`, infer.DialectOpenAI: ""} {
		body, dropped, err := codecs[d].EncodeChat(c, EncodeOptions{})
		if err != nil || !strings.Contains(string(body), want) || (len(dropped) == 0) != (want != "") {
			t.Errorf("%s: %s %v %v", d, body, dropped, err)
		}
	}
}
