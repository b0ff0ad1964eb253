package server

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forebay/identity"
	"forebay/meter"

	"github.com/go-json-experiment/json"
)

// method sends a request without a body.
func method(name string) func(*http.Request) {
	return func(r *http.Request) {
		r.Method = name
		r.Body, r.ContentLength = http.NoBody, 0
	}
}

// members reads an answer that must be of a status.
func (a answer) members(t *testing.T, status int) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || a.status != status {
		t.Fatalf("%d, want %d: %s (%v)", a.status, status, a.body, err)
	}
	return out
}

const (
	foundation = "arn:aws:bedrock:us-east-1::foundation-model/"
	profiles   = "/inference-profiles"
	here       = "arn:aws:bedrock:us-east-1:000000000000:"
)

func createProfile(t *testing.T, s *Server, name, from, more string) answer {
	t.Helper()
	return post(t, s, profiles, `{"inferenceProfileName":"`+name+`","modelSource":{"copyFrom":"`+from+`"}`+more+`}`)
}

func TestApplicationProfiles(t *testing.T) {
	c := testConfig(t)
	s := run(t, c)
	made := createProfile(t, s, "search", here+"inference-profile/us."+haiku, `,"description":"of search","tags":[{"key":"team","value":"search"}]`).members(t, http.StatusCreated)
	arn, _ := made["inferenceProfileArn"].(string)
	if !strings.HasPrefix(arn, here+"application-inference-profile/") || made["status"] != "ACTIVE" {
		t.Fatal(made)
	}
	id := arn[strings.LastIndex(arn, "/")+1:]
	for _, name := range []string{arn, url.PathEscape(arn), id} {
		got := post(t, s, profiles+"/"+name, "", method("GET")).members(t, http.StatusOK)
		if got["inferenceProfileArn"] != arn || got["inferenceProfileId"] != id || got["type"] != "APPLICATION" || got["description"] != "of search" ||
			fmt.Sprint(got["models"]) != "[map[modelArn:"+foundation+haiku+"]]" || got["createdAt"] == nil {
			t.Errorf("%s: %v", name, got)
		}
	}

	// Calls by the ARN, raw or escaped, and by the id; the caller's tags beside the profile's, which hold.
	call := func(name, metadata string) answer {
		return post(t, s, "/model/"+name+"/converse", strings.Replace(hiConverse, "{", `{"requestMetadata":{`+metadata+`},`, 1))
	}
	for _, name := range []string{arn, url.PathEscape(arn), id} {
		a := call(name, `"team":"forged","stage":"test"`)
		if a.status != http.StatusOK || a.header.Get("X-Forebay-Model-Served") != haiku {
			t.Fatalf("%s: %+v", name, a)
		}
	}
	if a := call(haiku, `"forebay:inference-profile":"`+id+`"`); a.status != http.StatusBadRequest || !strings.Contains(a.body, "reserved") {
		t.Errorf("a forged profile: %+v", a)
	}
	a := post(t, s, chatPath, `{"model":"`+arn+`","messages":[{"role":"user","content":"hi"}]}`)
	if a.status != http.StatusOK {
		t.Errorf("OpenAI: %+v", a)
	}
	split := map[string]int64{}
	for _, row := range usage(t, s, "profile", "tag:team", "tag:stage", "region") {
		split[strings.Join(row.Group, " ")] = row.Requests
	}
	if split[id+" search test us"] != 3 || split[id+" search  us"] != 1 {
		t.Errorf("%v", split)
	}

	// What it is tagged with later goes on later calls.
	if a := post(t, s, "/tagResource", `{"resourceARN":"`+arn+`","tags":[{"key":"team","value":"find"},{"key":"cost","value":"7"}]}`); a.status != http.StatusOK || a.body != "{}" {
		t.Errorf("%+v", a)
	}
	if a := post(t, s, "/untagResource", `{"resourceARN":"`+arn+`","tagKeys":["cost"]}`); a.status != http.StatusOK {
		t.Errorf("%+v", a)
	}
	if got := post(t, s, "/listTagsForResource", `{"resourceARN":"`+arn+`"}`); got.body != `{"tags":[{"key":"team","value":"find"}]}` {
		t.Errorf("%+v", got)
	}
	call(arn, `"stage":"test"`)
	if rows := usage(t, s, "tag:team"); !slices.ContainsFunc(rows, func(r meter.UsageRow) bool { return r.Group[0] == "find" && r.Requests == 1 }) {
		t.Errorf("%+v", rows)
	}

	if a := post(t, s, profiles+"/"+id, "", method("DELETE")); a.status != http.StatusOK {
		t.Errorf("%+v", a)
	}
	if a := call(arn, `"stage":"test"`); a.status != http.StatusNotFound {
		t.Errorf("a profile that is deleted: %+v", a)
	}
	if a := post(t, s, profiles+"/"+id, "", method("DELETE")); a.status != http.StatusNotFound || a.header.Get("X-Amzn-Errortype") != "ResourceNotFoundException" {
		t.Errorf("deleted twice: %+v", a)
	}
}

