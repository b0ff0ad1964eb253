"""A function handler as people write it for AWS Lambda: nothing in it knows of Forebay.

The client finds the address (AWS_ENDPOINT_URL_BEDROCK_RUNTIME), the key (AWS_BEARER_TOKEN_BEDROCK) and the
region (AWS_DEFAULT_REGION) in the environment, where `eval "$(forebay env)"` puts them.
"""

import json

import boto3

client = boto3.client("bedrock-runtime")


def handler(event, context):
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": event.get("max_tokens", 200),
        "messages": [{"role": "user", "content": event["prompt"]}],
    }
    response = client.invoke_model(modelId="anthropic.claude-3-haiku-20240307-v1:0", body=json.dumps(body))
    return json.loads(response["body"].read())["content"][0]["text"]
