"""The same question through every Python client, set up by nothing but the environment.

Prints a line of JSON for each call: the client, and the tokens that it was told of.
"""

import json
import os
import subprocess
import sys

import anthropic
import boto3
import openai
from langchain_aws import ChatBedrockConverse

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
QUESTION = sys.argv[1]
LIMIT = 40

CHAT = [{"role": "user", "content": QUESTION}]
CONVERSE = [{"role": "user", "content": [{"text": QUESTION}]}]
NATIVE = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": LIMIT, "messages": CHAT})


def told(client, input_tokens, output_tokens):
    print(json.dumps({"client": client, "input": input_tokens, "output": output_tokens}), flush=True)


def boto():
    runtime = boto3.client("bedrock-runtime")
    usage = runtime.converse(modelId=MODEL, messages=CONVERSE, inferenceConfig={"maxTokens": LIMIT})["usage"]
    told("boto3 Converse", usage["inputTokens"], usage["outputTokens"])
    stream = runtime.converse_stream(modelId=MODEL, messages=CONVERSE, inferenceConfig={"maxTokens": LIMIT})["stream"]
    usage = [e["metadata"]["usage"] for e in stream if "metadata" in e][0]
    told("boto3 ConverseStream", usage["inputTokens"], usage["outputTokens"])
    usage = json.loads(runtime.invoke_model(modelId=MODEL, body=NATIVE)["body"].read())["usage"]
    told("boto3 InvokeModel", usage["input_tokens"], usage["output_tokens"])
    last = [json.loads(e["chunk"]["bytes"]) for e in runtime.invoke_model_with_response_stream(modelId=MODEL, body=NATIVE)["body"]][-1]
    usage = last["amazon-bedrock-invocationMetrics"]
    told("boto3 InvokeModel stream", usage["inputTokenCount"], usage["outputTokenCount"])


def command_line():
    aws = os.path.join(os.path.dirname(sys.executable), "aws")
    out = subprocess.run(
        [aws, "bedrock-runtime", "converse", "--model-id", MODEL, "--messages", json.dumps(CONVERSE), "--inference-config", f"maxTokens={LIMIT}"],
        check=True, capture_output=True,
    )
    usage = json.loads(out.stdout)["usage"]
    told("AWS CLI Converse", usage["inputTokens"], usage["outputTokens"])


def openai_package():
    usage = openai.OpenAI().chat.completions.create(model=MODEL, messages=CHAT, max_tokens=LIMIT).usage
    told("openai (Python)", usage.prompt_tokens, usage.completion_tokens)
    stream = openai.OpenAI().chat.completions.create(
        model=MODEL, messages=CHAT, max_tokens=LIMIT, stream=True, stream_options={"include_usage": True}
    )
    usage = [c.usage for c in stream if c.usage][0]
    told("openai (Python) stream", usage.prompt_tokens, usage.completion_tokens)


def anthropic_package():
    for name, client in (("anthropic (Python)", anthropic.Anthropic()), ("anthropic Bedrock (Python)", anthropic.AnthropicBedrock())):
        usage = client.messages.create(model=MODEL, messages=CHAT, max_tokens=LIMIT).usage
        told(name, usage.input_tokens, usage.output_tokens)
        with client.messages.stream(model=MODEL, messages=CHAT, max_tokens=LIMIT) as stream:
            usage = stream.get_final_message().usage
        told(name + " stream", usage.input_tokens, usage.output_tokens)


def langchain():
    usage = ChatBedrockConverse(model=MODEL, max_tokens=LIMIT).invoke(QUESTION).usage_metadata
    told("langchain-aws", usage["input_tokens"], usage["output_tokens"])


boto()
command_line()
openai_package()
anthropic_package()
langchain()
