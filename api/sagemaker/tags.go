package sagemaker

import (
	"maps"
	"slices"

	"forebay/api"
	"forebay/resource"
	shapes "forebay/wire/shapes/sagemaker"
)

func (s *Service) tagging() {
	authorized(s, api.Operation[shapes.AddTagsInput, shapes.AddTagsOutput]{Shape: shapes.AddTags, Run: s.addTags})
	authorized(s, api.Operation[shapes.DeleteTagsInput, shapes.DeleteTagsOutput]{Shape: shapes.DeleteTags, Run: s.deleteTags})
	authorized(s, api.Operation[shapes.ListTagsInput, shapes.ListTagsOutput]{Shape: shapes.ListTags, Run: s.listTags})
}

func (s *Service) addTags(c *api.Call, in *shapes.AddTagsInput) (*shapes.AddTagsOutput, error) {
	if err := s.tags.Tag(c.Context(), c.Principal.Account, in.ResourceArn, tagList(in.Tags)); err != nil {
		return nil, err
	}
	tags, err := s.tagsOf(c, in.ResourceArn)
	return &shapes.AddTagsOutput{Tags: tags}, err
}

func (s *Service) deleteTags(c *api.Call, in *shapes.DeleteTagsInput) (*shapes.DeleteTagsOutput, error) {
	return &shapes.DeleteTagsOutput{}, s.tags.Untag(c.Context(), c.Principal.Account, in.ResourceArn, in.TagKeys)
}

// listTags gives all of them in one page: there are at most resource.MaxTags.
func (s *Service) listTags(c *api.Call, in *shapes.ListTagsInput) (*shapes.ListTagsOutput, error) {
	tags, err := s.tagsOf(c, in.ResourceArn)
	return &shapes.ListTagsOutput{Tags: tags}, err
}

// tagsOf returns the tags of a resource by name.
func (s *Service) tagsOf(c *api.Call, arn string) ([]shapes.Tag, error) {
	tags, err := s.tags.Tags(c.Context(), c.Principal.Account, arn)
	out := make([]shapes.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, shapes.Tag{Key: key, Value: tags[key]})
	}
	return out, err
}

func tagList(in []shapes.Tag) []resource.Tag {
	out := make([]resource.Tag, len(in))
	for i, t := range in {
		out[i] = resource.Tag(t)
	}
	return out
}
