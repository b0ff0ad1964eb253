"""Routes and tiers of service by the unmodified clients: a call that spills is a call like any other."""

import json
import uuid

import anthropic
import openai
import pytest
from botocore.exceptions import ClientError

from conftest import HAIKU, admin, code

TIERS = {"auto": "default", "default": "default", "flex": "flex", "priority": "priority"}


@pytest.fixture
def route():
    """A route whose first lane has room for one call a minute."""
    name = uuid.uuid4().hex[:12]
    small = "anthropic.small-" + name
    admin("POST", f"engines/small-{name}", {"type": "simulated", "profile": "instant", "directives": True, "quota": {"requests_per_minute": 1}})
    admin("POST", f"models/{small}", {"family": "anthropic", "engines": [{"engine": f"small-{name}"}]})
    lanes = [{"name": "first", "model": small, "spill": "over-rate"}, {"name": "rest", "model": HAIKU}]
    admin("POST", f"routes/route-{name}", {"lanes": lanes})
    return f"route-{name}"


def spilled(headers, lane: str) -> bool:
    left = headers.get("x-forebay-spill", "")
    assert headers["x-forebay-lane"] == lane
    assert headers["x-forebay-model-served"] == (HAIKU if lane == "rest" else headers["x-forebay-model-served"])
    return left.startswith("first: over-rate (requests/min of engine small-")


def test_converse(route, runtime):
    ask = {"modelId": route, "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    for lane in ("first", "rest"):
        out = runtime.converse(**ask, serviceTier={"type": "priority"})
        assert out["output"]["message"]["content"][0]["text"] and out["serviceTier"] == {"type": "priority"}
        assert spilled(out["ResponseMetadata"]["HTTPHeaders"], lane) == (lane == "rest")
    stream = runtime.converse_stream(**ask, serviceTier={"type": "flex"})
    assert spilled(stream["ResponseMetadata"]["HTTPHeaders"], "rest")
    last = list(stream["stream"])[-1]
    assert last["metadata"]["serviceTier"] == {"type": "flex"}
    with pytest.raises(ClientError) as refused:
        runtime.converse(**ask, serviceTier={"type": "gold"})
    assert code(refused) == "ValidationException"


def test_invoke(route, runtime):
    native = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]})
    for lane in ("first", "rest"):
        out = runtime.invoke_model(modelId=route, body=native, serviceTier="flex")
        assert json.loads(out["body"].read())["type"] == "message" and out["serviceTier"] == "flex"
        assert spilled(out["ResponseMetadata"]["HTTPHeaders"], lane) == (lane == "rest")
    stream = runtime.invoke_model_with_response_stream(modelId=route, body=native)
    assert spilled(stream["ResponseMetadata"]["HTTPHeaders"], "rest")
    assert json.loads(list(stream["body"])[-1]["chunk"]["bytes"])["type"] == "message_stop"


def test_chat(route, url, api_key):
    client = openai.OpenAI(base_url=url + "/v1", api_key=api_key, max_retries=0)
    ask = {"model": route, "messages": [{"role": "user", "content": "Hello"}]}
    for lane in ("first", "rest"):
        raw = client.chat.completions.with_raw_response.create(**ask)
        out = raw.parse()
        assert out.choices[0].message.content and out.model == route and out.service_tier is None
        assert spilled(raw.headers, lane) == (lane == "rest")
    for asked, served in TIERS.items():
        assert client.chat.completions.create(**ask, service_tier=asked).service_tier == served
    chunks = list(client.chat.completions.create(**ask, service_tier="flex", stream=True))
    assert {c.service_tier for c in chunks} == {"flex"}
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**ask, service_tier="gold")
    assert refused.value.param == "service_tier" and refused.value.code == "invalid_value"
    assert route in [m.id for m in client.models.list()]


def test_messages(route, url, api_key):
    client = anthropic.Anthropic(base_url=url, api_key=api_key, max_retries=0)
    ask = {"model": route, "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}
    for lane in ("first", "rest"):
        raw = client.messages.with_raw_response.create(**ask, service_tier="auto")
        out = raw.parse()
        assert out.content[0].text and out.model == route and out.usage.service_tier == "standard"
        assert spilled(raw.headers, lane) == (lane == "rest")
    with client.messages.stream(**ask) as stream:
        assert stream.get_final_message().content[0].text
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(**ask, service_tier="gold")
    assert "service_tier: Input should be 'auto' or 'standard_only'" in str(refused.value)


def test_the_ledger_splits_what_spilled(route, runtime):
    for _ in range(3):
        runtime.converse(modelId=route, messages=[{"role": "user", "content": [{"text": "Hello"}]}])
    rows = admin("GET", "usage?by=route,lane")["rows"]
    assert {r["group"][1]: r["requests"] for r in rows if r["group"][0] == route} == {"first": 1, "rest": 2}
