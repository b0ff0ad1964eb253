"""What callers deploy, by boto3 and the AWS CLI, unmodified: models and configurations of endpoints, with their tags."""

import json
import uuid

import openai
import pytest
from botocore.exceptions import ClientError, WaiterError

from conftest import client, code
from test_cli import aws

ARN = "arn:aws:sagemaker:us-east-1:000000000000:"
ROLE = "arn:aws:iam::000000000000:role/anything"
PRIMARY = {"Image": "echo:1", "ModelDataUrl": "s3://weights/echo.tar.gz", "Environment": {"LEVEL": "3"}}


def name() -> str:
    return "x-" + uuid.uuid4().hex[:12]


@pytest.fixture(scope="module")
def sagemaker(url):
    return client("sagemaker", url)


def model(sagemaker, **more) -> str:
    made = name()
    sagemaker.create_model(ModelName=made, PrimaryContainer=PRIMARY, ExecutionRoleArn=ROLE, **more)
    return made


def variant(model: str | None, **more) -> dict:
    of = {"ModelName": model} if model else {}
    return {"VariantName": "all", **of, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, **more}


def refused(call, message: str, name: str = "ValidationException"):
    with pytest.raises(ClientError) as error:
        call()
    assert code(error) == name, error.value
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert message in error.value.response["Error"]["Message"]


def test_model(sagemaker):
    made = model(sagemaker, Tags=[{"Key": "team", "Value": "search"}])
    got = sagemaker.describe_model(ModelName=made)
    assert got["ModelArn"] == ARN + "model/" + made
    assert got["PrimaryContainer"] == PRIMARY
    assert got["ExecutionRoleArn"] == ROLE
    assert sagemaker.list_tags(ResourceArn=got["ModelArn"])["Tags"] == [{"Key": "team", "Value": "search"}]
    after = sagemaker.add_tags(ResourceArn=got["ModelArn"], Tags=[{"Key": "stage", "Value": "test"}])["Tags"]
    assert [t["Key"] for t in after] == ["stage", "team"]
    sagemaker.delete_tags(ResourceArn=got["ModelArn"], TagKeys=["team"])
    assert sagemaker.list_tags(ResourceArn=got["ModelArn"])["Tags"] == [{"Key": "stage", "Value": "test"}]
    sagemaker.delete_model(ModelName=made)
    missing = 'Could not find model "%smodel/%s".' % (ARN, made)
    refused(lambda: sagemaker.describe_model(ModelName=made), missing)
    refused(lambda: sagemaker.delete_model(ModelName=made), missing)
    refused(lambda: sagemaker.list_tags(ResourceArn=got["ModelArn"]), "Could not find the resource")


def test_model_from_a_folder(sagemaker):
    made = name()
    source = {"S3DataSource": {"S3Uri": "s3://weights/echo/", "S3DataType": "S3Prefix", "CompressionType": "None"}}
    sagemaker.create_model(ModelName=made, Containers=[{"Image": "echo:1", "ModelDataSource": source}])
    got = sagemaker.describe_model(ModelName=made)
    assert got["Containers"] == [{"Image": "echo:1", "ModelDataSource": source}]
    assert "PrimaryContainer" not in got


def test_models_are_listed(sagemaker):
    prefix = name()
    made = [prefix + "-" + x for x in "bca"]
    for m in made:
        sagemaker.create_model(ModelName=m, PrimaryContainer={"Image": "echo:1"})

    def listed(**how):
        pages = sagemaker.get_paginator("list_models").paginate(NameContains=prefix, PaginationConfig={"PageSize": 1}, **how)
        return [m["ModelName"] for page in pages for m in page["Models"]]

    assert listed() == made[::-1]
    assert listed(SortOrder="Ascending") == made
    assert listed(SortBy="Name", SortOrder="Ascending") == sorted(made)
    assert listed(SortBy="Name", SortOrder="Descending") == sorted(made, reverse=True)
    for m in made:
        sagemaker.delete_model(ModelName=m)
    assert listed() == []


