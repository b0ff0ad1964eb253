"""A container by SageMaker's contract, and an engine of chat, that answers with what it was sent. LEVEL is put in front; "broken" does not start."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LEVEL = os.environ.get("LEVEL", "0")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes, **header: str):
        self.send_response(status)
        for key, value in header.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == "/v1/chat/completions":
            said = json.loads(body)["messages"][-1]["content"]
            said = said if isinstance(said, str) else "".join(part["text"] for part in said)
            message = {"index": 0, "message": {"role": "assistant", "content": LEVEL + ":" + said}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
            answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "echo", "choices": [message], "usage": usage}
            self.answer(200, json.dumps(answer).encode(), Content_Type="application/json")
            return
        if body == b"refuse":
            self.answer(422, b"refused")
            return
        more = {}
        if attributes := self.headers.get("X-Amzn-SageMaker-Custom-Attributes"):
            more["X_Amzn_SageMaker_Custom_Attributes"] = attributes
        self.answer(200, LEVEL.encode() + b":" + body, Content_Type=self.headers.get("Content-Type", ""), **more)

    def log_message(self, *_):
        pass


if LEVEL == "broken":
    sys.exit("no such model")
ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
