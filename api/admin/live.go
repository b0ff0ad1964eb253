package admin

import (
	"net/http"
	"time"

	"forebay/api"
)

// Live is where the server stands at one moment.
type Live struct {
	At           time.Time         `json:"at"`
	Pools        []LivePool        `json:"pools"`
	Reservations []LiveReservation `json:"reservations"`
	Tenants      []LiveTenant      `json:"tenants"`
	Totals       LiveTotals        `json:"totals"`
	// Hourly is what purchases are charged and cost an hour, used or not, in nano-units by currency. What is not known is left out, and
	// the units of which it is not are counted.
	Hourly struct {
		Charge   map[string]int64 `json:"charge"`
		Cost     map[string]int64 `json:"cost"`
		Unpriced int64            `json:"unpriced,omitzero"`
		Uncosted int64            `json:"uncosted,omitzero"`
	} `json:"hourly"`
}

// LivePool is a pool of replicas behind one queue.
type LivePool struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"` // owned, rented, bought
	Replicas int32  `json:"replicas"`
	Slots    int32  `json:"slots"`
	Busy     int32  `json:"busy"`
	Sold     int32  `json:"sold"` // slots that back purchases
	Lent     int32  `json:"lent"` // of these, slots in which calls run that can be recalled
	Waiting  int32  `json:"waiting"`
	// Tiers are the waiting calls by tier.
	Tiers map[string]int32 `json:"tiers,omitempty"`
}

// LiveReservation is what was bought, and what is used of it.
type LiveReservation struct {
	ID    string `json:"id"`
	Model string `json:"model"`
	Unit  string `json:"unit,omitempty"` // where the size of a unit comes from: placeholder, given or measured
	Use
}

// LiveTenant is what an account has in flight in one tier of a pool.
type LiveTenant struct {
	Account string `json:"account"`
	Pool    string `json:"pool"`
	Tier    string `json:"tier"`
	Running int32  `json:"running"`
	Waiting int32  `json:"waiting"`
}

// LiveTotals count from the server's start.
type LiveTotals struct {
	Arrived  uint64 `json:"arrived"`
	Admitted uint64 `json:"admitted"`
	Settled  uint64 `json:"settled"`
	Spilled  uint64 `json:"spilled"`
	Retried  uint64 `json:"retried"`
	Recalled uint64 `json:"recalled"`
	// Rejected are refusals by the scheduler, by reason.
	Rejected map[string]uint64 `json:"rejected,omitempty"`
	// Charge and Cost are those of calls, in nano-units by currency.
	Charge map[string]int64 `json:"charge"`
	Cost   map[string]int64 `json:"cost"`
}

var liveRoutes = []route{
	{method: http.MethodGet, path: "live", action: actionRead, operator: true, handle: (*Service).live, summary: "Pools, reservations, tenants and totals as they stand now."},
}

func (s *Service) live(c *api.Call, _ string) (any, error) {
	return s.view.State().Live(c.Context()), nil
}
