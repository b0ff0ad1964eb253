package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"forebay/api"
	"forebay/fault"
	"forebay/meter"
)

// allAccounts selects those of all, for keys of the operator.
const allAccounts = "*"

var demandRoutes = []route{
	{
		method: http.MethodGet, path: "demand", action: actionRead, handle: (*Service).demand,
		query:   []string{"since", "until", "key", "team", "model", "mode", "tag", "account", "upTo", "after", "limit"},
		summary: "The calls that were wanted, refused ones included, in pages by order of arrival: tag is NAME=VALUE, account * is all of them; upTo and after are upTo and next of the page before.",
	},
}

func (s *Service) demand(c *api.Call, _ string) (any, error) {
	q, err := s.demandQuery(c)
	if err != nil {
		return nil, err
	}
	return s.view.Ledger().Demand(c.Context(), q)
}

// demandQuery reads what a question about demand selects.
func (s *Service) demandQuery(c *api.Call) (q meter.DemandQuery, err error) {
	v, err := url.ParseQuery(c.Query)
	if err != nil {
		return q, fault.Wrap(fault.Invalid, err, "the query string is malformed")
	}
	if q.Account, err = s.account(c); err != nil {
		return q, err
	}
	if q.Account == allAccounts {
		q.Account = ""
	}
	q.Key, q.Team, q.Model, q.Mode, q.After = v.Get("key"), v.Get("team"), v.Get("model"), v.Get("mode"), v.Get("after")
	for _, tag := range v["tag"] {
		name, value, ok := strings.Cut(tag, "=")
		if !ok || name == "" {
			return q, fault.Newf(fault.Invalid, "tag %q is not NAME=VALUE", tag)
		}
		if q.Tags == nil {
			q.Tags = map[string]string{}
		}
		q.Tags[name] = value
	}
	if text := v.Get("upTo"); text != "" {
		if q.UpTo, err = strconv.ParseInt(text, 10, 64); err != nil || q.UpTo < 1 {
			return q, fault.Newf(fault.Invalid, "upTo is %q and no number from 1 on", text)
		}
	}
	if text := v.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > meter.MaxDemandRows {
			return q, fault.Newf(fault.Invalid, "limit is %q and no number from 1 to %d", text, meter.MaxDemandRows)
		}
	}
	q.Since, q.Until, err = span(v)
	return q, err
}
