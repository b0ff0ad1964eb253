package fetch

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHubFromEnvironment(t *testing.T) {
	home, named := t.TempDir(), filepath.Join(t.TempDir(), "mine")
	for _, name := range []string{"HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "XDG_CACHE_HOME"} {
		t.Setenv(name, "")
	}
	t.Setenv("HF_HOME", home)
	if got := HubFromEnvironment(); got != (HubOptions{}) {
		t.Errorf("%+v", got)
	}
	for path, text := range map[string]string{filepath.Join(home, "token"): "hf_login\n", named: "hf_named"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, value, want string }{{"HF_ENDPOINT", "https://mirror.example.com", "hf_login"}, {"HF_TOKEN_PATH", named, "hf_named"}, {"HF_TOKEN", " hf_env ", "hf_env"}} {
		t.Setenv(c.name, c.value)
		if got := HubFromEnvironment(); got.Token != c.want || got.Endpoint != "https://mirror.example.com" {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
