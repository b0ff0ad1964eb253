"""The anthropic package, unmodified: its own API and its Bedrock client."""

import anthropic
import pytest

from conftest import HAIKU, setting

TOOLS = [
    {
        "name": "get_weather",
        "description": "Weather of a city",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


def direct(url, api_key):
    return anthropic.Anthropic(base_url=url, api_key=api_key, max_retries=0)


def bedrock(url, _):
    return anthropic.AnthropicBedrock(
        base_url=url,
        aws_region="us-east-1",
        aws_access_key=setting("FOREBAY_TEST_ACCESS_KEY"),
        aws_secret_key=setting("FOREBAY_TEST_SECRET_KEY"),
        max_retries=0,
    )


@pytest.fixture(params=[direct, bedrock], ids=["api", "bedrock"])
def client(request, url, api_key):
    return request.param(url, api_key)


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
    with pytest.raises((anthropic.NotFoundError, anthropic.BadRequestError)):
        client.messages.create(model="no-such-model", max_tokens=5, messages=user("Hi"))
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model=HAIKU, max_tokens=5, messages=[])


def test_count_tokens(url, api_key):
    out = direct(url, api_key).messages.count_tokens(model=HAIKU, messages=user("Hello there"))
    assert out.input_tokens > 0


def test_wrong_key(url):
    with pytest.raises(anthropic.AuthenticationError):
        direct(url, "nonsense").messages.create(model=HAIKU, max_tokens=5, messages=user("Hi"))


def test_throttle(url):
    client = direct(url, setting("FOREBAY_TEST_THROTTLED_KEY_2"))
    with pytest.raises(anthropic.RateLimitError) as e:
        for _ in range(3):
            client.messages.create(model=HAIKU, max_tokens=5, messages=user("Hi"))
    assert int(e.value.response.headers["retry-after"]) > 0


def test_models(url, api_key):
    assert HAIKU in [m.id for m in direct(url, api_key).models.list()]
