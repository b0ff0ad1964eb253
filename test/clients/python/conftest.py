"""Fixtures of the client tests: where the server is and which keys to use.

The Go test in the folder above starts the server and sets the environment. Nothing here
starts or stops anything.
"""

import os

import boto3
import pytest
from botocore.config import Config

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
LLAMA = "meta.llama3-8b-instruct-v1:0"
MISTRAL = "mistral.mistral-7b-instruct-v0:2"
NOVA = "amazon.nova-lite-v1:0"
TITAN = "amazon.titan-text-express-v1"
TITAN_EMBED = "amazon.titan-embed-text-v2:0"


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


@pytest.fixture(scope="session")
def throttled_key() -> str:
    """An API key of one request a minute."""
    return setting("FOREBAY_TEST_THROTTLED_KEY")


def client(service: str, url: str, retries: int = 1):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=setting("FOREBAY_TEST_ACCESS_KEY"),
        aws_secret_access_key=setting("FOREBAY_TEST_SECRET_KEY"),
        config=Config(retries={"total_max_attempts": retries, "mode": "standard"}),
    )


@pytest.fixture(scope="session")
def runtime(url):
    return client("bedrock-runtime", url)


@pytest.fixture(scope="session")
def control(url):
    return client("bedrock", url)
