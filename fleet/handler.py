# Serves a handler in Python by the container contract: GET /ping, POST /invocations.
#
# The handler is code/inference.py or inference.py of the model's directory. Of the functions that it may define,
#   model_fn(model_dir)                 returns the model; it is called once, before /ping answers
#   input_fn(body, content_type)        makes the input of the bytes of a call
#   predict_fn(input, model)            makes the output
#   output_fn(output, accept)           makes the answer: bytes or text, or a pair with the content type
#   transform_fn(model, body, content_type, accept)   does all three, in place of them
# only predict_fn or transform_fn must be there. Without the others JSON and text are taken and given.
import http.server
import importlib.util
import json
import os
import signal
import sys
import threading
import traceback

model_dir = os.environ.get("SM_MODEL_DIR", ".")
paths = [os.path.join(model_dir, "code", "inference.py"), os.path.join(model_dir, "inference.py")]
path = next((p for p in paths if os.path.exists(p)), None)
if path is None:
    sys.exit("there is no handler: give code/inference.py or inference.py in the model's directory")
sys.path.insert(0, os.path.dirname(path))
spec = importlib.util.spec_from_file_location("inference", path)
handler = importlib.util.module_from_spec(spec)
sys.dont_write_bytecode = True
spec.loader.exec_module(handler)
if not (hasattr(handler, "predict_fn") or hasattr(handler, "transform_fn")):
    sys.exit("%s defines neither predict_fn nor transform_fn" % path)


def default_input(body, content_type):
    kind = content_type.partition(";")[0].strip()
    if kind == "application/json":
        return json.loads(body)
    return body.decode() if kind.startswith("text/") else body


def default_output(output, accept):
    if isinstance(output, (bytes, bytearray)):
        return bytes(output), accept if accept and "*" not in accept else "application/octet-stream"
    if isinstance(output, str):
        return output.encode(), "text/plain; charset=utf-8"
    return json.dumps(output).encode(), "application/json"


def answer(model, body, content_type, accept):
    if hasattr(handler, "transform_fn"):
        out = handler.transform_fn(model, body, content_type, accept)
    else:
        try:
            given = getattr(handler, "input_fn", default_input)(body, content_type)
        except Exception as e:
            raise BadInput("%s: %s" % (type(e).__name__, e)) from e
        out = handler.predict_fn(given, model)
        out = getattr(handler, "output_fn", default_output)(out, accept)
    out, kind = out if isinstance(out, tuple) else (out, accept if accept and "*" not in accept else "application/json")
    return out.encode() if isinstance(out, str) else bytes(out), kind


class BadInput(Exception):
    pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, form, *args):
        pass

    def reply(self, status, body=b"", kind="text/plain; charset=utf-8"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(200 if self.path == "/ping" else 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/invocations":
            self.reply(404)
            return
        try:
            out, kind = answer(model, body, self.headers.get("Content-Type") or "", self.headers.get("Accept") or "")
        except Exception as e:
            traceback.print_exc()
            self.reply(400 if isinstance(e, BadInput) else 500, ("%s" % e if isinstance(e, BadInput) else "%s: %s" % (type(e).__name__, e)).encode())
            return
        self.reply(200, out, kind)


model = handler.model_fn(model_dir) if hasattr(handler, "model_fn") else None
server = Server(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