def test_models_that_cannot_be(sagemaker):
    made = model(sagemaker)

    def create(**given):
        return lambda: sagemaker.create_model(**{"ModelName": name(), **given})

    refused(create(ModelName=made, PrimaryContainer=PRIMARY), 'Cannot create already existing model "%smodel/%s".' % (ARN, made))
    refused(create(ModelName="-x", PrimaryContainer=PRIMARY), "Value '-x' at 'modelName' failed to satisfy constraint: Member must satisfy regular expression pattern")
    refused(create(ModelName="x" * 64, PrimaryContainer=PRIMARY), "Member must have length less than or equal to 63")
    refused(create(PrimaryContainer={}), "Please specify either an Image or a ModelPackageName")
    refused(create(), "One of PrimaryContainer and Containers must be specified.")
    refused(create(PrimaryContainer=PRIMARY, Containers=[PRIMARY]), "cannot both be specified")
    refused(create(Containers=[PRIMARY, PRIMARY]), "is not supported by this server")
    refused(create(PrimaryContainer={"Image": "x", "Mode": "MultiModel"}), "is not supported by this server")


def test_config(sagemaker):
    made, config = model(sagemaker), name()
    variants = [
        variant(made, VariantName="a", InitialInstanceCount=2, InitialVariantWeight=3.0, ContainerStartupHealthCheckTimeoutInSeconds=120),
        variant(made, VariantName="b", InitialVariantWeight=0.5),
    ]
    arn = sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=variants)["EndpointConfigArn"]
    assert arn == ARN + "endpoint-config/" + config
    assert sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"] == variants
    listed = sagemaker.list_endpoint_configs(NameContains=config)["EndpointConfigs"]
    assert [c["EndpointConfigName"] for c in listed] == [config]
    sagemaker.delete_endpoint_config(EndpointConfigName=config)
    missing = 'Could not find endpoint configuration "%s".' % arn
    refused(lambda: sagemaker.describe_endpoint_config(EndpointConfigName=config), missing)
    refused(lambda: sagemaker.delete_endpoint_config(EndpointConfigName=config), missing)


def test_serverless_config(sagemaker):
    made, config = model(sagemaker), name()
    serverless = {"MemorySizeInMB": 3072, "MaxConcurrency": 20, "ProvisionedConcurrency": 5}
    sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[{"VariantName": "all", "ModelName": made, "ServerlessConfig": serverless}])
    (got,) = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    assert got["ServerlessConfig"] == serverless
    assert "InstanceType" not in got


