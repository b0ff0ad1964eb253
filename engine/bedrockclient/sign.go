package bedrockclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"forebay/engine/upstream"
	"forebay/fault"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
)

// signer returns the header with what a signature adds.
type signer func(ctx context.Context, path string, header []upstream.Field, body [][]byte) ([]upstream.Field, error)

// defaults takes region and credentials from where the SDKs look for them.
func (c *Client) defaults(ctx context.Context) error {
	var opts []func(*config.LoadOptions) error
	if c.cfg.Region != "" {
		opts = append(opts, config.WithRegion(c.cfg.Region))
	}
	found, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	c.cfg.Region = found.Region
	if c.cfg.Credentials == nil {
		c.cfg.Credentials = found.Credentials
	}
	return nil
}

// newSigner returns Signature Version 4 for calls below base.
func newSigner(cfg *Config, base *url.URL) signer {
	s := v4.NewSigner()
	provider := cfg.Credentials
	if _, ok := provider.(*aws.CredentialsCache); !ok {
		provider = aws.NewCredentialsCache(provider)
	}
	prefix := strings.TrimRight(base.EscapedPath(), "/")
	return func(ctx context.Context, path string, header []upstream.Field, body [][]byte) ([]upstream.Field, error) {
		creds, err := provider.Retrieve(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, fault.Wrap(fault.Canceled, err, "The call was canceled.")
			}
			return nil, fault.Wrap(fault.Unavailable, err, "The model cannot be reached.").WithReason("no credentials for the upstream account")
		}
		plain, err := url.PathUnescape(prefix + path)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "")
		}
		u := *base
		u.Path, u.RawPath = plain, prefix+path
		hash, size := sha256.New(), 0
		for _, part := range body {
			hash.Write(part)
			size += len(part)
		}
		r := &http.Request{Method: http.MethodPost, URL: &u, Host: base.Host, Header: http.Header{}, ContentLength: int64(size)}
		for _, f := range header {
			r.Header.Set(f.Name, f.Value)
		}
		err = s.SignHTTP(ctx, creds, r, hex.EncodeToString(hash.Sum(nil)), "bedrock", cfg.Region, cfg.Now())
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "")
		}
		for _, name := range []string{"X-Amz-Date", "X-Amz-Security-Token", "Authorization"} {
			if v := r.Header.Get(name); v != "" {
				header = append(header, upstream.Field{Name: name, Value: v})
			}
		}
		return header, nil
	}
}
