"""The reserved tier, teams' parts of a purchase, and replicas of its own: by boto3 and the AWS CLI, unmodified."""

import json
import uuid

import openai
import pytest

from conftest import Key, MISTRAL, admin, client, setting
from test_cli import HELLO, aws
from test_provisioned import ask, name

HEADERS = ("ResponseMetadata", "HTTPHeaders")
# More than any rate here has for a minute, so that what follows it is beyond the purchase.
LONG = "word " * 20_000


def told(out: dict, header: str):
    return out[HEADERS[0]][HEADERS[1]].get(header)


def chat(runtime, model: str, text: str = "[[tokens:1]]", **more) -> dict:
    return runtime.converse(modelId=model, messages=[{"role": "user", "content": [{"text": text}]}], **more)


def key_of(team: str) -> Key:
    made = admin("POST", "keys", {"name": "of-" + team, "kind": "access-key", "team": team})
    return Key(made["id"], made["secret"])


@pytest.fixture
def model():
    """A model of its own engines: two, each of one replica."""
    made = "house." + uuid.uuid4().hex[:8]
    for engine in (made + "-a", made + "-b"):
        admin("POST", "engines/" + engine, {"type": "simulated", "profile": "demo", "slots": 4, "directives": True})
    bound = [{"engine": made + "-a"}, {"engine": made + "-b"}]
    admin("POST", "models/" + made, {"engines": bound, "unit": {"input": 600, "output": 600}})
    yield made


def test_reserved_tier(runtime, control):
    n = name()
    asks = {"serviceTier": {"type": "reserved"}}
    before = chat(runtime, MISTRAL, **asks)
    assert before["serviceTier"] == {"type": "default"} and told(before, "x-forebay-spill") == "reserved: not bought"

    bought = admin("POST", "provisioned/" + n, {"model": MISTRAL, "inputTokensPerMinute": 5000, "outputTokensPerMinute": 1000})
    assert bought["status"] == "InService" and bought["use"]["input"]["rate"] == 5000
    assert n not in [s["provisionedModelName"] for s in control.list_provisioned_model_throughputs()["provisionedModelSummaries"]]
    with pytest.raises(control.exceptions.ResourceNotFoundException):
        control.get_provisioned_model_throughput(provisionedModelId=bought["arn"])

    assert chat(runtime, MISTRAL, **asks)["serviceTier"] == {"type": "reserved"}
    assert "serviceTier" not in chat(runtime, MISTRAL)
    stream = runtime.converse_stream(modelId=MISTRAL, messages=[{"role": "user", "content": [{"text": LONG}]}], **asks)
    assert [e["metadata"]["serviceTier"] for e in stream["stream"] if "metadata" in e] == [{"type": "reserved"}]

    beyond = chat(runtime, MISTRAL, **asks)  # the default tier takes it
    assert beyond["serviceTier"] == {"type": "default"} and told(beyond, "x-forebay-spill").startswith(n + ": over-rate")
    native = runtime.invoke_model(modelId=MISTRAL, body=json.dumps({"prompt": "Hello", "max_tokens": 1}), serviceTier="reserved")
    assert native["serviceTier"] == "default"
    rows = admin("GET", "usage?by=purchase,tier")["rows"]
    assert [r["requests"] for r in rows if r["group"] == [bought["arn"], "reserved"]] == [2]
    admin("DELETE", "provisioned/" + n)


def test_reserved_tier_cli(url):
    n = name()
    admin("POST", "provisioned/" + n, {"model": MISTRAL, "inputTokensPerMinute": 5000, "outputTokensPerMinute": 1000})
    out = aws(url, "bedrock-runtime", "converse", "--model-id", MISTRAL, "--messages", HELLO, "--service-tier", "type=reserved")
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout)["serviceTier"] == {"type": "reserved"}
    admin("DELETE", "provisioned/" + n)


