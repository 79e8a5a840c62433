"""A stand-in for a sidecar, with fixed answers: for tests of what the command line prints for given figures."""
import http.server
import json
import threading
import time


class StandIn:
    """Lists the given queues and answers each take without events. `asked` holds the times of the takes. The command
    line shows figures that a queue lacks as 0."""

    def __init__(self, *queues):
        asked = self.asked = []
        answers = {"GET": {"queues": {q["queue"]: q for q in queues}}, "POST": {"events": []}}

        class Answers(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # send each answer at once: the second of two parts would wait for the TCP ACK of the first

            def answer(self):
                if self.command == "POST":
                    asked.append(time.monotonic())
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                text = json.dumps(answers[self.command]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.environment = {"SLUICE_URL": f"http://127.0.0.1:{self.server.server_port}"}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()
