"""One application that keeps its files in S3 and asks a model on Bedrock, as people write it."""

import boto3

s3 = boto3.client("s3")
question = s3.get_object(Bucket="questions", Key="first.txt")["Body"].read().decode()
answer = boto3.client("bedrock-runtime").converse(
    modelId="anthropic.claude-3-haiku-20240307-v1:0", messages=[{"role": "user", "content": [{"text": question}]}]
)
s3.put_object(Bucket="answers", Key="first.txt", Body=answer["output"]["message"]["content"][0]["text"].encode())
