"""What callers make in the control plane, by boto3 and the AWS CLI, unmodified: tags, inference profiles, custom and imported
models, deployments on demand, and the log of model invocations."""

import gzip
import json
import struct
import time
import urllib.parse
import uuid
from pathlib import Path

import anthropic
import openai
import pytest

from conftest import HAIKU, NOVA, TITAN_EMBED, admin, setting
from test_cli import HELLO, aws

FOUNDATION = "arn:aws:bedrock:us-east-1::foundation-model/"
ROLE = "arn:aws:iam::000000000000:role/anything"
ASK = [{"role": "user", "content": [{"text": "[[tokens:2]]"}]}]


def name() -> str:
    return "x" + uuid.uuid4().hex[:12]


def until(passing, look):
    """What a call returns once it is no longer one of those that pass."""
    deadline = time.monotonic() + 30
    while (found := look())[0] in passing:
        assert time.monotonic() < deadline, found
    return found[1]


def bucket(folder: str) -> Path:
    path = Path(setting("FOREBAY_TEST_DATA")) / "objects" / folder
    path.mkdir(parents=True, exist_ok=True)
    return path


def tensors() -> bytes:
    head = json.dumps({"w": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(head)) + head + b"12345678"


def adapter(base: str) -> dict:
    """An adapter in the bucket "weights", as a model's source."""
    key = "weights/" + name()
    (bucket(key) / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": base}))
    (bucket(key) / "adapter_model.safetensors").write_bytes(tensors())
    return {"s3DataSource": {"s3Uri": "s3://" + key}}


def whole() -> dict:
    key = "weights/" + name()
    (bucket(key) / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 2048}))
    (bucket(key) / "model.safetensors").write_bytes(tensors())
    return {"s3DataSource": {"s3Uri": "s3://" + key + "/"}}


def custom(control, source: dict, **more) -> str:
    arn = control.create_custom_model(modelName=name(), modelSourceConfig=source, **more)["modelArn"]

    def look():
        got = control.get_custom_model(modelIdentifier=arn)
        return got["modelStatus"], got

    got = until({"Creating"}, look)
    assert got["modelStatus"] == "Active", got
    admin("POST", "models/" + urllib.parse.quote(arn, safe=""), {"engines": [{"engine": "test", "model": "an-adapter"}]})
    return arn


def served(answer) -> str:
    return answer["ResponseMetadata"]["HTTPHeaders"]["x-forebay-model-served"]


def test_profiles_and_tags(control, runtime):
    project, n = name(), name()
    made = control.create_inference_profile(
        inferenceProfileName=n,
        description="of a test",
        modelSource={"copyFrom": "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us." + HAIKU},
        tags=[{"key": "project", "value": project}],
    )
    arn = made["inferenceProfileArn"]
    assert made["status"] == "ACTIVE"
    got = control.get_inference_profile(inferenceProfileIdentifier=arn)
    assert got["type"] == "APPLICATION" and got["models"] == [{"modelArn": FOUNDATION + HAIKU}] and got["createdAt"].tzinfo
    for model in (arn, got["inferenceProfileId"]):
        assert served(runtime.converse(modelId=model, messages=ASK)) == HAIKU
        stream = runtime.converse_stream(modelId=model, messages=ASK)["stream"]
        assert "metadata" in [next(iter(e)) for e in stream]
        native = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]})
        assert json.loads(runtime.invoke_model(modelId=model, body=native)["body"].read())["content"]
    rows = {tuple(r["group"]): r["requests"] for r in admin("GET", "usage?by=profile,tag:project")["rows"]}
    assert rows[(got["inferenceProfileId"], project)] == 6

    control.tag_resource(resourceARN=arn, tags=[{"key": "stage", "value": "test"}])
    control.untag_resource(resourceARN=arn, tagKeys=["project"])
    assert control.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "stage", "value": "test"}]
    with pytest.raises(control.exceptions.TooManyTagsException):
        control.tag_resource(resourceARN=arn, tags=[{"key": f"k{i}", "value": ""} for i in range(50)])

    pages = control.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION", PaginationConfig={"PageSize": 1})
    assert n in [s["inferenceProfileName"] for p in pages for s in p["inferenceProfileSummaries"]]
    system = control.get_paginator("list_inference_profiles").paginate(typeEquals="SYSTEM_DEFINED")
    assert "us." + HAIKU in [s["inferenceProfileId"] for p in system for s in p["inferenceProfileSummaries"]]
    with pytest.raises(control.exceptions.ConflictException):
        control.create_inference_profile(inferenceProfileName=n, modelSource={"copyFrom": FOUNDATION + TITAN_EMBED})
    control.delete_inference_profile(inferenceProfileIdentifier=arn)
    with pytest.raises(control.exceptions.ResourceNotFoundException):
        control.get_inference_profile(inferenceProfileIdentifier=arn)
    with pytest.raises(runtime.exceptions.ResourceNotFoundException):
        runtime.converse(modelId=arn, messages=ASK)


