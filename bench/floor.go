package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"
)

// floorHandler is the reverse proxy of the standard library doing the least a gateway
// does: demand a key, parse the body, write the model back, read the usage of answers.
func floorHandler(upstream *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport: &http.Transport{
			MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
		},
		FlushInterval:  -1,
		ModifyResponse: readUsage,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			http.Error(w, `{"error":{"message":"no key"}}`, http.StatusUnauthorized)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 25<<20))
		if err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(body, &fields) != nil {
			http.Error(w, "json", http.StatusBadRequest)
			return
		}
		var model string
		_ = json.Unmarshal(fields["model"], &model)
		fields["model"], _ = json.Marshal(model)
		body, _ = json.Marshal(fields)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		proxy.ServeHTTP(w, r)
	})
}

func readUsage(res *http.Response) error {
	if res.Header.Get("Content-Type") != "application/json" {
		return nil
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	var answer struct {
		Usage struct {
			Total int64 `json:"total_tokens"`
		} `json:"usage"`
	}
	_ = json.Unmarshal(body, &answer)
	res.Header.Set("X-Total-Tokens", strconv.FormatInt(answer.Usage.Total, 10))
	res.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}
