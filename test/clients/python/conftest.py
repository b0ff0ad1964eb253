"""Fixtures of the client tests: where the server is and which keys to use.

The Go test in the folder above starts the server and sets the environment. Nothing here
starts or stops anything. Keys with limits or policies of their own are made through the
admin API, one for each test that needs one, so that tests do not share a quota.
"""

import base64
import json
import os
import urllib.request
import uuid
from contextlib import contextmanager
from dataclasses import dataclass

import boto3
import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
LLAMA = "meta.llama3-8b-instruct-v1:0"
MISTRAL = "mistral.mistral-7b-instruct-v0:2"
NOVA = "amazon.nova-lite-v1:0"
TITAN = "amazon.titan-text-express-v1"
TITAN_EMBED = "amazon.titan-embed-text-v2:0"
# Served by an engine of its own, which the tests make fail until its circuit opens.
FAULTY = "anthropic.faulty"

# The operations of Bedrock's control plane that each client has called in this run.
driven = {"boto3": set(), "cli": set()}


def pytest_sessionfinish():
    """Tells whoever started the run what was driven."""
    if path := os.environ.get("FOREBAY_TEST_DRIVEN"):
        with open(path, "w") as out:
            json.dump({client: sorted(operations) for client, operations in driven.items()}, out)


# A provisioned model that nobody bought.
NO_SUCH_ARN = "arn:aws:bedrock:us-east-1:000000000000:provisioned-model/abcdefabcdef"


def setting(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        pytest.skip(f"SKIPPED: {name} is not set; run these tests through `make test`")
    return value


@pytest.fixture(scope="session")
def url() -> str:
    return setting("FOREBAY_TEST_URL")


@pytest.fixture(scope="session")
def api_key() -> str:
    return setting("FOREBAY_TEST_API_KEY")


def admin(method: str, path: str, body=None):
    request = urllib.request.Request(
        setting("FOREBAY_TEST_URL") + "/admin/v1/" + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + setting("FOREBAY_TEST_API_KEY")},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@dataclass
class Key:
    id: str
    secret: str

    def outcomes(self) -> dict:
        """The calls of this key on the ledger, by outcome."""
        return {r["group"][0]: r["requests"] for r in admin("GET", f"usage?by=outcome&key={self.id}")["rows"]}


def new_key(kind: str = "api-key", per_minute: int = 0, models=()) -> Key:
    policy = {"models": list(models), "limits": {"requests_per_minute": per_minute}}
    made = admin("POST", "keys", {"name": "test-" + uuid.uuid4().hex[:12], "kind": kind, "policy": policy})
    return Key(made["id"], made["secret"])


def exhausted(kind: str, per_minute: int) -> Key:
    """A key that has just been throttled: its next call must wait."""
    key = new_key(kind, per_minute)
    with key_client(key) if kind == "access-key" else keyed(key) as runtime, pytest.raises(runtime.exceptions.ThrottlingException):
        for _ in range(2 * per_minute):
            runtime.converse(modelId=HAIKU, messages=[{"role": "user", "content": [{"text": "[[tokens:1]]"}]}])
    return key


def until_throttled(kind: str, call):
    """What a call returns that was thrown back at first, and its key.

    A key of 30 requests a minute gets one back after two seconds. On a machine so busy that the call
    comes later than that, a slower key is tried.
    """
    for per_minute in (30, 12, 5):
        key = exhausted(kind, per_minute)
        out = call(key)
        if key.outcomes()["refused"] >= 2:  # one ended exhausted()
            return key, out
    pytest.fail("the client was never throttled")


@contextmanager
def key_client(key: Key):
    yield client("bedrock-runtime", setting("FOREBAY_TEST_URL"), key=key)


@contextmanager
def keyed(key: Key):
    """A Bedrock client that sends an API key, which botocore reads from the environment at each call."""
    with pytest.MonkeyPatch.context() as env:
        env.setenv("AWS_BEARER_TOKEN_BEDROCK", key.secret)
        yield boto3.Session(region_name="us-east-1").client(
            "bedrock-runtime", endpoint_url=setting("FOREBAY_TEST_URL"), config=Config(retries={"total_max_attempts": 1, "mode": "standard"})
        )


def short_term_key(key: Key) -> Key:
    """A Bedrock API key of twelve hours, as AWS's token generator makes it of a key pair: a presigned request."""
    request = AWSRequest("POST", "https://bedrock.amazonaws.com/", {"host": "bedrock.amazonaws.com"}, params={"Action": "CallWithBearerToken"})
    SigV4QueryAuth(Credentials(key.id, key.secret), "bedrock", "us-east-1", expires=43200).add_auth(request)
    signed = request.url.removeprefix("https://") + "&Version=1"
    return Key(key.id, "bedrock-api-key-" + base64.b64encode(signed.encode()).decode())


def client(service: str, url: str, attempts: int = 1, mode: str = "standard", key: Key | None = None):
    made = boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key.id if key else setting("FOREBAY_TEST_ACCESS_KEY"),
        aws_secret_access_key=key.secret if key else setting("FOREBAY_TEST_SECRET_KEY"),
        config=Config(retries={"total_max_attempts": attempts, "mode": mode}),
    )
    made.meta.events.register("after-call.bedrock", lambda model, **_: driven["boto3"].add(model.name))
    return made


def code(error) -> str:
    """The name of a botocore error."""
    assert isinstance(error.value, ClientError)
    return error.value.response["Error"]["Code"]


@pytest.fixture(scope="session")
def runtime(url):
    return client("bedrock-runtime", url)


@pytest.fixture(scope="session")
def control(url):
    return client("bedrock", url)