def test_custom_model_on_demand(control, runtime):
    arn = custom(control, adapter(NOVA), modelTags=[{"key": "a", "value": "b"}])
    assert control.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "a", "value": "b"}]
    listed = control.get_paginator("list_custom_models").paginate(baseModelArnEquals=FOUNDATION + NOVA)
    assert arn in [m["modelArn"] for p in listed for m in p["modelSummaries"]]
    with pytest.raises(runtime.exceptions.ValidationException):
        runtime.converse(modelId=arn, messages=ASK)

    deployment = control.create_custom_model_deployment(modelDeploymentName=name(), modelArn=arn)["customModelDeploymentArn"]

    def look():
        got = control.get_custom_model_deployment(customModelDeploymentIdentifier=deployment)
        return got["status"], got

    assert until({"Creating"}, look)["status"] == "Active"
    listed = control.get_paginator("list_custom_model_deployments").paginate(modelArnEquals=arn)
    assert deployment in [d["customModelDeploymentArn"] for p in listed for d in p["modelDeploymentSummaries"]]
    assert served(runtime.converse(modelId=deployment, messages=ASK)) == arn
    body = json.dumps({"messages": [{"role": "user", "content": [{"text": "hi"}]}]})
    assert json.loads(runtime.invoke_model(modelId=deployment, body=body)["body"].read())["output"]["message"]

    other = custom(control, adapter(NOVA))
    control.update_custom_model_deployment(customModelDeploymentIdentifier=deployment, modelArn=other)

    def update():
        got = control.get_custom_model_deployment(customModelDeploymentIdentifier=deployment)
        return got["updateDetails"]["updateStatus"], got

    assert until({"Updating"}, update)["modelArn"] == other
    assert served(runtime.converse(modelId=deployment, messages=ASK)) == other
    with pytest.raises(control.exceptions.ConflictException):
        control.delete_custom_model(modelIdentifier=other)
    control.delete_custom_model_deployment(customModelDeploymentIdentifier=deployment)
    for model in (arn, other):
        control.delete_custom_model(modelIdentifier=model)
    with pytest.raises(control.exceptions.ResourceNotFoundException):
        control.get_custom_model(modelIdentifier=arn)


def test_custom_model_on_provisioned_throughput(control, runtime):
    arn, sibling, foreign = custom(control, adapter(NOVA)), custom(control, adapter(NOVA)), custom(control, adapter(HAIKU))
    bought = control.create_provisioned_model_throughput(provisionedModelName=name(), modelId=arn, modelUnits=1)["provisionedModelArn"]

    def look():
        got = control.get_provisioned_model_throughput(provisionedModelId=bought)
        return got["status"], got

    got = until({"Creating"}, look)
    assert got["status"] == "InService" and got["foundationModelArn"] == FOUNDATION + NOVA
    assert served(runtime.converse(modelId=bought, messages=ASK)) == arn
    with pytest.raises(control.exceptions.ValidationException):
        control.update_provisioned_model_throughput(provisionedModelId=bought, desiredModelId=foreign)
    control.update_provisioned_model_throughput(provisionedModelId=bought, desiredModelId=sibling)
    assert until({"Updating"}, look)["modelArn"] == sibling
    assert served(runtime.converse(modelId=bought, messages=ASK)) == sibling
    control.delete_provisioned_model_throughput(provisionedModelId=bought)


def test_import(control, runtime):
    job, model = name(), name()
    arn = control.create_model_import_job(jobName=job, importedModelName=model, roleArn=ROLE, modelDataSource=whole())["jobArn"]

    def look():
        got = control.get_model_import_job(jobIdentifier=arn)
        return got["status"], got

    got = until({"InProgress"}, look)
    assert got["status"] == "Completed" and got["endTime"] >= got["creationTime"], got
    imported = control.get_imported_model(modelIdentifier=model)
    assert imported["modelArn"] == got["importedModelArn"] and imported["modelArchitecture"] == "LlamaForCausalLM"
    body = json.dumps({"prompt": "hi", "max_gen_len": 5})
    assert "generation" in json.loads(runtime.invoke_model(modelId=imported["modelArn"], body=body)["body"].read())
    assert job in [j["jobName"] for j in control.list_model_import_jobs(statusEquals="Completed")["modelImportJobSummaries"]]
    assert model in [m["modelName"] for m in control.list_imported_models(nameContains=model)["modelSummaries"]]
    with pytest.raises(control.exceptions.ConflictException):
        control.create_model_import_job(jobName=name(), importedModelName=model, roleArn=ROLE, modelDataSource=whole())
    control.delete_imported_model(modelIdentifier=model)

    arn = control.create_model_import_job(jobName=name(), importedModelName=model, roleArn=ROLE, modelDataSource=adapter(NOVA))["jobArn"]
    assert "adapter" in until({"InProgress"}, look)["failureMessage"]


