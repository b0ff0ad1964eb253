package bedrock

import (
	"forebay/api"
	"forebay/custom"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) modelImports() {
	authorized(s, api.Operation[shapes.CreateModelImportJobRequest, shapes.CreateModelImportJobResponse]{Shape: shapes.CreateModelImportJob, Run: s.createImport})
	authorized(s, api.Operation[shapes.GetModelImportJobRequest, shapes.GetModelImportJobResponse]{Shape: shapes.GetModelImportJob, Run: s.getImport})
	authorized(s, api.Operation[shapes.ListModelImportJobsRequest, shapes.ListModelImportJobsResponse]{Shape: shapes.ListModelImportJobs, Run: s.listImports})
	authorized(s, api.Operation[shapes.GetImportedModelRequest, shapes.GetImportedModelResponse]{Shape: shapes.GetImportedModel, Run: s.getImported})
	authorized(s, api.Operation[shapes.ListImportedModelsRequest, shapes.ListImportedModelsResponse]{Shape: shapes.ListImportedModels, Run: s.listImported})
	authorized(s, api.Operation[shapes.DeleteImportedModelRequest, shapes.DeleteImportedModelResponse]{Shape: shapes.DeleteImportedModel, Run: s.deleteImported})
}

func (s *Service) createImport(c *api.Call, in *shapes.CreateModelImportJobRequest) (*shapes.CreateModelImportJobResponse, error) {
	at, err := source(in.ModelDataSource)
	if err != nil {
		return nil, err
	}
	arn, err := s.control.Custom.CreateJob(c.Context(), creation(c, in.ClientRequestToken, in.JobTags), &custom.Import{
		JobName: in.JobName, ModelName: in.ImportedModelName, Source: at, Role: in.RoleArn, ModelTags: tagList(in.ImportedModelTags),
	})
	if err != nil {
		return nil, err
	}
	if in.ImportedModelKmsKeyId != nil {
		api.AddDropped(c.W.Header(), "importedModelKmsKeyId")
	}
	if in.VpcConfig != nil {
		api.AddDropped(c.W.Header(), "vpcConfig")
	}
	return &shapes.CreateModelImportJobResponse{JobArn: arn}, nil
}

// dataSource is where an artifact lies, as it was said.
func dataSource(uri string) *shapes.ModelDataSource {
	return &shapes.ModelDataSource{S3DataSource: &shapes.S3DataSource{S3Uri: uri}}
}

// importedARN is the ARN of a job's model, nil before there is one.
func importedARN(j *custom.Job) *string {
	if j.Status != custom.Completed {
		return nil
	}
	return &j.Model
}

func (s *Service) getImport(c *api.Call, in *shapes.GetModelImportJobRequest) (*shapes.GetModelImportJobResponse, error) {
	j, err := s.control.Custom.Job(c.Context(), c.Principal.Account, in.JobIdentifier)
	if err != nil {
		return nil, err
	}
	return &shapes.GetModelImportJobResponse{
		JobArn: &j.ARN, JobName: &j.Name, ImportedModelName: &j.ModelName, ImportedModelArn: importedARN(j), RoleArn: &j.Role, ModelDataSource: dataSource(j.Source),
		Status: new(string(j.Status)), FailureMessage: api.Present(j.Failure), CreationTime: &j.Created, LastModifiedTime: &j.Updated, EndTime: moment(j.Ended),
	}, nil
}

func (s *Service) listImports(c *api.Call, in *shapes.ListModelImportJobsRequest) (*shapes.ListModelImportJobsResponse, error) {
	f := page(in.CreationTimeAfter, in.CreationTimeBefore, in.NameContains, in.MaxResults, in.NextToken, in.SortOrder)
	list, next, err := s.control.Custom.JobList(c.Context(), c.Principal.Account, custom.JobStatus(api.Given(in.StatusEquals)), &f)
	if err != nil {
		return nil, err
	}
	out := &shapes.ListModelImportJobsResponse{ModelImportJobSummaries: []shapes.ModelImportJobSummary{}, NextToken: api.Present(next)}
	for _, j := range list {
		out.ModelImportJobSummaries = append(out.ModelImportJobSummaries, shapes.ModelImportJobSummary{
			JobArn: j.ARN, JobName: j.Name, Status: string(j.Status), LastModifiedTime: &j.Updated, CreationTime: j.Created, EndTime: moment(j.Ended),
			ImportedModelArn: importedARN(j), ImportedModelName: &j.ModelName,
		})
	}
	return out, nil
}

func (s *Service) getImported(c *api.Call, in *shapes.GetImportedModelRequest) (*shapes.GetImportedModelResponse, error) {
	m, err := s.control.Custom.Imported(c.Context(), c.Principal.Account, in.ModelIdentifier)
	if err != nil {
		return nil, err
	}
	return &shapes.GetImportedModelResponse{
		ModelArn: &m.ARN, ModelName: &m.Name, JobName: &m.JobName, JobArn: &m.Job, ModelDataSource: dataSource(m.Source), CreationTime: &m.Created,
		ModelArchitecture: &m.Weights.Architecture, InstructSupported: &m.Weights.Instruct,
	}, nil
}

func (s *Service) listImported(c *api.Call, in *shapes.ListImportedModelsRequest) (*shapes.ListImportedModelsResponse, error) {
	f := page(in.CreationTimeAfter, in.CreationTimeBefore, in.NameContains, in.MaxResults, in.NextToken, in.SortOrder)
	list, next, err := s.control.Custom.ImportedList(c.Context(), c.Principal.Account, &f)
	if err != nil {
		return nil, err
	}
	out := &shapes.ListImportedModelsResponse{ModelSummaries: []shapes.ImportedModelSummary{}, NextToken: api.Present(next)}
	for _, m := range list {
		out.ModelSummaries = append(out.ModelSummaries, shapes.ImportedModelSummary{
			ModelArn: m.ARN, ModelName: m.Name, CreationTime: m.Created, InstructSupported: &m.Weights.Instruct, ModelArchitecture: &m.Weights.Architecture,
		})
	}
	return out, nil
}

func (s *Service) deleteImported(c *api.Call, in *shapes.DeleteImportedModelRequest) (*shapes.DeleteImportedModelResponse, error) {
	return &shapes.DeleteImportedModelResponse{}, s.control.Custom.DeleteImported(c.Context(), c.Principal.Account, in.ModelIdentifier)
}
