package bedrock

import (
	"maps"
	"slices"

	"forebay/api"
	"forebay/resource"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) tagging() {
	authorized(s, api.Operation[shapes.TagResourceRequest, shapes.TagResourceResponse]{Shape: shapes.TagResource, Run: s.tag})
	authorized(s, api.Operation[shapes.UntagResourceRequest, shapes.UntagResourceResponse]{Shape: shapes.UntagResource, Run: s.untag})
	authorized(s, api.Operation[shapes.ListTagsForResourceRequest, shapes.ListTagsForResourceResponse]{Shape: shapes.ListTagsForResource, Run: s.listTags})
}

func (s *Service) tag(c *api.Call, in *shapes.TagResourceRequest) (*shapes.TagResourceResponse, error) {
	return &shapes.TagResourceResponse{}, s.control.Tags.Tag(c.Context(), c.Principal.Account, in.ResourceARN, tagList(in.Tags))
}

func (s *Service) untag(c *api.Call, in *shapes.UntagResourceRequest) (*shapes.UntagResourceResponse, error) {
	return &shapes.UntagResourceResponse{}, s.control.Tags.Untag(c.Context(), c.Principal.Account, in.ResourceARN, in.TagKeys)
}

func (s *Service) listTags(c *api.Call, in *shapes.ListTagsForResourceRequest) (*shapes.ListTagsForResourceResponse, error) {
	tags, err := s.control.Tags.Tags(c.Context(), c.Principal.Account, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	out := &shapes.ListTagsForResourceResponse{Tags: []shapes.Tag{}}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out.Tags = append(out.Tags, shapes.Tag{Key: key, Value: tags[key]})
	}
	return out, nil
}

func tagList(in []shapes.Tag) []resource.Tag {
	out := make([]resource.Tag, len(in))
	for i, t := range in {
		out[i] = resource.Tag(t)
	}
	return out
}
