package clients

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"testing"

	"forebay/config"
	"forebay/identity"
	"forebay/server"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// askAdmin asks the admin API of a server with its development key, and decodes the answer into out.
func askAdmin(t *testing.T, cred *server.Credentials, method, path string, in, out any) {
	t.Helper()
	body := new(bytes.Buffer)
	if in != nil {
		if err := json.MarshalWrite(body, in); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, cred.URL+"/admin/v1/"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+cred.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s", method, path, res.Status)
	}
	if err := json.UnmarshalRead(res.Body, out); err != nil {
		t.Fatal(err)
	}
}

// newKey makes a key with a policy of its own.
func newKey(t *testing.T, cred *server.Credentials, kind identity.KeyKind, policy config.Policy) (id, secret string) {
	t.Helper()
	var out struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	text, err := config.EncodeObject(policy)
	if err != nil {
		t.Fatal(err)
	}
	askAdmin(t, cred, http.MethodPost, "keys", map[string]any{"name": "test-" + rand.Text(), "kind": kind, "policy": jsontext.Value(text)}, &out)
	return out.ID, out.Secret
}

// usage is what the admin API says of calls: by one dimension, of one key or of all.
type usage struct {
	Rows []struct {
		Group    []string `json:"group"`
		Requests int64    `json:"requests"`
		Input    int64    `json:"inputTokens"`
		Output   int64    `json:"outputTokens"`
		Charge   int64    `json:"chargeNano"`
		Unpriced int64    `json:"unpriced"`
	} `json:"rows"`
}

// outcomes counts the calls of a key ("" for all) by their outcome.
func outcomes(t *testing.T, cred *server.Credentials, key string) map[string]int64 {
	t.Helper()
	var u usage
	askAdmin(t, cred, http.MethodGet, "usage?by=outcome&key="+key, nil, &u)
	counts := map[string]int64{}
	for _, r := range u.Rows {
		counts[r.Group[0]] = r.Requests
	}
	return counts
}
