package admin

import "forebay/api"

// EngineInfo is an engine with what stands behind it.
type EngineInfo struct {
	Name      string       `json:"name"`
	Type      string       `json:"type"`
	URL       string       `json:"url,omitempty"`
	ManagedBy string       `json:"managedBy,omitempty"` // where the file declares it
	Pools     []EnginePool `json:"pools"`               // one for each model that it serves
}

// EnginePool is an engine as it serves one model.
type EnginePool struct {
	Model    string `json:"model"`
	Upstream string `json:"upstream"` // the engine's name of the model
	Kind     string `json:"kind"`     // "owned", "rented", "bought"
	Why      string `json:"why"`      // what the kind follows from
	// Guarantee says what the kind promises.
	Guarantee         string `json:"guarantee"`
	Slots             int32  `json:"slots,omitzero"` // calls that it takes at once; 0 is many
	RequestsPerMinute int64  `json:"requestsPerMinute,omitzero"`
	TokensPerMinute   int64  `json:"tokensPerMinute,omitzero"`
	Standby           bool   `json:"standby,omitzero"`
}

func (s *Service) engine(c *api.Call, name string) (any, error) {
	return s.view.Catalogue().Engine(c.Context(), name)
}
