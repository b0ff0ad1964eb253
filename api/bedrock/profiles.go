package bedrock

import (
	"forebay/api"
	"forebay/profile"
	"forebay/resource"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) inferenceProfiles() {
	authorized(s, api.Operation[shapes.CreateInferenceProfileRequest, shapes.CreateInferenceProfileResponse]{Shape: shapes.CreateInferenceProfile, Run: s.createProfile})
	authorized(s, api.Operation[shapes.GetInferenceProfileRequest, shapes.GetInferenceProfileResponse]{Shape: shapes.GetInferenceProfile, Run: s.getProfile})
	authorized(s, api.Operation[shapes.ListInferenceProfilesRequest, shapes.ListInferenceProfilesResponse]{Shape: shapes.ListInferenceProfiles, Run: s.listProfiles})
	authorized(s, api.Operation[shapes.DeleteInferenceProfileRequest, shapes.DeleteInferenceProfileResponse]{Shape: shapes.DeleteInferenceProfile, Run: s.deleteProfile})
}

// statusActive is the one status that profiles have.
const statusActive = "ACTIVE"

func (s *Service) createProfile(c *api.Call, in *shapes.CreateInferenceProfileRequest) (*shapes.CreateInferenceProfileResponse, error) {
	w := profile.Wanted{Name: in.InferenceProfileName, Description: api.Given(in.Description), CopyFrom: api.Given(in.ModelSource.CopyFrom)}
	arn, err := s.control.Profiles.Create(c.Context(), creation(c, in.ClientRequestToken, in.Tags), &w)
	if err != nil {
		return nil, err
	}
	return &shapes.CreateInferenceProfileResponse{InferenceProfileArn: arn, Status: new(statusActive)}, nil
}

func (s *Service) getProfile(c *api.Call, in *shapes.GetInferenceProfileRequest) (*shapes.GetInferenceProfileResponse, error) {
	p, err := s.control.Profiles.Get(c.Context(), c.Principal.Account, in.InferenceProfileIdentifier)
	if err != nil {
		return nil, err
	}
	out := shapes.GetInferenceProfileResponse(profileSummary(p)) // the two have the same members
	return &out, nil
}

func (s *Service) listProfiles(c *api.Call, in *shapes.ListInferenceProfilesRequest) (*shapes.ListInferenceProfilesResponse, error) {
	f := resource.Filter{Max: int(api.Given(in.MaxResults)), Token: api.Given(in.NextToken)}
	list, next, err := s.control.Profiles.List(c.Context(), c.Principal.Account, api.Given(in.TypeEquals), &f)
	if err != nil {
		return nil, err
	}
	out := &shapes.ListInferenceProfilesResponse{InferenceProfileSummaries: []shapes.InferenceProfileSummary{}, NextToken: api.Present(next)}
	for _, p := range list {
		out.InferenceProfileSummaries = append(out.InferenceProfileSummaries, profileSummary(p))
	}
	return out, nil
}

func (s *Service) deleteProfile(c *api.Call, in *shapes.DeleteInferenceProfileRequest) (*shapes.DeleteInferenceProfileResponse, error) {
	return &shapes.DeleteInferenceProfileResponse{}, s.control.Profiles.Delete(c.Context(), c.Principal.Account, in.InferenceProfileIdentifier)
}

func profileSummary(p *profile.Profile) shapes.InferenceProfileSummary {
	out := shapes.InferenceProfileSummary{
		InferenceProfileName: p.Name, Description: api.Present(p.Description), InferenceProfileArn: p.ARN, InferenceProfileId: p.ID, Status: statusActive, Type: profile.Application,
	}
	if p.System {
		out.Type = profile.System
	} else {
		out.CreatedAt, out.UpdatedAt = &p.Created, &p.Updated
	}
	for _, arn := range p.Models {
		out.Models = append(out.Models, shapes.InferenceProfileModel{ModelArn: &arn})
	}
	return out
}
