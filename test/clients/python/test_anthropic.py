"""The anthropic package, unmodified: its own API and its Bedrock client."""

import anthropic
import pytest

from conftest import FAULTY, HAIKU, NO_SUCH_ARN, NOVA, Key, new_key, setting, until_throttled

TOOLS = [
    {
        "name": "get_weather",
        "description": "Weather of a city",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


def direct(url, key, retries=0):
    return anthropic.Anthropic(base_url=url, api_key=key.secret, max_retries=retries)


def bedrock(url, key, retries=0):
    return anthropic.AnthropicBedrock(
        base_url=url, aws_region="us-east-1", aws_access_key=key.id, aws_secret_key=key.secret, max_retries=retries
    )


def bedrock_keyed(url, key, retries=0):
    return anthropic.AnthropicBedrock(base_url=url, aws_region="us-east-1", api_key=key.secret, max_retries=retries)


def development(make):
    if make is bedrock:
        return Key(setting("FOREBAY_TEST_ACCESS_KEY"), setting("FOREBAY_TEST_SECRET_KEY"))
    return Key("", setting("FOREBAY_TEST_API_KEY"))


EVERY = pytest.mark.parametrize("make", [direct, bedrock, bedrock_keyed], ids=["api", "bedrock", "bedrock-key"])


def kind(make):
    return "access-key" if make is bedrock else "api-key"


@pytest.fixture(params=[direct, bedrock, bedrock_keyed], ids=["api", "bedrock", "bedrock-key"])
def client(request, url):
    return request.param(url, development(request.param))


def user(text):
    return [{"role": "user", "content": text}]


def test_message(client):
    out = client.messages.create(model=HAIKU, max_tokens=30, messages=user("Hello"), system="Be brief.")
    assert out.content[0].text and out.usage.output_tokens > 0
    assert out.stop_reason in ("end_turn", "max_tokens")


def test_stream(client):
    with client.messages.stream(model=HAIKU, max_tokens=30, messages=user("Hello")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text and final.content[0].text == text and final.usage.output_tokens > 0


def test_tools(client):
    prompt = user('[[tool:get_weather {"city":"Rome"}]]')
    out = client.messages.create(model=HAIKU, max_tokens=100, messages=prompt, tools=TOOLS)
    assert out.stop_reason == "tool_use"
    use = next(b for b in out.content if b.type == "tool_use")
    assert use.name == "get_weather" and use.input == {"city": "Rome"}
    with client.messages.stream(model=HAIKU, max_tokens=100, messages=prompt, tools=TOOLS) as stream:
        final = stream.get_final_message()
    assert next(b for b in final.content if b.type == "tool_use").input == {"city": "Rome"}


def test_errors_have_their_class(client):
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model=HAIKU, max_tokens=5, messages=[])


def test_unknown_model(url):
    """The Anthropic API says 404; Bedrock says ValidationException, and 404 for an ARN that names nothing."""
    with pytest.raises(anthropic.NotFoundError):
        direct(url, development(direct)).messages.create(model="no-such-model", max_tokens=5, messages=user("Hi"))
    client = bedrock(url, development(bedrock))
    with pytest.raises(anthropic.BadRequestError) as e:
        client.messages.create(model="no-such-model", max_tokens=5, messages=user("Hi"))
    assert "The provided model identifier is invalid." in str(e.value)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model=NO_SUCH_ARN, max_tokens=5, messages=user("Hi"))


@EVERY
def test_denied(url, make):
    with pytest.raises(anthropic.PermissionDeniedError):
        make(url, new_key(kind(make), models=["amazon.*"])).messages.create(model=HAIKU, max_tokens=5, messages=user("Hi"))


def test_failure_of_the_engine(client):
    with pytest.raises(anthropic.InternalServerError):
        client.messages.create(model=FAULTY, max_tokens=5, messages=user("[[fail:503]]"))


def test_count_tokens(url):
    out = direct(url, development(direct)).messages.count_tokens(model=HAIKU, messages=user("Hello there"))
    assert out.input_tokens > 0


def test_wrong_key(url):
    with pytest.raises(anthropic.AuthenticationError):
        direct(url, Key("", "nonsense")).messages.create(model=HAIKU, max_tokens=5, messages=user("Hi"))
    with pytest.raises(anthropic.PermissionDeniedError):  # Bedrock's 403 UnrecognizedClientException
        bedrock(url, Key("AKIA0000000000000000", "nonsense")).messages.create(model=HAIKU, max_tokens=5, messages=user("Hi"))


@EVERY
def test_throttle_is_raised(url, make):
    client = make(url, new_key(kind(make), per_minute=1))
    client.messages.create(model=HAIKU, max_tokens=5, messages=user("Hi"))
    with pytest.raises(anthropic.RateLimitError) as e:
        client.messages.create(model=HAIKU, max_tokens=5, messages=user("Hi"))
    assert 0 < int(e.value.response.headers["retry-after"]) <= 60


@EVERY
def test_throttle_is_retried_when_told(url, make):
    """One retry is enough: the client waits as long as Retry-After says."""

    def call(key):
        return make(url, key, retries=1).messages.with_raw_response.create(model=HAIKU, max_tokens=5, messages=user("Hi"))

    _, out = until_throttled(kind(make), call)
    assert out.retries_taken == 1 and out.parse().content


def test_models(url):
    assert HAIKU in [m.id for m in direct(url, development(direct)).models.list()]


def test_another_family(url):
    """A model of another family behind the Anthropic API."""
    out = direct(url, development(direct)).messages.create(model=NOVA, max_tokens=20, messages=user("Hello"))
    assert out.content[0].text