def test_invocation_log(control, runtime, url, api_key):
    folder = name()
    control.put_model_invocation_logging_configuration(loggingConfig={"s3Config": {"bucketName": "records", "keyPrefix": folder}})
    said = control.get_model_invocation_logging_configuration()["loggingConfig"]
    assert said["s3Config"] == {"bucketName": "records", "keyPrefix": folder} and said["textDataDeliveryEnabled"]
    answer = runtime.converse(modelId=HAIKU, messages=ASK, requestMetadata={"project": "x"})
    message = {"role": "user", "content": "[[tokens:2]]"}
    openai.OpenAI(base_url=url + "/v1", api_key=api_key).chat.completions.create(model=HAIKU, messages=[message])
    anthropic.Anthropic(base_url=url, api_key=api_key).messages.create(model=HAIKU, max_tokens=5, messages=[message])
    control.delete_model_invocation_logging_configuration()
    assert "loggingConfig" not in control.get_model_invocation_logging_configuration()

    root = bucket("records") / folder / "AWSLogs" / "000000000000" / "BedrockModelInvocationLogs" / "us-east-1"
    objects = until({0}, lambda: (len(found := list(root.rglob("*.json.gz"))), found))
    record, chat, messages = [json.loads(line) for line in gzip.decompress(objects[0].read_bytes()).splitlines()]
    for other, operation in ((chat, "ChatCompletions"), (messages, "Messages")):
        assert (other["schemaType"], other["operation"], other["modelId"]) == (record["schemaType"], operation, HAIKU)
        assert other["output"]["outputTokenCount"] == 2
    assert record["schemaType"] == "ModelInvocationLog" and record["schemaVersion"] == "1.0" and record["operation"] == "Converse"
    assert record["requestId"] == answer["ResponseMetadata"]["RequestId"] and record["modelId"] == HAIKU
    assert record["requestMetadata"] == {"project": "x"}
    assert record["input"]["inputBodyJson"]["messages"] == ASK and record["input"]["inputTokenCount"] == answer["usage"]["inputTokens"]
    assert record["output"]["outputBodyJson"]["output"] == answer["output"] and record["output"]["outputTokenCount"] == 2
    with pytest.raises(control.exceptions.ValidationException):
        control.put_model_invocation_logging_configuration(
            loggingConfig={"cloudWatchConfig": {"logGroupName": "x", "roleArn": ROLE}}
        )


@pytest.fixture
def cli(url):
    """Calls the AWS CLI, which succeeds, and returns what it prints."""

    def run(service, operation, *args):
        out = aws(url, service, operation, *args)
        assert out.returncode == 0, out.stderr
        return json.loads(out.stdout or "{}")

    return run


def test_cli(cli, url):
    n = name()
    profile = cli(
        "bedrock", "create-inference-profile", "--inference-profile-name", n, "--model-source", "copyFrom=" + FOUNDATION + HAIKU, "--tags", "key=a,value=b",
    )["inferenceProfileArn"]
    assert cli("bedrock-runtime", "converse", "--model-id", profile, "--messages", HELLO)["output"]
    assert cli("bedrock", "list-tags-for-resource", "--resource-arn", profile)["tags"] == [{"key": "a", "value": "b"}]

    got = cli("bedrock", "get-inference-profile", "--inference-profile-identifier", profile)
    assert got["models"] == [{"modelArn": FOUNDATION + HAIKU}] and got["type"] == "APPLICATION"
    cli("bedrock", "tag-resource", "--resource-arn", profile, "--tags", "key=stage,value=test")
    cli("bedrock", "untag-resource", "--resource-arn", profile, "--tag-keys", "a")
    assert cli("bedrock", "list-tags-for-resource", "--resource-arn", profile)["tags"] == [{"key": "stage", "value": "test"}]
    listed = cli("bedrock", "list-inference-profiles", "--type-equals", "APPLICATION")["inferenceProfileSummaries"]
    assert n in [s["inferenceProfileName"] for s in listed]
    cli("bedrock", "delete-inference-profile", "--inference-profile-identifier", profile)
    out = aws(url, "bedrock-runtime", "converse", "--model-id", profile, "--messages", HELLO)
    assert out.returncode != 0 and "(ResourceNotFoundException) when calling the Converse operation" in out.stderr


