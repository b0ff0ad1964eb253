package config

import (
	"net/url"
	"path/filepath"
)

// Weights says where weights of models come from, and how they are kept.
type Weights struct {
	Dir       string     `yaml:"dir,omitempty" doc:"An absolute path of the folder in which pulled weights are kept; DATA_DIR/weights when left out."`
	Limit     Size       `yaml:"limit,omitempty" doc:"Bound of all that is kept: beyond it what was used longest ago and is not in use is removed. 0 is as much as the disk has."`
	KeepFree  Size       `yaml:"keep_free,omitempty" doc:"What of the disk pulls leave free for others, first of all the ledger."`
	Downloads int        `yaml:"downloads,omitempty" doc:"Ranges of one file that are under way at once."`
	Hub       WeightsHub `yaml:"hub,omitempty" doc:"The Hugging Face hub, or a mirror of it."`
	S3        WeightsS3  `yaml:"s3,omitempty" doc:"S3-compatible storage, for buckets that are no folders of this machine."`
}

// WeightsHub is a hub.
type WeightsHub struct {
	Endpoint string `yaml:"endpoint,omitempty" doc:"Its address; HF_ENDPOINT, or https://huggingface.co, when left out."`
	Token    string `yaml:"token,omitempty" doc:"Where the token is, env:NAME or file:PATH; HF_TOKEN, or what hf auth login has left, when left out."`
}

// WeightsS3 is S3-compatible storage. What is left out is as AWS's tools have it, from the environment and profiles.
type WeightsS3 struct {
	Endpoint string `yaml:"endpoint,omitempty" doc:"Its address, for other storage than AWS's."`
	Region   string `yaml:"region,omitempty" doc:"Region of the buckets."`
	Profile  string `yaml:"profile,omitempty" doc:"Profile whose credentials are used."`
}

// maxDownloads is how many ranges of a file may be under way at once: sources refuse more connections than that.
const maxDownloads = 64

func (c *Config) checkWeights(k *checker) {
	w := &c.Weights
	if w.Dir != "" && !filepath.IsAbs(w.Dir) {
		k.bad("weights.dir", "%q is not an absolute path", w.Dir)
	}
	if w.Downloads < 0 || w.Downloads > maxDownloads {
		k.bad("weights.downloads", "%d is not between 1 and %d", w.Downloads, maxDownloads)
	}
	for path, at := range map[string]string{"weights.hub.endpoint": w.Hub.Endpoint, "weights.s3.endpoint": w.S3.Endpoint} {
		u, err := url.Parse(at)
		if at != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "") {
			k.bad(path, "is not an address such as https://storage.example.com")
		}
	}
	if w.Hub.Token != "" {
		if _, err := Secret(w.Hub.Token); err != nil {
			k.bad("weights.hub.token", "%v", err)
		}
	}
}
