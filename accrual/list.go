package accrual

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"forebay/meter"
)

// Posting is one row of the ledger: an hour or a part of one, what is given back of one, or a contract.
type Posting struct {
	Kind     string    `json:"kind"`
	Purchase string    `json:"purchase"`
	At       time.Time `json:"at"`
	Until    time.Time `json:"until,omitzero"` // of an hour, and of what is given back of one
	Name     string    `json:"name"`
	Account  string    `json:"account"`
	Team     string    `json:"team,omitempty"`
	Model    string    `json:"model"`
	Units    int64     `json:"units"`
	Term     string    `json:"term,omitempty"`   // of the commitment
	Expires  time.Time `json:"expires,omitzero"` // of the term that runs
	Tags     string    `json:"tags,omitempty"`   // a JSON object

	ChargeRate Rate   `json:"chargeRate,omitzero"` // of a unit and hour
	CostRate   Rate   `json:"costRate,omitzero"`
	Date       string `json:"priceDate,omitempty"`
	Source     string `json:"priceSource,omitempty"`
	Size       Size   `json:"unit"`

	Charge Amount    `json:"charge,omitzero"` // of an hour; what is given back is negative
	Cost   Amount    `json:"cost,omitzero"`
	Posted time.Time `json:"posted"`
}

// postingScan reads a posting from a row of the columns purchase, at, until, charge, cost, posted, and those of its contract.
type postingScan struct {
	p                             *Posting
	at, posted                    int64
	until, expires                sql.NullInt64
	charge, cost                  sql.NullInt64
	chargeRate, costRate          sql.NullInt64
	chargeCurrency, costsCurrency sql.NullString
	tags                          sql.NullString
}

func (s *postingScan) into() []any {
	p := s.p
	return []any{
		&p.Purchase, &s.at, &s.until, &s.charge, &s.cost, &s.posted, &p.Name, &p.Account, &p.Team, &p.Model, &p.Units, &p.Term, &s.expires, &s.tags,
		&s.chargeCurrency, &s.chargeRate, &s.costsCurrency, &s.costRate, &p.Date, &p.Source, &p.Size.Input, &p.Size.Output, &p.Size.Basis,
	}
}

func (s *postingScan) done() {
	p := s.p
	p.At, p.Posted, p.Tags = instant(s.at), instant(s.posted), s.tags.String
	if s.until.Valid {
		p.Until = instant(s.until.Int64)
	}
	if s.expires.Valid {
		p.Expires = instant(s.expires.Int64)
	}
	p.Charge, p.Cost = Amount{s.charge.Valid, s.charge.Int64}, Amount{s.cost.Valid, s.cost.Int64}
	p.ChargeRate, p.CostRate = rate(s.chargeCurrency, s.chargeRate), rate(s.costsCurrency, s.costRate)
}

// maxPostings bounds a list of postings: a month of ten purchases and some.
const maxPostings = 10_000

// postingsSQL has contracts and hours in their order: at one instant the end of an hour comes before the contract, and that before
// the next hour.
const postingsSQL = `SELECT kind, purchase, at, until, hour_charge, hour_cost, posted, name, account, team, model, units, term, expires, tags,
 currency, charge, cost_currency, cost, date, source, unit_input, unit_output, size FROM (
 SELECT kind, purchase, at, NULL AS until, NULL AS hour_charge, NULL AS hour_cost, posted, name, account, team, model, units, term, expires, tags,
  currency, charge, cost_currency, cost, date, source, unit_input, unit_output, size, 0 AS class, id AS nth FROM contracts
 UNION ALL
 SELECT 'hour', h.purchase, h.at, h.until, h.charge, h.cost, h.posted, c.name, c.account, c.team, c.model, c.units, c.term, c.expires, c.tags,
  c.currency, c.charge, c.cost_currency, c.cost, c.date, c.source, c.unit_input, c.unit_output, c.size, 1, 0 FROM hours h JOIN contracts c ON c.id = h.contract
 UNION ALL
 SELECT 'refund', h.purchase, b.at, h.until, -b.charge, -b.cost, b.posted, c.name, c.account, c.team, c.model, c.units, c.term, c.expires, c.tags,
  c.currency, c.charge, c.cost_currency, c.cost, c.date, c.source, c.unit_input, c.unit_output, c.size, 2, 0
  FROM refunds b JOIN hours h ON h.purchase = b.purchase AND h.at = b.hour JOIN contracts c ON c.id = h.contract)
 WHERE at >= ? AND at < ? AND (?3 = '' OR account = ?3) AND (?4 = '' OR team = ?4) AND (?5 = '' OR model = ?5)
 ORDER BY at, purchase, class, nth LIMIT ?6`

// Postings lists what was posted for the span of a query, by time; more says that there is more than is listed.
func (b *Book) Postings(ctx context.Context, q *meter.UsageQuery) (list []Posting, more bool, err error) {
	from, to := span(q.Since, q.Until)
	err = b.ledger.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, postingsSQL, from, to, q.Account, q.Team, q.Model, maxPostings+1)
		if err != nil {
			return fmt.Errorf("postings: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var p Posting
			s := postingScan{p: &p}
			if err := rows.Scan(append([]any{&p.Kind}, s.into()...)...); err != nil {
				return fmt.Errorf("postings: %w", err)
			}
			s.done()
			list = append(list, p)
		}
		return rows.Err()
	})
	if len(list) > maxPostings {
		return list[:maxPostings], true, err
	}
	return list, false, err
}