def test_cli_custom_models(cli, url):
    """A fine-tuned model by the AWS CLI: registered, deployed, exchanged in the deployment and in a purchase, and removed."""
    arns = []
    for n in (name(), name()):
        source = "s3DataSource={s3Uri=" + adapter(NOVA)["s3DataSource"]["s3Uri"] + "}"
        arns.append(cli("bedrock", "create-custom-model", "--model-name", n, "--model-source-config", source)["modelArn"])
        until({"Creating"}, lambda: (cli("bedrock", "get-custom-model", "--model-identifier", n)["modelStatus"], None))
        out = aws(url, "bedrock", "create-custom-model", "--model-name", n, "--model-source-config", source)
        assert out.returncode != 0 and "(ConflictException) when calling the CreateCustomModel operation" in out.stderr
    listed = cli("bedrock", "list-custom-models", "--base-model-arn-equals", FOUNDATION + NOVA)["modelSummaries"]
    assert set(arns) <= {m["modelArn"] for m in listed}

    d = name()
    deployment = cli("bedrock", "create-custom-model-deployment", "--model-deployment-name", d, "--model-arn", arns[0])["customModelDeploymentArn"]

    def look():
        got = cli("bedrock", "get-custom-model-deployment", "--custom-model-deployment-identifier", d)
        return got.get("updateDetails", {}).get("updateStatus", got["status"]), got

    until({"Creating"}, look)
    cli("bedrock", "update-custom-model-deployment", "--custom-model-deployment-identifier", d, "--model-arn", arns[1])
    assert until({"Updating"}, look)["modelArn"] == arns[1]
    assert cli("bedrock-runtime", "converse", "--model-id", deployment, "--messages", HELLO)["output"]
    listed = cli("bedrock", "list-custom-model-deployments", "--name-contains", d)["modelDeploymentSummaries"]
    assert [s["customModelDeploymentArn"] for s in listed] == [deployment]
    cli("bedrock", "delete-custom-model-deployment", "--custom-model-deployment-identifier", d)

    p = name()
    bought = cli("bedrock", "create-provisioned-model-throughput", "--provisioned-model-name", p, "--model-id", arns[0], "--model-units", "1")
    bought = bought["provisionedModelArn"]

    def purchase():
        got = cli("bedrock", "get-provisioned-model-throughput", "--provisioned-model-id", p)
        return got["status"], got

    assert until({"Creating"}, purchase)["status"] == "InService"
    assert cli("bedrock-runtime", "converse", "--model-id", bought, "--messages", HELLO)["output"]
    cli("bedrock", "update-provisioned-model-throughput", "--provisioned-model-id", p, "--desired-model-id", arns[1])
    assert until({"Updating"}, purchase)["modelArn"] == arns[1]
    cli("bedrock", "delete-provisioned-model-throughput", "--provisioned-model-id", p)
    for arn in arns:
        cli("bedrock", "delete-custom-model", "--model-identifier", arn)


def test_cli_import_and_logging(cli):
    n = name()
    job = cli(
        "bedrock", "create-model-import-job", "--job-name", n, "--imported-model-name", n, "--role-arn", ROLE, "--model-data-source",
        "s3DataSource={s3Uri=" + whole()["s3DataSource"]["s3Uri"] + "}",
    )["jobArn"]

    def look():
        got = cli("bedrock", "get-model-import-job", "--job-identifier", job)
        return got["status"], got

    got = until({"InProgress"}, look)
    assert got["importedModelName"] == n and got["status"] == "Completed"
    assert n in [j["jobName"] for j in cli("bedrock", "list-model-import-jobs", "--name-contains", n)["modelImportJobSummaries"]]
    assert cli("bedrock", "get-imported-model", "--model-identifier", n)["modelArn"] == got["importedModelArn"]
    assert n in [m["modelName"] for m in cli("bedrock", "list-imported-models", "--name-contains", n)["modelSummaries"]]
    assert cli("bedrock-runtime", "converse", "--model-id", got["importedModelArn"], "--messages", HELLO)["output"]
    cli("bedrock", "delete-imported-model", "--model-identifier", n)

    cli("bedrock", "put-model-invocation-logging-configuration", "--logging-config", f"s3Config={{bucketName=records,keyPrefix={n}}}")
    said = cli("bedrock", "get-model-invocation-logging-configuration")["loggingConfig"]
    assert said["s3Config"] == {"bucketName": "records", "keyPrefix": n}
    cli("bedrock", "delete-model-invocation-logging-configuration")
