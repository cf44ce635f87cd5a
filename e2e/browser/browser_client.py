"""A browser against the server: Chromium, driven by Playwright, over TLS and HTTP/2.

usage: browser_client.py --hioload PATH [--driver uring|poll] [--only NAME]

The page comes from here, everything it asks for from a server of its own. Chromium opens a WebSocket in a connection of
HTTP/2 that it already has, when the server takes extended CONNECT; that it did is checked.
"""

import contextlib
import pathlib
import shutil
import sys

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from harness import TIME_MAX, main

PAGE = pathlib.Path(__file__).with_name("page.html")
CHROMIUM = ["chromium", "chromium-browser", "google-chrome"]
QUIET = ["--disable-quic", "--disable-background-networking", "--disable-component-update"]
SKIPPED = 77

CHECKS = []


def check(function):
    """Registers a check under its name."""
    CHECKS.append(function)
    return function


class Browser:
    """One page of a server, and what its sockets were answered with."""

    def __init__(self, page):
        self.page = page
        self.answers = []

    def call(self, function, *arguments):
        return self.page.evaluate(f"arguments => {function}(...arguments)", list(arguments))


@contextlib.contextmanager
def browser(server, command="serve", **settings):
    """A server and a page of it."""
    flags = ["--tls", "self-signed"]
    with server.run(*flags, command=command, scheme="https", **settings), sync_playwright() as playwright:
        executable = next(filter(None, map(shutil.which, CHROMIUM)))
        arguments = [*QUIET, "--no-sandbox", "--ignore-certificate-errors"]
        # The page comes from no address, so Chromium takes it for one of the wide world that reaches in.
        arguments += ["--disable-features=LocalNetworkAccessChecks"]
        chromium = playwright.chromium.launch(executable_path=executable, args=arguments)
        context = chromium.new_context(ignore_https_errors=True)
        page = context.new_page()
        page.set_default_timeout(1000 * TIME_MAX)
        page.on("console", lambda message: print(f"console: {message.text}", flush=True))
        page.route(server.url + "/page", lambda route: route.fulfill(path=PAGE, content_type="text/html"))
        page.goto(server.url + "/page")
        # The first request makes the connection that the sockets share.
        page.evaluate("() => fetch('/').then((answer) => answer.text())")
        made = Browser(page)
        tools = context.new_cdp_session(page)
        tools.on("Network.webSocketHandshakeResponseReceived", lambda event: made.answers.append(event["response"]))
        tools.send("Network.enable")
        yield made
        chromium.close()


def sockets(server):
    return server.url.replace("https://", "wss://") + "/"


def is_tunnel(answer):
    # RFC 8441 5: no 101, no Sec-WebSocket-Accept.
    names = {name.lower() for name in answer["headers"]}
    return answer["status"] == 200 and "sec-websocket-accept" not in names


@check
def sockets_are_tunnels_that_echo(server):
    with browser(server, "echo", HIOLOAD_BLOCKS_DATA="off") as page:
        assert page.call("echoes", sockets(server), 20, 10) == 20
        assert page.answers and all(map(is_tunnel, page.answers)), page.answers
        assert page.call("closes", sockets(server), 3001) == [3001, True]


@check
def fetches_and_sockets_share_a_connection(server):
    with browser(server) as page:
        assert page.call("relays", sockets(server), "to the other") == "to the other"
        assert page.call("stores", 30, 100_000) == 30
        assert page.call("protocols")[-1] == "h2", page.call("protocols")
        assert page.answers and all(map(is_tunnel, page.answers)), page.answers


@check
def an_event_source_hears_what_sockets_say(server):
    messages = [f"number {number}" for number in range(50)]
    with browser(server) as page:
        seen = page.call("hears", "/events", sockets(server), messages)
        assert [data for data, _ in seen] == messages, seen
        ids = [last for _, last in seen]
        assert len(set(ids)) == len(ids) and all(ids), f"ids: {ids}"


if __name__ == "__main__":
    if not any(map(shutil.which, CHROMIUM)):
        print("NOT CHECKED: no Chromium in PATH (Debian: apt-get install chromium)", file=sys.stderr)
        sys.exit(SKIPPED)
    sys.exit(main(CHECKS))
