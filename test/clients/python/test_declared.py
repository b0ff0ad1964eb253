"""What the server's configuration declares, a purchase and a variant of a model: used and read like any other, and changed by no client."""

import json
import uuid

import pytest

from conftest import NOVA, admin
from test_cli import HELLO, aws
from test_provisioned import ask

NAME = "declared-chat"


def test_used_and_read(control, runtime):
    got = control.get_provisioned_model_throughput(provisionedModelId=NAME)
    assert got["status"] == "InService" and got["modelUnits"] == 2
    arn = got["provisionedModelArn"]
    assert control.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "team", "value": "search"}]
    for model in (NAME, arn):
        assert ask(runtime, model)["output"]["message"]["content"][0]["text"]
    assert ":" in admin("GET", "provisioned/" + NAME)["managedBy"]


def test_changed_by_no_client(control):
    arn = control.get_provisioned_model_throughput(provisionedModelId=NAME)["provisionedModelArn"]
    errors = control.exceptions
    for error, call in (
        (errors.ConflictException, lambda: control.delete_provisioned_model_throughput(provisionedModelId=arn)),
        (errors.ValidationException, lambda: control.update_provisioned_model_throughput(provisionedModelId=NAME, desiredProvisionedModelName="other")),
        (errors.ValidationException, lambda: control.tag_resource(resourceARN=arn, tags=[{"key": "a", "value": "b"}])),
        (errors.ValidationException, lambda: control.untag_resource(resourceARN=arn, tagKeys=["team"])),
    ):
        with pytest.raises(error, match="managed by .*forebay.yaml:[0-9]+"):
            call()
    with pytest.raises(errors.ValidationException, match="already in use"):
        control.create_provisioned_model_throughput(provisionedModelName=NAME, modelId="house.declared", modelUnits=1)
    assert control.get_provisioned_model_throughput(provisionedModelId=NAME)["provisionedModelArn"] == arn


def test_cli(url):
    out = aws(url, "bedrock", "delete-provisioned-model-throughput", "--provisioned-model-id", NAME)
    assert out.returncode != 0 and "(ConflictException)" in out.stderr and "managed by" in out.stderr
    said = aws(url, "bedrock-runtime", "converse", "--model-id", NAME, "--messages", HELLO)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["usage"]["outputTokens"] > 0


def test_tags_of_a_variant(control):
    variant = "variant-" + uuid.uuid4().hex[:8]
    admin("POST", "models/" + variant, {"base": NOVA, "engines": [{"engine": "declared", "model": "lora"}], "tags": {"team": "search"}})
    arn = control.get_custom_model(modelIdentifier=variant)["modelArn"]
    assert control.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "team", "value": "search"}]
    with pytest.raises(control.exceptions.ValidationException, match="managed by forebay models"):
        control.tag_resource(resourceARN=arn, tags=[{"key": "a", "value": "b"}])
    admin("DELETE", "models/" + variant)
