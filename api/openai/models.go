package openai

import (
	"net/http"

	"forebay/api"
	"forebay/fault"

	"github.com/go-json-experiment/json"
)

type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// models answers GET /models and GET /models/{id}.
func (s *Service) models(c *api.Call, id string) error {
	if c.HTTP.Method != http.MethodGet {
		return unknown(c)
	}
	if id != "" {
		c.Operation = "RetrieveModel"
		in := api.Intent{Model: api.Unescape(id), Action: api.ActionGetModel}
		res, err := s.Resolve(c, &in)
		if err != nil {
			return api.NameModel(err, unknownModel, in.Model)
		}
		return reply(c, model{ID: in.Model, Object: "model", OwnedBy: res.Model.Provider})
	}
	c.Operation = "ListModels"
	list := struct {
		Object string  `json:"object"`
		Data   []model `json:"data"`
	}{Object: "list", Data: []model{}}
	for _, m := range s.Models.List(c.Principal.Account) {
		list.Data = append(list.Data, model{ID: m.ID, Object: "model", OwnedBy: m.Provider})
	}
	for _, a := range s.Models.Aliases(c.Principal.Account) {
		list.Data = append(list.Data, model{ID: a.Name, Object: "model", OwnedBy: a.Model.Provider})
	}
	return reply(c, list)
}

func reply(c *api.Call, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "")
	}
	return c.W.Body(http.StatusOK, "application/json", b)
}
