"""langchain-aws, unmodified."""

from langchain_aws import BedrockEmbeddings, ChatBedrock, ChatBedrockConverse
from langchain_core.tools import tool

from conftest import HAIKU, TITAN_EMBED


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
