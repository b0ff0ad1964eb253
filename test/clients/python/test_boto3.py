"""boto3, unmodified: bedrock-runtime, bedrock and sts."""

import json

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from conftest import FAULTY, HAIKU, LLAMA, MISTRAL, NO_SUCH_ARN, NOVA, TITAN, TITAN_EMBED, Key, client, code, keyed, new_key, setting, short_term_key, until_throttled


def ask(text: str) -> list:
    return [{"role": "user", "content": [{"text": text}]}]


def test_invoke_model_anthropic(runtime):
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 40,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    out = runtime.invoke_model(modelId=HAIKU, body=json.dumps(body))
    answer = json.loads(out["body"].read())
    assert out["contentType"] == "application/json"
    assert answer["type"] == "message" and answer["role"] == "assistant"
    assert answer["content"][0]["text"]
    headers = out["ResponseMetadata"]["HTTPHeaders"]
    assert int(headers["x-amzn-bedrock-input-token-count"]) == answer["usage"]["input_tokens"]
    assert int(headers["x-amzn-bedrock-output-token-count"]) == answer["usage"]["output_tokens"]
    assert int(headers["x-amzn-bedrock-invocation-latency"]) >= 0
    assert out["ResponseMetadata"]["RequestId"]


def test_invoke_model_stream_anthropic(runtime):
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 40,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    out = runtime.invoke_model_with_response_stream(modelId=HAIKU, body=json.dumps(body))
    chunks = [json.loads(e["chunk"]["bytes"]) for e in out["body"]]
    kinds = [c["type"] for c in chunks]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert "content_block_delta" in kinds
    metrics = chunks[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["outputTokenCount"] > 0 and metrics["inputTokenCount"] > 0


@pytest.mark.parametrize(
    ("model", "body", "read"),
    [
        (LLAMA, {"prompt": "Hi", "max_gen_len": 20}, lambda a: a["generation"]),
        (MISTRAL, {"prompt": "<s>[INST] Hi [/INST]", "max_tokens": 20}, lambda a: a["outputs"][0]["text"]),
        (TITAN, {"inputText": "Hi", "textGenerationConfig": {"maxTokenCount": 20}}, lambda a: a["results"][0]["outputText"]),
        (
            NOVA,
            {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {"maxTokens": 20}},
            lambda a: a["output"]["message"]["content"][0]["text"],
        ),
    ],
)
def test_invoke_model_families(runtime, model, body, read):
    out = runtime.invoke_model(modelId=model, body=json.dumps(body))
    assert read(json.loads(out["body"].read()))
    stream = runtime.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    chunks = [json.loads(e["chunk"]["bytes"]) for e in stream["body"]]
    assert chunks and "amazon-bedrock-invocationMetrics" in chunks[-1]


def test_embeddings(runtime):
    out = runtime.invoke_model(modelId=TITAN_EMBED, body=json.dumps({"inputText": "Hello", "dimensions": 256}))
    answer = json.loads(out["body"].read())
    assert len(answer["embedding"]) == 256
    assert answer["inputTextTokenCount"] > 0


def test_converse(runtime):
    out = runtime.converse(
        modelId=HAIKU,
        messages=ask("Hello"),
        system=[{"text": "Be brief."}],
        inferenceConfig={"maxTokens": 30, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
    )
    assert out["output"]["message"]["content"][0]["text"]
    assert out["stopReason"] in ("end_turn", "max_tokens")
    usage = out["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    assert out["metrics"]["latencyMs"] >= 0


def test_converse_stream(runtime):
    out = runtime.converse_stream(modelId=HAIKU, messages=ask("Hello"), inferenceConfig={"maxTokens": 30})
    names = [next(iter(event)) for event in out["stream"]]
    assert names[0] == "messageStart"
    assert names[-2:] == ["messageStop", "metadata"]
    assert names.index("contentBlockDelta") < names.index("contentBlockStop")


TOOL = {
    "tools": [
        {
            "toolSpec": {
                "name": "get_weather",
                "description": "Weather of a city",
                "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
            }
        }
    ]
}
TOOL_PROMPT = '[[tool:get_weather {"city":"Rome"}]]'


def test_converse_tool_use(runtime):
    out = runtime.converse(modelId=HAIKU, messages=ask(TOOL_PROMPT), toolConfig=TOOL)
    assert out["stopReason"] == "tool_use"
    use = next(b["toolUse"] for b in out["output"]["message"]["content"] if "toolUse" in b)
    assert use["name"] == "get_weather" and use["input"] == {"city": "Rome"}
    follow = ask(TOOL_PROMPT) + [
        out["output"]["message"],
        {"role": "user", "content": [{"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": "sunny"}]}}]},
    ]
    assert runtime.converse(modelId=HAIKU, messages=follow, toolConfig=TOOL)["output"]["message"]["content"]


