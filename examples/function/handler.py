"""A function handler as people write it for AWS Lambda: nothing in it knows of Forebay.

Run it with `eval "$(forebay env)"` and `python examples/function/handler.py "Hello"`. The
client finds the address (AWS_ENDPOINT_URL_BEDROCK_RUNTIME) and the key
(AWS_BEARER_TOKEN_BEDROCK) in the environment.
"""

import json
import os
import sys

import boto3

client = boto3.client("bedrock-runtime", region_name=os.environ.get("AWS_REGION", "us-east-1"))


def handler(event, context):
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": event.get("max_tokens", 200),
        "messages": [{"role": "user", "content": event["prompt"]}],
    }
    response = client.invoke_model(modelId="anthropic.claude-3-haiku-20240307-v1:0", body=json.dumps(body))
    return json.loads(response["body"].read())["content"][0]["text"]


if __name__ == "__main__":
    print(handler({"prompt": " ".join(sys.argv[1:]) or "Hello"}, None))
