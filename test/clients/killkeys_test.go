package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/api/admin"
	"forebay/server"

	"github.com/go-json-experiment/json"
)

// attempt is one change of keys that a client has asked for: with its token it can be asked for again.
type attempt struct {
	token, path, body string
	old               string // the secret before a rotation
}

// errKilled says that the server did not get to answer.
var errKilled = errors.New("killed")

// do asks for the change, and returns the key with its secret. Its error is errKilled, or what the server answered.
func (a *attempt) do(ctx context.Context, cred *server.Credentials) (*admin.KeyInfo, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cred.URL+"/admin/v1/"+a.path, bytes.NewReader([]byte(a.body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+cred.APIKey)
	req.Header.Set(admin.HeaderToken, a.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, errKilled
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, errKilled
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s %s", a.path, res.Status, b)
	}
	k := new(admin.KeyInfo)
	return k, json.Unmarshal(b, k)
}

// works reports whether a secret authenticates.
func works(ctx context.Context, cred *server.Credentials, secret string) bool {
	c := *cred
	c.APIKey = secret
	status, _ := visit(ctx, &c, "/v1/models")
	return status == http.StatusOK
}

// Killed at a random moment while keys are made and rotated, again and again: what was answered holds after the
// restart, and what was not is as if it had not been asked for, or wholly done: asked for again with its token it gives one key with a
// secret that works. A rotation leaves the old secret working, whenever it is cut off.
func TestKilledWhileKeysChange(t *testing.T) {
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf, data := filepath.Join(dir, "forebay.yaml"), filepath.Join(dir, "data")
	if err := os.WriteFile(conf, []byte("server: {tls_listen: \"\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var cut *attempt // the change that the last kill cut off
	made, cuts, changes := map[string]string{}, 0, 0
	for round := range rounds(t) {
		cmd, cred := boot(t, bin, conf, data)
		if cut != nil {
			if cut.old != "" && !works(t.Context(), cred, cut.old) {
				t.Errorf("the old secret of %s is gone with a rotation that was cut off", cut.path)
			}
			settle(t, cred, cut, made)
		}
		for id, secret := range made {
			if !works(t.Context(), cred, secret) {
				t.Errorf("the secret of %s, which was shown, does not work after a kill", id)
			}
		}
		oneOfEach(t, cred, made)
		time.AfterFunc(time.Duration(1+rand.IntN(40))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		cut = change(t, cred, round, made, &changes)
		_ = cmd.Wait()
		if cut != nil {
			cuts++
		}
	}
	http.DefaultClient.CloseIdleConnections()
	t.Logf("%d changes answered, %d cut off", changes, cuts)
	if changes == 0 || cuts == 0 {
		t.Error("nothing was put to the test")
	}
}

// change makes and rotates keys until the server is killed, and returns the change that was under way.
func change(t *testing.T, cred *server.Credentials, round int, made map[string]string, changes *int) *attempt {
	t.Helper()
	for i := 0; ; i++ {
		a := &attempt{token: fmt.Sprintf("%d-%d", round, i), path: "keys", body: fmt.Sprintf(`{"name":"k%d-%d","kind":"api-key"}`, round, i)}
		if i%2 == 1 {
			for id, secret := range made { // any of them
				*a = attempt{token: a.token, path: "keys/" + id + "/rotate", body: `{"grace":"1h"}`, old: secret}
				break
			}
		}
		k, err := a.do(t.Context(), cred)
		if errors.Is(err, errKilled) {
			return a
		}
		if err != nil {
			t.Fatal(err)
		}
		made[k.ID] = k.Secret
		if *changes++; len(made) > 8 {
			for id := range made { // others are watched no longer
				delete(made, id)
				break
			}
		}
	}
}

// settle asks again for the change that was cut off.
func settle(t *testing.T, cred *server.Credentials, cut *attempt, made map[string]string) {
	t.Helper()
	k, err := cut.do(t.Context(), cred)
	if err != nil {
		t.Fatalf("asked for again: %v", err)
	}
	if cut.old != "" && !strings.Contains(cut.path, k.ID) {
		t.Errorf("%s: the key is %s now", cut.path, k.ID)
	}
	if again, err := cut.do(t.Context(), cred); err != nil || again.Secret != k.Secret || again.ID != k.ID {
		t.Errorf("asked for a third time: %+v %v, before %+v", again, err, k)
	}
	made[k.ID] = k.Secret
}

// oneOfEach checks that each name is there once.
func oneOfEach(t *testing.T, cred *server.Credentials, made map[string]string) {
	t.Helper()
	var list struct {
		Keys []admin.KeyInfo `json:"keys"`
	}
	askAdmin(t, cred, http.MethodGet, "keys", nil, &list)
	names, ids := map[string]bool{}, map[string]bool{}
	for _, k := range list.Keys {
		if names[k.Name] {
			t.Errorf("%s is there twice", k.Name)
		}
		names[k.Name], ids[k.ID] = true, true
	}
	for id := range made {
		if !ids[id] {
			t.Errorf("%s is gone", id)
		}
	}
}
