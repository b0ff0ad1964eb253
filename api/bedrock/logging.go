package bedrock

import (
	"context"

	"forebay/api"
	"forebay/artifact"
	"forebay/fault"
	"forebay/invocationlog"
	shapes "forebay/wire/shapes/bedrock"
)

// Logging keeps what accounts say of the log of their model invocations.
type Logging interface {
	// Get returns what is in force for an account, nil for nothing.
	Get(account string) *invocationlog.Config
	// Put sets it. Faults: Invalid; Conflict where the configuration of the server says it.
	Put(ctx context.Context, account string, c *invocationlog.Config) error
	// Delete removes it. Faults: Conflict.
	Delete(ctx context.Context, account string) error
}

func (s *Service) invocationLogging() {
	authorized(s, api.Operation[shapes.PutModelInvocationLoggingConfigurationRequest, shapes.PutModelInvocationLoggingConfigurationResponse]{Shape: shapes.PutModelInvocationLoggingConfiguration, Run: s.putLogging})
	authorized(s, api.Operation[shapes.GetModelInvocationLoggingConfigurationRequest, shapes.GetModelInvocationLoggingConfigurationResponse]{Shape: shapes.GetModelInvocationLoggingConfiguration, Run: s.getLogging})
	authorized(s, api.Operation[shapes.DeleteModelInvocationLoggingConfigurationRequest, shapes.DeleteModelInvocationLoggingConfigurationResponse]{Shape: shapes.DeleteModelInvocationLoggingConfiguration, Run: s.deleteLogging})
}

func (s *Service) putLogging(c *api.Call, in *shapes.PutModelInvocationLoggingConfigurationRequest) (*shapes.PutModelInvocationLoggingConfigurationResponse, error) {
	l := in.LoggingConfig
	switch {
	case l.CloudWatchConfig != nil:
		return nil, fault.New(fault.Invalid, "cloudWatchConfig is not supported by this server. Use s3Config.")
	case l.S3Config == nil:
		return nil, fault.New(fault.Invalid, "The logging configuration must have a destination: s3Config.")
	}
	at, err := artifact.Parse("s3://" + l.S3Config.BucketName + "/" + api.Given(l.S3Config.KeyPrefix))
	if err != nil {
		return nil, err
	}
	on := func(p *bool) bool { return p == nil || *p }
	return &shapes.PutModelInvocationLoggingConfigurationResponse{}, s.control.Logging.Put(c.Context(), c.Principal.Account, &invocationlog.Config{
		Location: at,
		Data: invocationlog.Data{
			Text: on(l.TextDataDeliveryEnabled), Image: on(l.ImageDataDeliveryEnabled), Embedding: on(l.EmbeddingDataDeliveryEnabled),
			Video: on(l.VideoDataDeliveryEnabled), Audio: on(l.AudioDataDeliveryEnabled),
		},
	})
}

func (s *Service) getLogging(c *api.Call, _ *shapes.GetModelInvocationLoggingConfigurationRequest) (*shapes.GetModelInvocationLoggingConfigurationResponse, error) {
	l := s.control.Logging.Get(c.Principal.Account)
	if l == nil {
		return &shapes.GetModelInvocationLoggingConfigurationResponse{}, nil
	}
	where := shapes.S3Config{BucketName: l.Location.Bucket, KeyPrefix: api.Present(l.Location.Key)}
	if l.Location.Path != "" { // the operator's
		where.BucketName = l.Location.String()
	}
	d := l.Data
	return &shapes.GetModelInvocationLoggingConfigurationResponse{LoggingConfig: &shapes.LoggingConfig{
		S3Config: &where, TextDataDeliveryEnabled: &d.Text, ImageDataDeliveryEnabled: &d.Image, EmbeddingDataDeliveryEnabled: &d.Embedding,
		VideoDataDeliveryEnabled: &d.Video, AudioDataDeliveryEnabled: &d.Audio,
	}}, nil
}

func (s *Service) deleteLogging(c *api.Call, _ *shapes.DeleteModelInvocationLoggingConfigurationRequest) (*shapes.DeleteModelInvocationLoggingConfigurationResponse, error) {
	return &shapes.DeleteModelInvocationLoggingConfigurationResponse{}, s.control.Logging.Delete(c.Context(), c.Principal.Account)
}
