"""The AWS CLI, unmodified."""

import json
import os
import subprocess
import sys

import pytest

from conftest import HAIKU, NO_SUCH_ARN, driven, new_key, setting, until_throttled


HELLO = '[{"role":"user","content":[{"text":"Hi"}]}]'


def aws(url, *args, key=None, attempts=1, mode="standard"):
    env = dict(
        os.environ,
        AWS_ACCESS_KEY_ID=key.id if key else setting("FOREBAY_TEST_ACCESS_KEY"),
        AWS_SECRET_ACCESS_KEY=key.secret if key else setting("FOREBAY_TEST_SECRET_KEY"),
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ENDPOINT_URL=url,
        AWS_MAX_ATTEMPTS=str(attempts),
        AWS_RETRY_MODE=mode,
    )
    if args[0] == "bedrock":
        driven["cli"].add("".join(word.capitalize() for word in args[1].split("-")))
    return subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "aws"), *args], env=env, capture_output=True, text=True, timeout=60
    )


def test_converse(url):
    out = aws(url, "bedrock-runtime", "converse", "--model-id", HAIKU, "--messages", HELLO)
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout)["usage"]["outputTokens"] > 0


def test_invoke_model(url, tmp_path):
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}
    answer = tmp_path / "answer.json"
    out = aws(
        url, "bedrock-runtime", "invoke-model", "--model-id", HAIKU, "--body", json.dumps(body), str(answer),
    )
    assert out.returncode == 0, out.stderr
    assert json.loads(answer.read_text())["content"]


def test_list_foundation_models(url):
    out = aws(url, "bedrock", "list-foundation-models")
    assert out.returncode == 0, out.stderr
    assert HAIKU in out.stdout


def test_tools(url):
    config = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": {"type": "object"}}}}]}
    ask = json.dumps([{"role": "user", "content": [{"text": '[[tool:get_weather {"city":"Rome"}]]'}]}])
    out = aws(url, "bedrock-runtime", "converse", "--model-id", HAIKU, "--messages", ask, "--tool-config", json.dumps(config))
    assert out.returncode == 0, out.stderr
    answer = json.loads(out.stdout)
    assert answer["stopReason"] == "tool_use"
    use = next(b["toolUse"] for b in answer["output"]["message"]["content"] if "toolUse" in b)
    assert use["name"] == "get_weather" and use["input"] == {"city": "Rome"}


def test_it_has_no_streams(url):
    """The CLI removes operations that answer with an event stream."""
    out = aws(url, "bedrock-runtime", "converse-stream", "--model-id", HAIKU, "--messages", HELLO)
    assert out.returncode == 2 and "Invalid choice" in out.stderr


def test_caller_identity(url):
    out = aws(url, "sts", "get-caller-identity")
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout)["Account"] == "000000000000"


@pytest.mark.parametrize(
    ("model", "models", "name"),
    [
        ("no.such", [], "ValidationException"),
        (NO_SUCH_ARN, [], "ResourceNotFoundException"),
        (HAIKU, ["amazon.*"], "AccessDeniedException"),
    ],
)
def test_errors_have_their_name(url, model, models, name):
    out = aws(url, "bedrock-runtime", "converse", "--model-id", model, "--messages", HELLO, key=new_key("access-key", models=models))
    assert out.returncode == 255 and f"An error occurred ({name}) when calling the Converse operation" in out.stderr


def test_throttle_is_raised_in_the_end(url):
    key = new_key("access-key", 1)
    ask = ("bedrock-runtime", "converse", "--model-id", HAIKU, "--messages", HELLO)
    assert aws(url, *ask, key=key).returncode == 0
    out = aws(url, *ask, key=key, attempts=2)
    assert out.returncode == 255
    assert "(ThrottlingException) when calling the Converse operation (reached max retries: 1): Too many requests" in out.stderr


@pytest.mark.parametrize("mode", ["legacy", "standard"])
def test_throttle_is_retried_until_it_succeeds(url, mode):
    def call(key):
        return aws(url, "bedrock-runtime", "converse", "--model-id", HAIKU, "--messages", HELLO, key=key, attempts=12, mode=mode)

    _, out = until_throttled("access-key", call)
    assert out.returncode == 0, out.stderr
