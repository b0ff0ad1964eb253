package trace

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"time"

	"forebay/fault"
	"forebay/workload"
	"forebay/workload/rows"
	"forebay/workload/servegen"

	"github.com/go-json-experiment/json/jsontext"
)

// Read finds out what a file or a folder is, and opens it: calls or counts (Open), a report of costs and usage, sessions of agents, or the
// clients of ServeGen. It reads the beginning only, but for sessions and clients, of which calls are made.
func Read(path string, opt Options) (workload.Source, error) {
	if opt.Location == nil {
		opt.Location = time.UTC
	}
	if i, err := os.Stat(path); err == nil && i.IsDir() {
		return folder(path, opt)
	}
	if parquet, err := rows.IsParquet(path); err != nil || parquet {
		if err != nil {
			return nil, err
		}
		return table(path, opt)
	}
	in, closer, err := rows.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = closer.Close() }()
	isJSON, err := rows.Begin(path, in)
	if err != nil {
		return nil, err
	}
	if isJSON {
		if head, _ := in.Peek(in.Size()); hasSessions(head) {
			return openSessions(path, []string{path}, opt)
		}
		return Open(path, opt)
	}
	return table(path, opt)
}

// table opens a report, or calls or counts, by its columns.
func table(path string, opt Options) (workload.Source, error) {
	t, err := rows.OpenTable(path)
	if err != nil {
		return nil, err
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	if bill, wide := isBill(t.Names); bill {
		return openBill(path, opt, t.Names, wide)
	}
	return Open(path, opt)
}

// folder opens a folder by the files in it.
func folder(path string, opt Options) (workload.Source, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var clients, sessions []string
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		switch {
		case e.IsDir():
		case strings.HasPrefix(e.Name(), "chunk-") && strings.HasSuffix(e.Name(), "-trace.csv"):
			clients = append(clients, name)
		case strings.HasSuffix(e.Name(), ".json"), strings.HasSuffix(e.Name(), ".jsonl"):
			sessions = append(sessions, name)
		}
	}
	switch {
	case len(clients) > 0:
		return servegen.Open(path, clients, servegen.Options{Input: opt.Input, Output: opt.Output, Seed: opt.Seed, Idle: opt.Idle})
	case len(sessions) > 0:
		return openSessions(path, sessions, opt)
	default:
		return nil, fault.Newf(fault.Invalid, "%s is a folder without files of clients (chunk-1-trace.csv, as ServeGen has them) or sessions (.json): name a file, or another folder", path)
	}
}

// hasSessions says whether a file begins with a session: an object with an array of its requests.
func hasSessions(head []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(head), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if d.PeekKind() == '[' {
		if _, err := d.ReadToken(); err != nil {
			return false
		}
	}
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return false
	}
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return false
		}
		if t.String() == requestsMember {
			return d.PeekKind() == '['
		}
		if err := d.SkipValue(); err != nil {
			return false
		}
	}
	return false
}
