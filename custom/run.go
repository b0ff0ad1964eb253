package custom

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"forebay/artifact/weights"
	"forebay/fault"
	"forebay/resource"
	"forebay/store"
)

// again is after how long work is tried again that failed for reasons of ours.
const again = 5 * time.Second

// Run brings models, imports and deployments to the end of their creation until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	for {
		var retry <-chan time.Time
		if err := r.step(ctx); err != nil && ctx.Err() == nil {
			r.Log.ErrorContext(ctx, "custom models could not be brought up to date; it is tried again", "error", err)
			retry = time.After(again)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-retry:
		}
	}
}

// step does what there is to do.
func (r *Registry) step(ctx context.Context) error {
	var created []*Model
	var all []*Deployment
	err := r.Store.View(ctx, func(tx *store.Tx) error {
		list, err := All(ctx, tx)
		if err != nil {
			return err
		}
		created = keep(list, func(m *Model) bool { return m.Status == Creating })
		all, err = deployments(ctx, tx, "")
		return err
	})
	if err != nil {
		return err
	}
	for _, m := range created { // one that cannot be brought to its end holds up no other
		if e := r.finish(ctx, m); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", m.ARN, e))
		}
	}
	for _, d := range all {
		if e := r.deploy(ctx, d); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", d.ARN, e))
		}
	}
	return err
}

// finish looks at a model, puts it in force, and says so.
func (r *Registry) finish(ctx context.Context, m *Model) error {
	w, err := r.inspect(m)
	if e := fault.From(err); e != nil {
		if e.Kind != fault.Invalid && e.Kind != fault.Denied {
			return err
		}
		m.Status, m.Failure = Failed, e.Message
		return r.Store.Update(ctx, func(tx *store.Tx) error { return r.end(ctx, tx, m) })
	}
	m.Weights = w
	if err := r.Store.Update(ctx, func(tx *store.Tx) error { return m.save(ctx, tx) }); err != nil {
		return err
	}
	if err := r.Models.Changed(ctx); err != nil {
		return err
	}
	m.Status = Active
	return r.Store.Update(ctx, func(tx *store.Tx) error { return r.end(ctx, tx, m) })
}

func (r *Registry) inspect(m *Model) (w *weights.Weights, err error) {
	at, err := r.locate(m.Account, m.Source)
	if err != nil {
		return nil, err
	}
	folder, err := r.Objects.Open(at)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	w, err = weights.Inspect(folder.FS())
	if err == nil && m.Job != "" && w.Format == weights.Adapter {
		return nil, fault.New(fault.Invalid, "The artifact is an adapter. Imports take whole models; merge it, or register it with CreateCustomModel.")
	}
	if errors.Is(err, fs.ErrPermission) {
		r.Log.Warn("an artifact cannot be read", "model", m.ARN, "source", m.Source, "error", err)
	}
	return w, err
}

// end stores the end of a model's creation, and of the job that imports it. A model of a failed job is gone, with its name.
func (r *Registry) end(ctx context.Context, tx *store.Tx, m *Model) error {
	if m.Job == "" {
		return m.save(ctx, tx)
	}
	j := new(Job)
	res, err := get(ctx, tx, resource.ImportJob, m.Account, m.Job, j)
	if err != nil {
		return err
	}
	j.fill(res)
	j.Status, j.Ended = Completed, time.Now().UTC()
	if m.Status == Failed {
		j.Status, j.Failure = JobFailed, m.Failure
		err = tx.DeleteResource(ctx, m.ARN)
	} else {
		err = m.save(ctx, tx)
	}
	if err != nil {
		return err
	}
	return j.save(ctx, tx)
}

// deploy ends the creation of a deployment, or its change to another model. That it has ended is said when routes go there, too.
func (r *Registry) deploy(ctx context.Context, d *Deployment) error {
	updating := d.Update != nil && d.Update.Status == Updating
	if d.Status != Creating && !updating {
		return nil
	}
	save := func() error { return r.Store.Update(ctx, func(tx *store.Tx) error { return d.save(ctx, tx) }) }
	if updating && d.Model != d.Update.Model {
		d.Model = d.Update.Model
		if err := save(); err != nil {
			return err
		}
	}
	if err := r.Models.Deployed(ctx, d.ARN); err != nil {
		return err
	}
	if d.Status = Active; updating {
		d.Update.Status = UpdateCompleted
	}
	return save()
}
