"""Flask behind gunicorn, which finishes its requests when it is asked to stop."""

import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    greeting = os.environ.get("GREETING", "Hello from sh0")
    headers = {"content-type": "text/plain; charset=utf-8", "x-release": os.environ.get("SH0_RELEASE", "")}
    return f"{greeting} (Python)\n", headers
