"""The openai package, unmodified."""

import json

import openai
import pytest

from conftest import FAULTY, HAIKU, NOVA, TITAN_EMBED, new_key, short_term_key, until_throttled

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture(params=["/v1", "/openai/v1"])
def client(request, url, api_key):
    return openai.OpenAI(base_url=url + request.param, api_key=api_key, max_retries=0)


def user(text):
    return [{"role": "user", "content": text}]


def test_chat(client):
    out = client.chat.completions.create(model=HAIKU, messages=user("Hello"), max_tokens=30)
    assert out.choices[0].message.content
    assert out.usage.total_tokens == out.usage.prompt_tokens + out.usage.completion_tokens
    assert out.model == HAIKU


def test_chat_stream(client):
    stream = client.chat.completions.create(
        model=HAIKU, messages=user("Hello"), max_tokens=30, stream=True, stream_options={"include_usage": True}
    )
    text, usage, reason = "", None, None
    for chunk in stream:
        if chunk.usage:
            usage = chunk.usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    assert text and usage.completion_tokens > 0 and reason in ("stop", "length")


def test_chat_stream_without_usage(client):
    stream = client.chat.completions.create(model=HAIKU, messages=user("Hello"), max_tokens=10, stream=True)
    assert all(chunk.usage is None for chunk in stream)


def test_tools(client):
    out = client.chat.completions.create(
        model=HAIKU, messages=user('[[tool:get_weather {"city":"Rome"}]]'), tools=TOOLS
    )
    assert out.choices[0].finish_reason == "tool_calls"
    call = out.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather" and '"Rome"' in call.function.arguments


def test_tools_streamed(client):
    stream = client.chat.completions.create(
        model=HAIKU, messages=user('[[tool:get_weather {"city":"Rome"}]]'), tools=TOOLS, stream=True
    )
    name, arguments = "", ""
    for chunk in stream:
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    assert name == "get_weather" and json.loads(arguments) == {"city": "Rome"}


def test_completions(client):
    assert client.completions.create(model=HAIKU, prompt="Once", max_tokens=10).choices[0].text


def test_embeddings(client):
    out = client.embeddings.create(model=TITAN_EMBED, input=["a", "b"])
    assert len(out.data) == 2 and out.data[0].embedding and out.usage.prompt_tokens > 0


def test_models(client):
    assert HAIKU in [m.id for m in client.models.list()]
    assert client.models.retrieve(HAIKU).id == HAIKU


def test_errors_have_their_class(client, url):
    with pytest.raises(openai.NotFoundError) as e:
        client.chat.completions.create(model="no-such-model", messages=user("Hi"))
    assert e.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=HAIKU, messages=[])
    with pytest.raises(openai.AuthenticationError) as e:
        openai.OpenAI(base_url=url + "/v1", api_key="nonsense", max_retries=0).models.list()
    assert e.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError):
        client.post("/no-such-thing", body={}, cast_to=object)


def limited(url, key, retries=0):
    return openai.OpenAI(base_url=url + "/v1", api_key=key.secret, max_retries=retries)


def test_denied(url):
    client = limited(url, new_key(models=["amazon.*"]))
    assert client.chat.completions.create(model=NOVA, messages=user("Hi"), max_tokens=5).choices
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model=HAIKU, messages=user("Hi"), max_tokens=5)


def test_failure_of_the_engine(client):
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model=FAULTY, messages=user("[[fail:503]]"))


def test_throttle_is_raised(url):
    client = limited(url, new_key(per_minute=1))
    client.chat.completions.create(model=HAIKU, messages=user("Hi"), max_tokens=5)
    with pytest.raises(openai.RateLimitError) as e:
        client.chat.completions.create(model=HAIKU, messages=user("Hi"), max_tokens=5)
    assert e.value.code == "rate_limit_exceeded"
    assert 0 < int(e.value.response.headers["retry-after"]) <= 60


def test_throttle_is_retried_when_told(url):
    """One retry is enough: the client waits as long as Retry-After says."""

    def call(key):
        return limited(url, key, retries=1).chat.completions.with_raw_response.create(model=HAIKU, messages=user("Hi"), max_tokens=5)

    _, out = until_throttled("api-key", call)
    assert out.retries_taken == 1 and out.parse().choices


def test_short_term_key(url):
    """Bedrock's OpenAI surface takes its API keys."""
    key = short_term_key(new_key("access-key"))
    out = openai.OpenAI(base_url=url + "/openai/v1", api_key=key.secret, max_retries=0).chat.completions.create(
        model=HAIKU, messages=user("Hi"), max_tokens=5
    )
    assert out.choices