def test_configs_that_cannot_be(sagemaker):
    made = model(sagemaker)

    def create(*variants, **more):
        return lambda: sagemaker.create_endpoint_config(EndpointConfigName=name(), ProductionVariants=list(variants), **more)

    def serverless(**given):
        return {"VariantName": "all", "ModelName": made, "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5, **given}}

    refused(create(variant("none-such")), 'Could not find model "%smodel/none-such".' % ARN)
    refused(create(variant(made), variant(made)), "Variant names must be unique")
    refused(create(variant(made, VariantName="a_b")), "at 'productionVariants.1.member.variantName' failed to satisfy constraint")
    refused(create(variant(made, ModelDataDownloadTimeoutInSeconds=3601)), "Member must have value less than or equal to 3600")
    refused(create({"VariantName": "all", "ModelName": made, "InstanceType": "ml.m5.large"}), "InitialInstanceCount")
    refused(create({"VariantName": "all", "ModelName": made, "InitialInstanceCount": 1}), "neither an InstanceType nor a ServerlessConfig")
    refused(create(serverless(MemorySizeInMB=1500)), "MemorySizeInMB 1500")
    refused(create(serverless(MaxConcurrency=201)), "less than or equal to 200")
    refused(create(serverless(ProvisionedConcurrency=6)), "greater than its MaxConcurrency")
    refused(create({**serverless(), "InstanceType": "ml.g5.xlarge"}), "only one of them can be")
    refused(create(serverless(), variant(made, VariantName="b")), "exactly one production variant")
    refused(create(variant(None)), "ExecutionRoleArn")
    refused(create(variant(made), AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://x/y"}}), "is not supported by this server")
    refused(create(variant(made), ShadowProductionVariants=[variant(made, VariantName="shadow")]), "is not supported by this server")


def test_cli(url):
    made, config = name(), name()

    def run(*args):
        out = aws(url, "sagemaker", *args)
        assert out.returncode == 0, out.stderr
        return json.loads(out.stdout) if out.stdout else None

    run("create-model", "--model-name", made, "--primary-container", json.dumps(PRIMARY))
    run("create-endpoint-config", "--endpoint-config-name", config, "--production-variants", json.dumps([variant(made)]))
    assert run("describe-endpoint-config", "--endpoint-config-name", config)["ProductionVariants"][0]["ModelName"] == made
    run("delete-endpoint-config", "--endpoint-config-name", config)
    run("delete-model", "--model-name", made)
    out = aws(url, "sagemaker", "describe-model", "--model-name", made)
    assert "An error occurred (ValidationException)" in out.stderr


# What runs: the image "echo" of the configuration is echo_container.py beside this file.


@pytest.fixture(scope="module")
def invoke(url):
    return client("sagemaker-runtime", url)


QUICK = {"Delay": 1, "MaxAttempts": 60}


def deploy(sagemaker, level: str = "1", **more) -> str:
    """An endpoint of one instance, in service, and the name of its configuration."""
    made = name()
    sagemaker.create_model(ModelName=made, PrimaryContainer={"Image": "echo", "Environment": {"LEVEL": level}})
    sagemaker.create_endpoint_config(EndpointConfigName=made, ProductionVariants=[variant(made, **more)])
    return made


def test_endpoint(sagemaker, invoke):
    config = deploy(sagemaker)
    made = name()
    arn = sagemaker.create_endpoint(EndpointName=made, EndpointConfigName=config, Tags=[{"Key": "team", "Value": "search"}])["EndpointArn"]
    assert arn == ARN + "endpoint/" + made
    refused(lambda: sagemaker.create_endpoint(EndpointName=made, EndpointConfigName=config), 'Cannot create already existing endpoint "%s".' % arn)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=made, WaiterConfig=QUICK)
    got = sagemaker.describe_endpoint(EndpointName=made)
    assert got["EndpointStatus"] == "InService" and got["EndpointConfigName"] == config
    assert [(v["VariantName"], v["CurrentInstanceCount"], v["CurrentWeight"]) for v in got["ProductionVariants"]] == [("all", 1, 1.0)]
    assert [e["EndpointName"] for e in sagemaker.list_endpoints(NameContains=made, StatusEquals="InService")["Endpoints"]] == [made]

    answer = invoke.invoke_endpoint(EndpointName=made, Body=b"\x00\xff", ContentType="application/x-thing", CustomAttributes="a=b")
    assert answer["Body"].read() == b"1:\x00\xff"
    assert answer["ContentType"] == "application/x-thing"
    assert answer["InvokedProductionVariant"] == "all"
    assert answer["CustomAttributes"] == "a=b"
    stream = invoke.invoke_endpoint_with_response_stream(EndpointName=made, Body=b"hello", ContentType="text/plain")
    assert b"".join(e["PayloadPart"]["Bytes"] for e in stream["Body"]) == b"1:hello"
    assert stream["ContentType"] == "text/plain"

    with pytest.raises(ClientError) as error:
        invoke.invoke_endpoint(EndpointName=made, Body=b"refuse")
    assert code(error) == "ModelError"
    response = error.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 422 and response["OriginalMessage"] == "refused"
    assert 'Received client error (422) from primary with message "refused"' in response["Error"]["Message"]

    second = deploy(sagemaker, level="2")
    sagemaker.update_endpoint(EndpointName=made, EndpointConfigName=second)
    refused(lambda: sagemaker.delete_endpoint(EndpointName=made), 'Cannot update in-progress endpoint "%s".' % arn)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=made, WaiterConfig=QUICK)
    assert invoke.invoke_endpoint(EndpointName=made, Body=b"x")["Body"].read() == b"2:x"

    sagemaker.delete_endpoint(EndpointName=made)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=made, WaiterConfig=QUICK)
    refused(lambda: sagemaker.describe_endpoint(EndpointName=made), 'Could not find endpoint "%s".' % arn)
    refused(lambda: invoke.invoke_endpoint(EndpointName=made, Body=b"x"), "Endpoint %s of account 000000000000 not found." % made, "ValidationError")


