"""The AWS CLI, unmodified."""

import json
import os
import subprocess
import sys

from conftest import HAIKU, setting


def aws(url, *args):
    env = dict(
        os.environ,
        AWS_ACCESS_KEY_ID=setting("FOREBAY_TEST_ACCESS_KEY"),
        AWS_SECRET_ACCESS_KEY=setting("FOREBAY_TEST_SECRET_KEY"),
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ENDPOINT_URL=url,
        AWS_MAX_ATTEMPTS="1",
    )
    return subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "aws"), *args], env=env, capture_output=True, text=True, timeout=60
    )


def test_converse(url):
    out = aws(url, "bedrock-runtime", "converse", "--model-id", HAIKU, "--messages", '[{"role":"user","content":[{"text":"Hi"}]}]')
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


def test_error(url):
    out = aws(url, "bedrock-runtime", "converse", "--model-id", "no.such", "--messages", '[{"role":"user","content":[{"text":"Hi"}]}]')
    assert out.returncode != 0 and "ValidationException" in out.stderr
