"""langchain-aws, unmodified."""

import pytest
from botocore.exceptions import ClientError
from langchain_aws import BedrockEmbeddings, ChatBedrock, ChatBedrockConverse
from langchain_core.tools import tool

from conftest import HAIKU, TITAN_EMBED, client, code, new_key, until_throttled


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return "sunny"


def test_converse(runtime):
    chat = ChatBedrockConverse(model=HAIKU, client=runtime, max_tokens=30)
    out = chat.invoke("Hello")
    assert out.content and out.usage_metadata["output_tokens"] > 0
    assert "".join(str(c.text) for c in chat.stream("Hello"))


def test_converse_tools(runtime):
    chat = ChatBedrockConverse(model=HAIKU, client=runtime).bind_tools([get_weather])
    out = chat.invoke('[[tool:get_weather {"city":"Rome"}]]')
    assert out.tool_calls[0]["name"] == "get_weather" and out.tool_calls[0]["args"] == {"city": "Rome"}


def test_invoke_counts_streamed_tokens(runtime):
    chat = ChatBedrock(model=HAIKU, client=runtime, model_kwargs={"max_tokens": 30}, provider="anthropic")
    total = None
    for chunk in chat.stream("Hello"):
        total = chunk if total is None else total + chunk
    assert total.content and total.usage_metadata["output_tokens"] > 0


def test_embeddings(runtime):
    vectors = BedrockEmbeddings(model_id=TITAN_EMBED, client=runtime).embed_documents(["a", "b"])
    assert len(vectors) == 2 and len(vectors[0]) == 1024


def converse(boto):
    return ChatBedrockConverse(model=HAIKU, client=boto, max_tokens=5)


def invoke(boto):
    return ChatBedrock(model=HAIKU, client=boto, model_kwargs={"max_tokens": 5}, provider="anthropic")


BOTH = pytest.mark.parametrize("chat", [converse, invoke])


@BOTH
def test_tools_streamed(runtime, chat):
    total = None
    for chunk in chat(runtime).bind_tools([get_weather]).stream('[[tool:get_weather {"city":"Rome"}]]'):
        total = chunk if total is None else total + chunk
    assert total.tool_calls[0]["name"] == "get_weather" and total.tool_calls[0]["args"] == {"city": "Rome"}


@BOTH
def test_errors_keep_their_class(url, chat):
    denied = client("bedrock-runtime", url, key=new_key("access-key", models=["amazon.*"]))
    with pytest.raises(ClientError) as e:
        chat(denied).invoke("Hello")
    assert code(e) == "AccessDeniedException"


@BOTH
def test_throttle_is_raised(url, chat):
    limited = chat(client("bedrock-runtime", url, key=new_key("access-key", 1)))
    limited.invoke("Hello")
    with pytest.raises(ClientError) as e:
        limited.invoke("Hello")
    assert code(e) == "ThrottlingException"


@BOTH
def test_throttle_is_retried_until_it_succeeds(url, chat):
    _, out = until_throttled("access-key", lambda key: chat(client("bedrock-runtime", url, attempts=12, key=key)).invoke("Hello"))
    assert out.content
