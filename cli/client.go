package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"forebay/config"
	"forebay/server"

	"github.com/go-json-experiment/json"
)

// remote are the flags of verbs that ask a running server.
type remote struct {
	Server string `help:"Address of the server; FOREBAY_URL, or the one that runs on this machine." placeholder:"URL"`
	// KeyRef says where the key is, never what it is: every user of a machine can read the others' command lines.
	KeyRef  string `name:"key" help:"Where the API key is, env:NAME or file:PATH; FOREBAY_API_KEY, or the development key of this machine." placeholder:"REF"`
	Key     string `kong:"-"`
	DataDir string `help:"Data directory of the server on this machine; FOREBAY_DATA_DIR, or the usual one." type:"path" placeholder:"DIR"`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// credentials finds address and key: flags come first, a data directory that is named with one included, then FOREBAY_URL
// and FOREBAY_API_KEY, then what the server on this machine left. Where address and key are that server's, what else
// it left is there too: a shell may have the variables from an earlier `forebay env`.
func (r *remote) credentials() (server.Credentials, error) {
	address, key := r.Server, r.Key
	if r.KeyRef != "" {
		var err error
		if key, err = config.Secret(r.KeyRef); err != nil {
			return server.Credentials{}, fmt.Errorf("--key: %w", err)
		}
	}
	if r.DataDir == "" {
		address, key = cmp.Or(address, os.Getenv("FOREBAY_URL")), cmp.Or(key, os.Getenv("FOREBAY_API_KEY"))
	}
	known := server.Credentials{URL: address, APIKey: key}
	def := config.Default()
	dir := cmp.Or(r.DataDir, os.Getenv("FOREBAY_DATA_DIR"), def.DataDir)
	found, err := server.ReadCredentials(dir)
	switch {
	case err != nil && address != "" && key != "":
		return known, nil
	case errors.Is(err, os.ErrNotExist):
		return known, fmt.Errorf("no server has run with the data directory %s; start one with `forebay up`, or name one with --server and --key", dir)
	case err != nil:
		return known, err
	case r.Server == "" && key == found.APIKey && onLoopback(address): // it has moved to another port since `forebay env`
		address = found.URL
	case key != "" && address != "" && (key != found.APIKey || strings.TrimSuffix(address, "/") != found.URL):
		return known, nil
	}
	found.URL = cmp.Or(address, found.URL)
	found.APIKey = cmp.Or(key, found.APIKey)
	return *found, nil
}

// onLoopback reports whether an address is one of this machine alone.
func onLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// call asks the admin API and decodes its answer into out.
func (r *remote) call(ctx context.Context, method, path string, in, out any) error {
	c, err := r.credentials()
	if err != nil {
		return err
	}
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+"/admin/v1/"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no server answers at %s (is `forebay up` running?): %w", c.URL, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return remoteError(res.Status, b)
	}
	return json.Unmarshal(b, out)
}

func remoteError(status string, body []byte) error {
	var e struct {
		Error struct{ Message, Reason string } `json:"error"`
	}
	var raw struct {
		Error map[string]any `json:"error"`
	}
	if json.Unmarshal(body, &raw) != nil || raw.Error == nil {
		return fmt.Errorf("the server answered %s", status)
	}
	e.Error.Message, _ = raw.Error["message"].(string)
	e.Error.Reason, _ = raw.Error["reason"].(string)
	if e.Error.Reason != "" {
		return fmt.Errorf("%s (%s)", e.Error.Message, e.Error.Reason)
	}
	return errors.New(e.Error.Message)
}
