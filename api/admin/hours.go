package admin

import (
	"context"
	"time"

	"forebay/accrual"
	"forebay/api"
	"forebay/meter"
)

// HoursView answers questions about the hours of reserved capacity.
type HoursView interface {
	Usage(ctx context.Context, q *meter.UsageQuery) ([]accrual.Row, error)
	// Postings lists what was posted, as far as a list goes; more says that there is more.
	Postings(ctx context.Context, q *meter.UsageQuery) (list []accrual.Posting, more bool, err error)
	Verify(ctx context.Context, since, until time.Time) (*accrual.Verification, error)
}

// Verified is the ledger computed again: its calls, and its reserved hours.
type Verified struct {
	meter.Verification

	Reserved *accrual.Verification `json:"reserved"`
}

// reserved answers a query with hours. What they cost the operator is the operator's.
func (s *Service) reserved(c *api.Call, q *meter.UsageQuery) ([]accrual.Row, error) {
	rows, err := s.view.Ledger().Hours().Usage(c.Context(), q)
	if !s.operates(c) {
		rows = accrual.WithoutCost(rows)
	}
	return rows, err
}

func (s *Service) postings(c *api.Call, _ string) (any, error) {
	q, err := s.query(c)
	if err != nil {
		return nil, err
	}
	list, more, err := s.view.Ledger().Hours().Postings(c.Context(), &q)
	if list == nil {
		list = []accrual.Posting{}
	}
	if !s.operates(c) {
		for i := range list {
			list[i].CostRate, list[i].Cost = accrual.Rate{}, accrual.Amount{}
		}
	}
	return map[string]any{"postings": list, "more": more}, err
}
