"""Provisioned throughput by boto3 and the AWS CLI, unmodified: bought, listed, called by ARN, renamed and ended."""

import json
import uuid

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conftest import HAIKU, NOVA, TITAN, code, setting
from test_cli import HELLO, aws


def name() -> str:
    return "pt-" + uuid.uuid4().hex[:12]


def buy(control, **more) -> dict:
    order = {"provisionedModelName": name(), "modelId": HAIKU, "modelUnits": 1} | more
    arn = control.create_provisioned_model_throughput(**order)["provisionedModelArn"]
    return control.get_provisioned_model_throughput(provisionedModelId=arn)


def ask(runtime, model: str, **more) -> dict:
    return runtime.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "Hello"}]}], **more)


def test_life(control, runtime):
    bought = buy(control, modelId=HAIKU + ":48k", modelUnits=2, tags=[{"key": "team", "value": "search"}])
    arn = bought["provisionedModelArn"]
    model = "arn:aws:bedrock:us-east-1::foundation-model/" + HAIKU
    assert bought["status"] == "InService" and bought["modelUnits"] == bought["desiredModelUnits"] == 2
    assert bought["modelArn"] == bought["desiredModelArn"] == model + ":48k" and bought["foundationModelArn"] == model
    assert "commitmentDuration" not in bought and "failureMessage" not in bought
    assert bought["creationTime"] <= bought["lastModifiedTime"]
    assert control.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "team", "value": "search"}]

    out = ask(runtime, arn)
    assert out["output"]["message"]["content"][0]["text"]
    assert out["ResponseMetadata"]["HTTPHeaders"]["x-forebay-model-served"] == HAIKU
    stream = runtime.converse_stream(modelId=arn, messages=[{"role": "user", "content": [{"text": "Hello"}]}])
    assert "messageStop" in [next(iter(e)) for e in stream["stream"]]
    native = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]})
    assert json.loads(runtime.invoke_model(modelId=arn, body=native)["body"].read())["content"]
    chunks = list(runtime.invoke_model_with_response_stream(modelId=arn, body=native)["body"])
    assert json.loads(chunks[-1]["chunk"]["bytes"])["type"] == "message_stop"
    counted = runtime.count_tokens(modelId=arn, input={"converse": {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}})
    assert counted["inputTokens"] > 0

    renamed = name()
    control.update_provisioned_model_throughput(provisionedModelId=bought["provisionedModelName"], desiredProvisionedModelName=renamed)
    assert control.get_provisioned_model_throughput(provisionedModelId=renamed)["provisionedModelArn"] == arn
    control.delete_provisioned_model_throughput(provisionedModelId=renamed)
    with pytest.raises(control.exceptions.ResourceNotFoundException):
        control.get_provisioned_model_throughput(provisionedModelId=arn)
    with pytest.raises(runtime.exceptions.ResourceNotFoundException):
        ask(runtime, arn)


def test_token(control):
    order = {"provisionedModelName": name(), "modelId": HAIKU, "modelUnits": 1, "clientRequestToken": uuid.uuid4().hex}
    first = control.create_provisioned_model_throughput(**order)
    again = control.create_provisioned_model_throughput(**order)
    assert first["provisionedModelArn"] == again["provisionedModelArn"]
    with pytest.raises(control.exceptions.ValidationException):
        control.create_provisioned_model_throughput(**order | {"modelUnits": 2})
    control.delete_provisioned_model_throughput(provisionedModelId=first["provisionedModelArn"])


def test_commitment(control):
    bought = buy(control, modelId=TITAN, commitmentDuration="SixMonths")
    assert bought["commitmentDuration"] == "SixMonths"
    assert 180 <= (bought["commitmentExpirationTime"] - bought["creationTime"]).days <= 184
    with pytest.raises(control.exceptions.ConflictException):
        control.delete_provisioned_model_throughput(provisionedModelId=bought["provisionedModelArn"])


def test_lists(control):
    prefix = uuid.uuid4().hex[:8]
    names = [f"{prefix}-{i}" for i in range(5)]
    for i, n in enumerate(names):
        buy(control, provisionedModelName=n, modelId=[HAIKU, NOVA][i % 2])
    pages = control.get_paginator("list_provisioned_model_throughputs")

    def listed(**more) -> list:
        found = pages.paginate(nameContains=prefix, PaginationConfig={"PageSize": 2}, **more)
        return [s["provisionedModelName"] for p in found for s in p["provisionedModelSummaries"]]

    assert listed(sortBy="CreationTime", sortOrder="Ascending") == names
    assert listed(sortOrder="Descending") == names[::-1]
    assert listed(modelArnEquals="arn:aws:bedrock:us-east-1::foundation-model/" + NOVA, sortOrder="Ascending") == names[1::2]
    assert listed(statusEquals="Failed") == []
    third = control.get_provisioned_model_throughput(provisionedModelId=names[2])["creationTime"]
    assert listed(creationTimeBefore=third, sortOrder="Ascending") == names[:2]
    for n in names:
        control.delete_provisioned_model_throughput(provisionedModelId=n)
    assert listed() == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"modelUnits": 0}, "ValidationException"),
        ({"modelId": "no.such-model"}, "ValidationException"),
        ({"modelId": "meta.llama3-8b-instruct-v1:0"}, "ValidationException"),
        ({"modelId": f"arn:aws:bedrock:us-east-1:999999999999:custom-model/{HAIKU}/abcdefabcdef"}, "ResourceNotFoundException"),
        ({"tags": [{"key": f"k{i}", "value": ""} for i in range(51)]}, "TooManyTagsException"),
    ],
)
def test_refused(url, change, error):
    order = {"provisionedModelName": name(), "modelId": HAIKU, "modelUnits": 1} | change
    unchecked = boto3.client(  # which sends what boto3 would refuse itself
        "bedrock",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=setting("FOREBAY_TEST_ACCESS_KEY"),
        aws_secret_access_key=setting("FOREBAY_TEST_SECRET_KEY"),
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError) as refused:
        unchecked.create_provisioned_model_throughput(**order)
    assert code(refused) == error


def test_cli(url):
    def run(service, operation, *args):
        out = aws(url, service, operation, *args)
        assert out.returncode == 0, out.stderr
        return json.loads(out.stdout or "{}")

    n = name()
    arn = run(
        "bedrock", "create-provisioned-model-throughput", "--provisioned-model-name", n, "--model-id", HAIKU, "--model-units", "1",
        "--tags", "key=team,value=search",
    )["provisionedModelArn"]
    got = run("bedrock", "get-provisioned-model-throughput", "--provisioned-model-id", n)
    assert got["provisionedModelArn"] == arn and got["status"] == "InService"
    listed = run("bedrock", "list-provisioned-model-throughputs", "--name-contains", n)
    assert [s["provisionedModelArn"] for s in listed["provisionedModelSummaries"]] == [arn]
    said = run("bedrock-runtime", "converse", "--model-id", arn, "--messages", HELLO)
    assert said["output"]["message"]["content"]
    run("bedrock", "update-provisioned-model-throughput", "--provisioned-model-id", arn, "--desired-provisioned-model-name", n + "-b")
    run("bedrock", "delete-provisioned-model-throughput", "--provisioned-model-id", n + "-b")
    assert run("bedrock", "list-provisioned-model-throughputs", "--name-contains", n)["provisionedModelSummaries"] == []
    out = aws(url, "bedrock", "delete-provisioned-model-throughput", "--provisioned-model-id", arn)
    assert out.returncode != 0 and "(ResourceNotFoundException) when calling the DeleteProvisionedModelThroughput operation" in out.stderr