def test_divided_among_teams(control, model, url):
    """A team that has used its part up borrows what the others leave, and beyond the purchase nobody takes another's part."""
    teams = [f"{t}-{uuid.uuid4().hex[:6]}" for t in ("search", "lab")]
    for team in teams:
        admin("POST", "teams/" + team, {})
    keys = [key_of(t) for t in teams]
    search, lab = (client("bedrock-runtime", setting("FOREBAY_TEST_URL"), key=k) for k in keys)
    n = name()
    arn = control.create_provisioned_model_throughput(provisionedModelName=n, modelId=model, modelUnits=4)["provisionedModelArn"]
    divided = admin("PUT", "provisioned/" + n, {"parts": [{"team": teams[0], "units": 2}, {"team": teams[1], "units": 1}]})
    assert [p["units"] for p in divided["parts"]] == [2, 1]

    assert chat(search, arn, "word " * 1500)["usage"]["inputTokens"] > 1200  # its part of a minute, and more
    assert chat(search, arn)["output"]  # which it borrows
    assert chat(search, arn, "word " * 3000)["output"]  # until all is used
    with pytest.raises(search.exceptions.ThrottlingException):
        chat(search, arn)
    assert chat(lab, arn)["output"]  # what is its own is there
    said = aws(url, "bedrock-runtime", "converse", "--model-id", arn, "--messages", HELLO, key=keys[1])
    assert said.returncode == 0, said.stderr
    refused = aws(url, "bedrock-runtime", "converse", "--model-id", arn, "--messages", HELLO, key=keys[0])
    assert refused.returncode != 0 and "(ThrottlingException)" in refused.stderr
    control.delete_provisioned_model_throughput(provisionedModelId=arn)


def test_reserved_tier_divided_and_in_a_route(model, url, api_key):
    """A rate of the tier is divided in tokens, and serves all calls of a route in whose lane it is, in every API, until it is used up."""
    team = "search-" + uuid.uuid4().hex[:6]
    admin("POST", "teams/" + team, {})
    key, n, route = key_of(team), name(), "route-" + uuid.uuid4().hex[:8]
    admin("POST", "provisioned/" + n, {"model": model, "inputTokensPerMinute": 4000, "outputTokensPerMinute": 1000})
    parts = [{"team": team, "inputTokensPerMinute": 2000, "outputTokensPerMinute": 500}]
    assert admin("PUT", "provisioned/" + n, {"parts": parts})["parts"] == parts
    admin("POST", "routes/" + route, {"lanes": [{"provisioned": n, "spill": "over-rate"}, {"name": "rest", "model": MISTRAL}]})

    said = openai.OpenAI(base_url=url + "/v1", api_key=api_key, max_retries=0).chat.completions.create(
        model=route, messages=[{"role": "user", "content": "[[tokens:1]]"}], service_tier="auto"
    )
    assert said.service_tier == "reserved"
    search = client("bedrock-runtime", setting("FOREBAY_TEST_URL"), key=key)
    for text, lane in (("word " * 3000, n), ("[[tokens:1]]", n), ("word " * 3000, n), ("[[tokens:1]]", "rest")):
        assert told(chat(search, route, text), "x-forebay-lane") == lane
    cli = aws(url, "bedrock-runtime", "converse", "--model-id", route, "--messages", HELLO, key=key)
    assert cli.returncode == 0, cli.stderr
    admin("DELETE", "routes/" + route)
    admin("DELETE", "provisioned/" + n)


def test_replicas_of_its_own(control, runtime, model):
    """What is isolated has whole replicas, and when all of them are isolated a call on demand is refused at once."""
    own = [{"key": "forebay:isolation", "value": "replica"}]
    arns = []
    for _ in range(2):
        arn = control.create_provisioned_model_throughput(provisionedModelName=name(), modelId=model, modelUnits=1, tags=own)["provisionedModelArn"]
        assert control.get_provisioned_model_throughput(provisionedModelId=arn)["status"] == "InService"
        arns.append(arn)
    shown = [admin("GET", "provisioned/" + arn.replace("/", "%2F")) for arn in arns]
    assert sorted(w["engine"] for p in shown for w in p["replicas"]) == [model + "-a", model + "-b"]
    third = control.create_provisioned_model_throughput(provisionedModelName=name(), modelId=model, modelUnits=1, tags=own)["provisionedModelArn"]
    failed = control.get_provisioned_model_throughput(provisionedModelId=third)
    assert failed["status"] == "Failed" and "0 of 1" in failed["failureMessage"]
    for arn in arns:
        assert ask(runtime, arn)["output"]
    with pytest.raises(runtime.exceptions.ServiceUnavailableException):
        chat(runtime, model)
    flex = chat(runtime, model, serviceTier={"type": "flex"})  # may be recalled, and so runs in what is idle
    assert flex["serviceTier"] == {"type": "flex"}
    for arn in arns + [third]:
        control.delete_provisioned_model_throughput(provisionedModelId=arn)
    assert chat(runtime, model)["output"]