def test_converse_stream_tool_use(runtime):
    out = runtime.converse_stream(modelId=HAIKU, messages=ask(TOOL_PROMPT), toolConfig=TOOL)
    start, fragments, stop = None, "", None
    for event in out["stream"]:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]["start"]["toolUse"]
        if "contentBlockDelta" in event and "toolUse" in event["contentBlockDelta"]["delta"]:
            fragments += event["contentBlockDelta"]["delta"]["toolUse"]["input"]
        if "messageStop" in event:
            stop = event["messageStop"]["stopReason"]
    assert start["name"] == "get_weather" and json.loads(fragments) == {"city": "Rome"} and stop == "tool_use"


def test_count_tokens(runtime):
    out = runtime.count_tokens(modelId=HAIKU, input={"converse": {"messages": ask("Hello there")}})
    assert out["inputTokens"] > 0


def test_inference_profile_and_arn(runtime):
    for model in ("us." + HAIKU, "arn:aws:bedrock:us-east-1::foundation-model/" + HAIKU):
        assert runtime.converse(modelId=model, messages=ask("Hi"))["output"]


def test_errors_have_their_class(runtime):
    with pytest.raises(runtime.exceptions.ValidationException) as e:
        runtime.converse(modelId="no.such-model-v1:0", messages=ask("Hi"))
    assert e.value.response["Error"]["Message"] == "The provided model identifier is invalid."
    with pytest.raises(runtime.exceptions.ValidationException):
        runtime.invoke_model(modelId=HAIKU, body=json.dumps({"messages": []}))
    with pytest.raises(runtime.exceptions.ResourceNotFoundException):
        runtime.converse(modelId=NO_SUCH_ARN, messages=ask("Hi"))
    limited = client("bedrock-runtime", setting("FOREBAY_TEST_URL"), key=new_key("access-key", models=["amazon.*"]))
    assert limited.converse(modelId=NOVA, messages=ask("Hi"))["output"]
    with pytest.raises(limited.exceptions.AccessDeniedException) as e:
        limited.converse(modelId=HAIKU, messages=ask("Hi"))
    assert "is not authorized to perform: bedrock:InvokeModel on resource" in e.value.response["Error"]["Message"]


def test_wrong_secret(url):
    bad = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=setting("FOREBAY_TEST_ACCESS_KEY"),
        aws_secret_access_key="wrong",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError) as e:
        bad.converse(modelId=HAIKU, messages=ask("Hi"))
    assert e.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_model_error(runtime):
    with pytest.raises(runtime.exceptions.ModelErrorException) as e:
        runtime.converse(modelId=HAIKU, messages=ask("[[fail:418]]"))
    assert e.value.response["originalStatusCode"] == 418