func TestProfileLists(t *testing.T) {
	s := run(t, testConfig(t))
	for _, name := range []string{"one", "two", "three"} {
		createProfile(t, s, name, foundation+haiku, "").members(t, http.StatusCreated)
	}
	list := func(query string) (names []string, next string) {
		got := post(t, s, profiles+"?"+query, "", method("GET")).members(t, http.StatusOK)
		all, _ := got["inferenceProfileSummaries"].([]any)
		for _, one := range all {
			one, _ := one.(map[string]any)
			names = append(names, one["inferenceProfileName"].(string))
		}
		next, _ = got["nextToken"].(string)
		return names, next
	}
	if names, next := list("type=APPLICATION"); fmt.Sprint(names) != "[one two three]" || next != "" {
		t.Errorf("%v %q", names, next)
	}
	first, next := list("type=APPLICATION&maxResults=2")
	rest, end := list("type=APPLICATION&maxResults=2&nextToken=" + next)
	if fmt.Sprint(first, rest) != "[one two] [three]" || end != "" {
		t.Errorf("%v %v %q", first, rest, end)
	}
	system, _ := list("type=SYSTEM_DEFINED&maxResults=1000")
	all, _ := list("maxResults=1000")
	if len(system) < 20 || len(all) != len(system)+3 {
		t.Errorf("%d of the system, %d in all", len(system), len(all))
	}
	got := post(t, s, profiles+"/global."+haiku, "", method("GET")).members(t, http.StatusOK)
	if got["type"] != "SYSTEM_DEFINED" || got["inferenceProfileArn"] != here+"inference-profile/global."+haiku {
		t.Errorf("%v", got)
	}
}

func TestProfileBadInput(t *testing.T) {
	c := testConfig(t)
	s := run(t, c)
	const source = foundation + haiku
	createProfile(t, s, "taken", source, `,"clientRequestToken":"t1"`).members(t, http.StatusCreated)
	fifty := strings.TrimSuffix(strings.Repeat(`{"key":"k%d","value":"v"},`, 51), ",")
	for i := range 51 {
		fifty = strings.Replace(fifty, "%d", strconv.Itoa(i), 1)
	}
	long := strings.Repeat("x", 129)
	for name, x := range map[string]struct {
		a    answer
		want string
	}{
		"a name that is taken":                  {createProfile(t, s, "Taken", source, ""), "ConflictException"},
		"a token with another body":             {createProfile(t, s, "other", source, `,"clientRequestToken":"t1"`), "ConflictException"},
		"an unknown model":                      {createProfile(t, s, "x", foundation+"other.nothing-v1", ""), "ResourceNotFoundException"},
		"a profile of no system":                {createProfile(t, s, "x", here+"inference-profile/"+haiku, ""), "ResourceNotFoundException"},
		"a profile of another account":          {createProfile(t, s, "x", strings.Replace(here, "000000000000", "111111111111", 1)+"inference-profile/us."+haiku, ""), "ResourceNotFoundException"},
		"an application profile":                {createProfile(t, s, "x", here+"application-inference-profile/abcdefghij12", ""), "ValidationException"},
		"no ARN":                                {createProfile(t, s, "x", haiku, ""), "ValidationException"},
		"a name with bad characters":            {createProfile(t, s, "a  b", source, ""), "ValidationException"},
		"no source":                             {post(t, s, profiles, `{"inferenceProfileName":"x"}`), "ValidationException"},
		"a union of nothing":                    {post(t, s, profiles, `{"inferenceProfileName":"x","modelSource":{}}`), "ValidationException"},
		"too many tags":                         {createProfile(t, s, "x", source, `,"tags":[`+fifty+`]`), "TooManyTagsException"},
		"a tag twice":                           {createProfile(t, s, "x", source, `,"tags":[{"key":"a","value":""},{"key":"a","value":""}]`), "ValidationException"},
		"a reserved tag":                        {createProfile(t, s, "x", source, `,"tags":[{"key":"aws:a","value":""}]`), "ValidationException"},
		"a long tag":                            {createProfile(t, s, "x", source, `,"tags":[{"key":"`+long+`","value":""}]`), "ValidationException"},
		"a list of no type":                     {post(t, s, profiles+"?type=NONE", "", method("GET")), "ValidationException"},
		"a page of nothing":                     {post(t, s, profiles+"?maxResults=0", "", method("GET")), "ValidationException"},
		"a page of too much":                    {post(t, s, profiles+"?maxResults=1001", "", method("GET")), "ValidationException"},
		"a token of nobody":                     {post(t, s, profiles+"?nextToken=x", "", method("GET")), "ValidationException"},
		"to get what is not there":              {post(t, s, profiles+"/abcdefghij12", "", method("GET")), "ResourceNotFoundException"},
		"to delete the system's":                {post(t, s, profiles+"/us."+haiku, "", method("DELETE")), "ValidationException"},
		"to call what is not there":             {post(t, s, "/model/"+url.PathEscape(here)+"application-inference-profile%2Fabcdefghij12/converse", hiConverse), "ResourceNotFoundException"},
		"to tag what is not there":              {post(t, s, "/tagResource", `{"resourceARN":"`+here+`imported-model/abcdefghij12","tags":[]}`), "ResourceNotFoundException"},
		"to tag a model of everybody's":         {post(t, s, "/tagResource", `{"resourceARN":"`+source+`","tags":[]}`), "ResourceNotFoundException"},
		"to tag no ARN at all":                  {post(t, s, "/tagResource", `{"resourceARN":"12345678901234567890","tags":[]}`), "ValidationException"},
		"to tag without tags":                   {post(t, s, "/tagResource", `{"resourceARN":"`+source+`"}`), "ValidationException"},
		"to list the tags of what is not there": {post(t, s, "/listTagsForResource", `{"resourceARN":"`+here+`imported-model/abcdefghij12"}`), "ResourceNotFoundException"},
	} {
		if got := x.a.header.Get("X-Amzn-Errortype"); got != x.want {
			t.Errorf("%s: %d %s, want %s", name, x.a.status, x.a.body, x.want)
		}
	}
	got := post(t, s, profiles+"?type=APPLICATION", "", method("GET")).members(t, http.StatusOK)
	if all, _ := got["inferenceProfileSummaries"].([]any); len(all) != 1 {
		t.Errorf("left behind: %v", got)
	}
	again := createProfile(t, s, "taken", source, `,"clientRequestToken":"t1"`).members(t, http.StatusCreated)
	one, _ := got["inferenceProfileSummaries"].([]any)[0].(map[string]any)
	if again["inferenceProfileArn"] != one["inferenceProfileArn"] {
		t.Errorf("the same token made %v beside %v", again, one)
	}
}