def test_endpoint_that_does_not_start(sagemaker):
    config = deploy(sagemaker, level="broken")
    made = name()
    refused(lambda: sagemaker.create_endpoint(EndpointName=made, EndpointConfigName="none-such"), "Could not find endpoint configuration")
    sagemaker.create_model(ModelName=made, PrimaryContainer={"Image": "none:1"})
    sagemaker.create_endpoint_config(EndpointConfigName=made, ProductionVariants=[variant(made)])
    sagemaker.create_endpoint(EndpointName=made, EndpointConfigName=made)
    with pytest.raises(WaiterError):
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=made, WaiterConfig=QUICK)
    got = sagemaker.describe_endpoint(EndpointName=made)
    assert got["EndpointStatus"] == "Failed" and "none:1" in got["FailureReason"]
    refused(lambda: sagemaker.update_endpoint(EndpointName=made, EndpointConfigName=config), "can only be deleted")
    sagemaker.delete_endpoint(EndpointName=made)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=made, WaiterConfig=QUICK)


def test_scaling(url, sagemaker):
    scaling = client("application-autoscaling", url)
    config, made = deploy(sagemaker), name()
    sagemaker.create_endpoint(EndpointName=made, EndpointConfigName=config)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=made, WaiterConfig=QUICK)
    of = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/%s/variant/all" % made, "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    refused(lambda: scaling.deregister_scalable_target(**of), "No scalable target found", "ObjectNotFoundException")
    scaling.register_scalable_target(**of, MinCapacity=1, MaxCapacity=3)
    scaling.put_scaling_policy(
        **of, PolicyName="track", PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 70.0, "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}},
    )
    scaling.put_scheduled_action(**of, ScheduledActionName="morning", Schedule="cron(0 8 ? * MON-FRI *)", Timezone="Europe/Berlin", ScalableTargetAction={"MinCapacity": 2})
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[of["ResourceId"]])["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=of["ResourceId"])["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 70.0
    (action,) = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker", ResourceId=of["ResourceId"])["ScheduledActions"]
    assert action["Timezone"] == "Europe/Berlin"
    refused(lambda: scaling.register_scalable_target(**of, MinCapacity=4), "Maximum capacity cannot be less than minimum capacity.")
    scaling.deregister_scalable_target(**of)
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=of["ResourceId"])["ScalingPolicies"] == []
    sagemaker.delete_endpoint(EndpointName=made)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=made, WaiterConfig=QUICK)


def test_endpoint_that_chats(url, api_key, sagemaker, invoke):
    made = name()
    sagemaker.create_model(ModelName=made, PrimaryContainer={"Image": "chat", "Environment": {"LEVEL": "3"}})
    sagemaker.create_endpoint_config(EndpointConfigName=made, ProductionVariants=[variant(made)])
    sagemaker.create_endpoint(EndpointName=made, EndpointConfigName=made)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=made, WaiterConfig=QUICK)
    said = openai.OpenAI(base_url=url + "/v1", api_key=api_key, max_retries=0).chat.completions.create(
        model=made, messages=[{"role": "user", "content": "hi"}], max_tokens=10
    )
    assert said.choices[0].message.content == "3:hi"
    answer = client("bedrock-runtime", url).converse(modelId=made, messages=[{"role": "user", "content": [{"text": "hi"}]}], inferenceConfig={"maxTokens": 10})
    assert answer["output"]["message"]["content"] == [{"text": "3:hi"}]
    assert answer["usage"]["outputTokens"] == 2
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
    whole = json.loads(invoke.invoke_endpoint(EndpointName=made, Body=body, ContentType="application/json")["Body"].read())
    assert whole["choices"][0]["message"]["content"] == "3:hi"
    sagemaker.delete_endpoint(EndpointName=made)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=made, WaiterConfig=QUICK)
