package custom

import (
	"context"
	"time"

	"forebay/fault"
	"forebay/resource"
	"forebay/store"

	"github.com/go-json-experiment/json"
)

// JobStatus is that of an import.
type JobStatus string

// The statuses of jobs.
const (
	InProgress JobStatus = "InProgress"
	Completed  JobStatus = "Completed"
	JobFailed  JobStatus = "Failed"
)

// Job is an import of a model.
type Job struct {
	ARN     string    `json:"-"`
	Account string    `json:"-"`
	Name    string    `json:"-"`
	Created time.Time `json:"-"`
	Updated time.Time `json:"-"`

	Model     string    `json:"model"` // the ARN that the model has, or would have had
	ModelName string    `json:"modelName"`
	Source    string    `json:"source"`
	Role      string    `json:"role"`
	Status    JobStatus `json:"status"`
	Failure   string    `json:"failure,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
}

// Made implements resource.Listed.
func (j *Job) Made() time.Time { return j.Created }

// Identity implements resource.Listed.
func (j *Job) Identity() string { return j.ARN }

func (j *Job) fill(r *store.Resource) {
	j.ARN, j.Account, j.Name, j.Created, j.Updated = r.ARN, r.Account, r.Name, r.Created, r.Updated
}

func (j *Job) save(ctx context.Context, tx *store.Tx) error {
	body, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return tx.UpdateResource(ctx, &store.Resource{ARN: j.ARN, Name: j.Name, Body: body, Updated: time.Now()})
}

func jobs(ctx context.Context, tx *store.Tx, account string) ([]*Job, error) {
	list, err := tx.Resources(ctx, resource.ImportJob, account)
	if err != nil {
		return nil, err
	}
	out := make([]*Job, len(list))
	for i := range list {
		out[i] = new(Job)
		if err := json.Unmarshal(list[i].Body, out[i]); err != nil {
			return nil, err
		}
		out[i].fill(&list[i])
	}
	return out, nil
}

// Import is a model to be imported.
type Import struct {
	JobName, ModelName, Source, Role string
	ModelTags                        []resource.Tag
}

// CreateJob begins an import and returns the job's ARN. The model's name is taken from then on, and free again when the
// job fails. Of very many jobs the oldest makes room. Faults: Invalid for a location; Denied; QuotaExceeded; those of resource.Create.
func (r *Registry) CreateJob(ctx context.Context, c *resource.Creation, w *Import) (string, error) {
	if _, err := r.locate(c.Account, w.Source); err != nil {
		return "", err
	}
	tags, err := resource.TagMap(w.ModelTags)
	if err != nil {
		return "", err
	}
	arn, err := resource.Create(ctx, r.Store, c, func(tx *store.Tx) (*store.Resource, error) {
		now := time.Now()
		at := resource.ARN{Region: r.Region, Account: c.Account, Kind: resource.ImportJob, ID: resource.NewID()}
		if err := forget(ctx, tx, c.Account); err != nil {
			return nil, err
		}
		job := Job{ModelName: w.ModelName, Source: w.Source, Role: w.Role, Status: InProgress}
		if job.Model, err = r.reserve(ctx, tx, c.Account, at.String(), w, now); err != nil {
			return nil, err
		}
		if err := tx.SetTags(ctx, job.Model, tags); err != nil {
			return nil, err
		}
		body, err := json.Marshal(&job)
		return &store.Resource{ARN: at.String(), Kind: at.Kind, Account: c.Account, Name: w.JobName, Body: body, Created: now, Updated: now}, err
	})
	r.pending()
	return arn, err
}

// forget removes the oldest jobs of an account, which have ended, where there would be too many with one more.
func forget(ctx context.Context, tx *store.Tx, account string) error {
	all, err := jobs(ctx, tx, account)
	if err != nil {
		return err
	}
	for _, j := range all[:max(len(all)-maxJobs+1, 0)] {
		if j.Status == InProgress {
			return fault.Newf(fault.QuotaExceeded, "The account has %d import jobs, of which the oldest is under way still.", len(all))
		}
		if err := tx.DeleteResource(ctx, j.ARN); err != nil {
			return err
		}
	}
	return nil
}

// reserve stores the model of a job, which nobody sees until the job is done.
func (r *Registry) reserve(ctx context.Context, tx *store.Tx, account, job string, w *Import, now time.Time) (string, error) {
	all, err := tx.Resources(ctx, resource.ImportedModel, account)
	if err != nil {
		return "", err
	}
	if len(all) >= maxModels {
		return "", fault.Newf(fault.QuotaExceeded, "The account has %d imported models, which is the most that it can have.", maxModels)
	}
	body, err := json.Marshal(&Model{Source: w.Source, Status: Creating, Job: job, JobName: w.JobName})
	if err != nil {
		return "", err
	}
	arn := resource.ARN{Region: r.Region, Account: account, Kind: resource.ImportedModel, ID: resource.NewID()}
	return arn.String(), tx.CreateResource(ctx, &store.Resource{
		ARN: arn.String(), Kind: arn.Kind, Account: account, Name: w.ModelName, Body: body, Created: now, Updated: now,
	})
}

// Job returns an import by its ARN or name. Faults: NotFound.
func (r *Registry) Job(ctx context.Context, account, id string) (*Job, error) {
	j := new(Job)
	err := r.Store.View(ctx, func(tx *store.Tx) error {
		res, err := get(ctx, tx, resource.ImportJob, account, id, j)
		if err == nil {
			j.fill(res)
		}
		return err
	})
	return j, err
}

// JobList returns a page of an account's imports of a status, "" for all, and the token of the next.
func (r *Registry) JobList(ctx context.Context, account string, status JobStatus, f *resource.Filter) ([]*Job, string, error) {
	var all []*Job
	err := r.Store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = jobs(ctx, tx, account)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return resource.Page(keep(all, func(j *Job) bool { return f.Holds(j.Name) && (status == "" || status == j.Status) }), f)
}

// Imported returns an imported model by its ARN or name. Faults: NotFound, also while its job is under way.
func (r *Registry) Imported(ctx context.Context, account, id string) (*Model, error) {
	m, err := r.stored(ctx, resource.ImportedModel, account, id)
	if err == nil && m.Status != Active {
		return nil, missing(id)
	}
	return m, err
}

// ImportedList returns a page of an account's imported models, and the token of the next.
func (r *Registry) ImportedList(ctx context.Context, account string, f *resource.Filter) ([]*Model, string, error) {
	var all []*Model
	err := r.Store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = models(ctx, tx, resource.ImportedModel, account)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return resource.Page(keep(all, func(m *Model) bool { return m.Status == Active && f.Holds(m.Name) }), f)
}

// DeleteImported removes an imported model. Faults: NotFound; Conflict.
func (r *Registry) DeleteImported(ctx context.Context, account, id string) error {
	m, err := r.Imported(ctx, account, id)
	if err != nil {
		return err
	}
	return r.remove(ctx, resource.ImportedModel, m)
}
