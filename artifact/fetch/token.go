package fetch

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
)

// HubFromEnvironment returns what the tools of the hub read of the environment: HF_ENDPOINT, and HF_TOKEN or else the file that
// `hf auth login` writes the token to (HF_TOKEN_PATH, HF_HOME/token). Source: "Environment variables" of huggingface_hub.
func HubFromEnvironment() HubOptions {
	o := HubOptions{Endpoint: os.Getenv("HF_ENDPOINT"), Token: strings.TrimSpace(os.Getenv("HF_TOKEN"))}
	if o.Token != "" {
		return o
	}
	home, _ := os.UserHomeDir() // without one there is no file below it
	cache := cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(home, ".cache"))
	hub := cmp.Or(os.Getenv("HF_HOME"), filepath.Join(cache, "huggingface"))
	if b, err := os.ReadFile(cmp.Or(os.Getenv("HF_TOKEN_PATH"), filepath.Join(hub, "token"))); err == nil {
		o.Token = strings.TrimSpace(string(b))
	}
	return o
}
