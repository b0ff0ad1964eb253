package resource

import (
	"context"
	"time"

	"forebay/fault"
	"forebay/store"
)

// Creation is one attempt of a caller to make a resource.
type Creation struct {
	Account   string
	Operation string
	Token     string // makes it happen once; "" each time
	Body      []byte // what was asked for, to be held against an earlier attempt with the token
	Tags      []Tag
	// Max is how many resources of the kind an account has at most, 0 for no bound.
	Max int
}

// Create makes a resource with its tags, or nothing. With the token of an earlier attempt it returns the ARN of that
// time, and build does not run. Faults: Invalid and QuotaExceeded for the tags; QuotaExceeded for too many resources; Conflict
// when the name is taken or the token was used for something else; build's.
func Create(ctx context.Context, s Store, c *Creation, build func(tx *store.Tx) (*store.Resource, error)) (arn string, err error) {
	tags, err := TagMap(c.Tags)
	if err != nil {
		return "", err
	}
	err = s.Update(ctx, func(tx *store.Tx) error {
		token := store.Token{Account: c.Account, Operation: c.Operation, Token: c.Token, Body: c.Body}
		result, _, err := tx.Once(ctx, &token, time.Now(), func() ([]byte, error) {
			r, err := build(tx)
			if err != nil {
				return nil, err
			}
			return []byte(r.ARN), c.store(ctx, tx, r, tags)
		})
		arn = string(result)
		return err
	})
	return arn, err
}

func (c *Creation) store(ctx context.Context, tx *store.Tx, r *store.Resource, tags map[string]string) error {
	if err := tx.CreateResource(ctx, r); err != nil {
		return err
	}
	if c.Max > 0 {
		all, err := tx.Resources(ctx, r.Kind, c.Account)
		if err != nil {
			return err
		}
		if len(all) > c.Max {
			return fault.Newf(fault.QuotaExceeded, "The account has %d resources of the kind %s, which is the most that it can have.", c.Max, r.Kind)
		}
	}
	return tx.SetTags(ctx, r.ARN, tags)
}