def test_failures_of_the_engine(runtime):
    for status in (500, 503):
        with pytest.raises(runtime.exceptions.ServiceUnavailableException):
            runtime.converse(modelId=FAULTY, messages=ask(f"[[fail:{status}]]"))
    # Behind the first byte a failure is an event of the stream.
    out = runtime.converse_stream(modelId=HAIKU, messages=ask("[[fail:500 after 3]]"))
    with pytest.raises(EventStreamError) as e:
        for _ in out["stream"]:
            pass
    assert code(e) == "modelStreamErrorException"


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_throttle_is_retried_until_it_succeeds(url, mode):
    key, out = until_throttled(
        "access-key",
        lambda key: client("bedrock-runtime", url, attempts=12, mode=mode, key=key).converse(modelId=HAIKU, messages=ask("Hi")),
    )
    assert key.outcomes()["refused"] == 1 + out["ResponseMetadata"]["RetryAttempts"]


@pytest.mark.parametrize("mode", ["legacy", "standard"])
def test_throttle_is_raised_in_the_end(url, mode):
    """A key of one request a minute: the second call is throttled, tried again and given up."""
    throttled = client("bedrock-runtime", url, attempts=2, mode=mode, key=new_key("access-key", 1))
    throttled.converse(modelId=HAIKU, messages=ask("Hi"))
    with pytest.raises(throttled.exceptions.ThrottlingException) as e:
        throttled.converse(modelId=HAIKU, messages=ask("Hi"))
    assert e.value.response["Error"]["Message"] == "Too many requests, please wait before trying again."
    meta = e.value.response["ResponseMetadata"]
    assert meta["RetryAttempts"] == 1
    assert 0 < int(meta["HTTPHeaders"]["retry-after"]) <= 60


def test_foundation_models(control):
    summaries = control.list_foundation_models(byProvider="anthropic")["modelSummaries"]
    assert any(s["modelId"] == HAIKU for s in summaries)
    assert all(s["providerName"].lower() == "anthropic" for s in summaries)
    details = control.get_foundation_model(modelIdentifier=HAIKU)["modelDetails"]
    assert details["modelId"] == HAIKU and details["responseStreamingSupported"] is True
    with pytest.raises(control.exceptions.ResourceNotFoundException):
        control.get_foundation_model(modelIdentifier="no.such")


def test_unserved_operation_is_a_clear_error(control, runtime):
    with pytest.raises(ClientError) as e:
        control.list_guardrails()
    assert e.value.response["Error"]["Code"] not in ("404", "Unknown")
    with pytest.raises(ClientError) as e:
        runtime.apply_guardrail(
            guardrailIdentifier="abcdefghij", guardrailVersion="1", source="INPUT", content=[{"text": {"text": "x"}}]
        )
    assert e.value.response["Error"]["Code"] not in ("404", "Unknown")


def test_guardrail_is_refused(runtime):
    with pytest.raises(runtime.exceptions.ValidationException):
        runtime.converse(
            modelId=HAIKU,
            messages=ask("Hi"),
            guardrailConfig={"guardrailIdentifier": "abcdefghij", "guardrailVersion": "1"},
        )


def test_caller_identity(url):
    me = client("sts", url).get_caller_identity()
    assert me["Account"] == "000000000000" and me["Arn"].startswith("arn:aws:")


def test_bearer_key(api_key):
    with keyed(Key("dev", api_key)) as runtime:
        assert runtime.converse(modelId=HAIKU, messages=ask("Hi"))["output"]
    with keyed(Key("none", "nonsense")) as runtime, pytest.raises(ClientError) as e:
        runtime.converse(modelId=HAIKU, messages=ask("Hi"))
    assert code(e) == "UnrecognizedClientException"


def test_short_term_key():
    pair = new_key("access-key", models=["amazon.*"])
    with keyed(short_term_key(pair)) as runtime:
        assert runtime.converse(modelId=NOVA, messages=ask("Hi"))["output"]
        with pytest.raises(runtime.exceptions.AccessDeniedException):  # it may do what its key pair may
            runtime.converse(modelId=HAIKU, messages=ask("Hi"))
    assert pair.outcomes()["ok"] == 1
    with keyed(short_term_key(Key(pair.id, "another secret"))) as runtime, pytest.raises(ClientError) as e:
        runtime.converse(modelId=NOVA, messages=ask("Hi"))
    assert code(e) == "InvalidSignatureException"
