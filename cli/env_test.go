package cli

import (
	"os"
	"path/filepath"
	"testing"

	"forebay/server"
)

// A region is set only where AWS clients would find none: calls to other services keep theirs.
func TestRegionIsLeftToWhoHasOne(t *testing.T) {
	for name, c := range map[string]struct {
		region, fallback, config string
		all, set                 bool
	}{
		"a fresh machine":        {set: true},
		"in the environment":     {region: "eu-west-1"},
		"the older name":         {fallback: "eu-west-1"},
		"in the configuration":   {config: "[default]\n region=eu-west-1\n"},
		"configured without":     {config: "[default]\noutput = json\n# region of mine\n", set: true},
		"every AWS call is ours": {region: "eu-west-1", all: true, set: true},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			t.Setenv("AWS_CONFIG_FILE", "")
			t.Setenv("AWS_REGION", c.region)
			t.Setenv("AWS_DEFAULT_REGION", c.fallback)
			if c.config != "" {
				if err := os.MkdirAll(filepath.Join(home, ".aws"), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(home, ".aws", "config"), []byte(c.config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			vars, err := (&envCmd{All: c.all}).variables(&server.Credentials{URL: "http://127.0.0.1:1", Region: "us-east-1"})
			if err != nil {
				t.Fatal(err)
			}
			set := 0
			for _, v := range vars {
				if v == [2]string{"AWS_REGION", "us-east-1"} || v == [2]string{"AWS_DEFAULT_REGION", "us-east-1"} {
					set++
				}
			}
			if want := map[bool]int{true: 2}[c.set]; set != want {
				t.Errorf("%d variables name a region, want %d", set, want)
			}
		})
	}
}
