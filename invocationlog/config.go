// Package invocationlog keeps a record of what models were asked and answered, for accounts that ask for it, in the form that
// Amazon Bedrock's model invocation logging has: one JSON object a line, compressed, in objects by the hour, with
// long bodies in objects of their own.
//
// A call is never held up: what it says is copied, queued, and written by one goroutine. Memory is bounded; a record
// that does not fit is dropped and counted.
package invocationlog

import (
	"context"
	"io"
	"time"

	"forebay/artifact"
	"forebay/fault"
	"forebay/resource"
	"forebay/store"

	"github.com/go-json-experiment/json"
)

// Data are kinds of data that a record may hold; without theirs, bodies are left out.
type Data struct {
	Text      bool `json:"text"`
	Image     bool `json:"image"`
	Embedding bool `json:"embedding"`
	Video     bool `json:"video"`
	Audio     bool `json:"audio"`
}

// Everything is what is delivered where nobody says otherwise.
var Everything = Data{Text: true, Image: true, Embedding: true, Video: true, Audio: true}

// Config says where an account's records go.
type Config struct {
	Location artifact.Location `json:"location"`
	Data     Data              `json:"data"`
}

// Kind is that of the configuration among the resources of an account, which has one at most.
const Kind = "model-invocation-logging"

func arnOf(region, account string) string {
	return resource.ARN{Region: region, Account: account, Kind: Kind, ID: "configuration"}.String()
}

// Settings keeps the accounts' configurations. It is safe for concurrent use.
type Settings struct {
	Store   resource.Store
	Objects *artifact.Objects
	Region  string
}

// folder is where all records of an account are, below the location. Source: Bedrock user guide, "Monitor model invocation".
func folder(account string) string { return "AWSLogs/" + account + "/BedrockModelInvocationLogs" }

// Put sets an account's configuration, and tries whether records can be written. Faults: Invalid.
func (s *Settings) Put(ctx context.Context, account string, c *Config) error {
	probe := c.Location.Below(folder(account) + "/amazon-bedrock-logs-permission-check")
	if err := s.Objects.Create(probe, func(io.Writer) error { return nil }); err != nil {
		if fault.KindOf(err) == fault.Invalid {
			return err
		}
		return fault.Wrap(fault.Invalid, err, "Failed to validate permissions for the location "+c.Location.String()+". Verify that it can be written.")
	}
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	now := time.Now()
	r := store.Resource{ARN: arnOf(s.Region, account), Kind: Kind, Account: account, Body: body, Created: now, Updated: now}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		err := tx.UpdateResource(ctx, &r)
		if fault.KindOf(err) == fault.NotFound {
			err = tx.CreateResource(ctx, &r)
		}
		return err
	})
}

// Delete removes an account's configuration, if there is one.
func (s *Settings) Delete(ctx context.Context, account string) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		err := tx.DeleteResource(ctx, arnOf(s.Region, account))
		if fault.KindOf(err) == fault.NotFound {
			err = nil
		}
		return err
	})
}

// All returns the configurations of all accounts.
func All(ctx context.Context, tx *store.Tx) (map[string]*Config, error) {
	list, err := tx.Resources(ctx, Kind, "")
	if err != nil {
		return nil, err
	}
	out := make(map[string]*Config, len(list))
	for i := range list {
		c := new(Config)
		if err := json.Unmarshal(list[i].Body, c); err != nil {
			return nil, err
		}
		out[list[i].Account] = c
	}
	return out, nil
}