// A key's policy holds for the control plane; what it may not call it cannot call by a profile.
func TestProfilesUnderPolicies(t *testing.T) {
	s := run(t, testConfig(t))
	arn := createProfile(t, s, "one", foundation+haiku, "").members(t, http.StatusCreated)["inferenceProfileArn"].(string)
	key := makeKey(t, s, "only", identity.KeyBearer, identity.Policy{Actions: []string{"bedrock:InvokeModel*", "bedrock:List*"}, Models: []string{"amazon.*"}}, time.Time{})
	bearer := as(t, s, key, "")
	for name, x := range map[string]struct {
		a      answer
		status int
	}{
		"create": {post(t, s, profiles, `{"inferenceProfileName":"x","modelSource":{"copyFrom":"`+foundation+haiku+`"}}`, bearer), http.StatusForbidden},
		"tag":    {post(t, s, "/tagResource", `{"resourceARN":"`+arn+`","tags":[]}`, bearer), http.StatusForbidden},
		"list":   {post(t, s, profiles, "", method("GET"), bearer), http.StatusOK},
		"call":   {post(t, s, "/model/"+url.PathEscape(arn)+"/converse", hiConverse, bearer), http.StatusForbidden},
	} {
		if x.a.status != x.status {
			t.Errorf("%s: %+v", name, x.a)
		}
	}
}

// Of a hundred that make a profile of one name at once, one does; a hundred with one token make one.
func TestHundredProfilesAtOnce(t *testing.T) {
	s := run(t, testConfig(t))
	for _, x := range []struct {
		more string
		ok   int32
	}{{"", 1}, {`,"clientRequestToken":"same"`, 100}} {
		var ok atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if a := createProfile(t, s, "p"+strconv.Itoa(int(x.ok)), foundation+haiku, x.more); a.status == http.StatusCreated {
					ok.Add(1)
				}
			})
		}
		wg.Wait()
		if ok.Load() != x.ok {
			t.Errorf("%d of 100 were told that it was made, want %d", ok.Load(), x.ok)
		}
	}
	got := post(t, s, profiles+"?type=APPLICATION", "", method("GET")).members(t, http.StatusOK)
	if all, _ := got["inferenceProfileSummaries"].([]any); len(all) != 2 {
		t.Errorf("%d profiles", len(all))
	}
}
