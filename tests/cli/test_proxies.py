"""mica download through proxies and over TLS: whose certificates count, who is asked, and that the token stays where it belongs."""
import http.client
import http.server
import pathlib
import select
import socket
import subprocess
import sys
import threading
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hub"))

import hub_test  # noqa: E402
from hub_server import Hub  # noqa: E402
from hub_test import HubTest, content  # noqa: E402

ID = "org/name"
NAME = "hub.invalid"  # no such machine: only the proxy knows it


class Proxy(http.server.ThreadingHTTPServer):
    """Forwards; `names` says where the names lead that only it knows. log: "GET host:port" and "CONNECT host:port"."""
    daemon_threads = True

    def __init__(self, names):
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.names, self.log, self.tokens = names, [], []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        pass


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def where(self, address):
        host, _, port = address.partition(":")
        return self.server.names.get(host, (host, int(port or 80)))

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        self.server.log.append(f"GET {url.netloc}")
        self.server.tokens.append((url.netloc, self.headers.get("Authorization")))
        connection = http.client.HTTPConnection(*self.where(url.netloc))
        connection.request("GET", url.path + (f"?{url.query}" if url.query else ""),
                           headers={k: v for k, v in self.headers.items() if k.lower() not in ("proxy-connection", "connection")})
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        self.send_response(reply.status)
        for key, value in reply.getheaders():
            if key.lower() not in ("content-length", "connection"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self):
        self.server.log.append(f"CONNECT {self.path}")
        with socket.create_connection(self.where(self.path)) as other:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: other, other: self.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(1 << 16)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)


class Proxies(HubTest):
    def setUp(self):
        super().setUp()
        self.files = {"config.json": b"{}", "model.safetensors": content(3 << 20)}
        self.hub.add(ID, self.files)
        self.proxy = Proxy({NAME: ("127.0.0.1", self.hub.servers["hub"].server_address[1])})
        self.addCleanup(self.proxy.close)

    def test_a_proxy_for_all_requests(self):
        for variable in ("http_proxy", "all_proxy", "ALL_PROXY"):
            self.check_snapshot(self.download(ID, "--force", HF_TOKEN="hf_good", **{variable: self.proxy.url}), self.files)
            storage = f"localhost:{self.hub.servers['storage'].server_address[1]}"
            self.assertEqual({entry.split(":")[0] for entry in self.proxy.log}, {"GET 127.0.0.1", "GET localhost"}, variable)
            self.assertEqual({token for where, token in self.proxy.tokens if where == storage}, {None})
            self.proxy.log.clear()

    def test_names_that_only_the_proxy_knows(self):
        self.refused(69, "download", ID, HF_ENDPOINT=f"http://{NAME}", says="cannot reach")
        # The storage is at an address of this machine, which a Hub elsewhere may not lead to: without the weights, then.
        self.download(ID, "--include", "*.json", HF_ENDPOINT=f"http://{NAME}", http_proxy=self.proxy.url)
        self.assertEqual(set(self.proxy.log), {f"GET {NAME}"})

    def test_no_proxy(self):
        for variable, value in (("no_proxy", "127.0.0.1,localhost"), ("NO_PROXY", "*")):
            self.check_snapshot(self.download(ID, "--force", http_proxy=self.proxy.url, **{variable: value}), self.files)
        self.assertEqual(self.proxy.log, [])

    def test_a_proxy_that_is_not_there(self):
        self.refused(69, "download", ID, http_proxy="http://127.0.0.1:1", says="cannot reach")
        self.refused(69, "download", ID, http_proxy="http://proxy.invalid:1", says="cannot reach")

    def test_the_proxys_password_is_not_shown(self):
        line = self.refused(69, "download", ID, http_proxy="http://user:secret@127.0.0.1:1")
        self.assertNotIn("secret", line)


class Certificates(HubTest):
    """An https Hub with a certificate of our own authority. Small files only: https may not lead to this machine."""

    def setUp(self):
        super().setUp()
        self.folder = self.home / "tls"
        self.folder.mkdir()
        self.authority = self.make("authority", ["-x509", "-subj", "/CN=Test Authority", "-days", "30"])
        self.files = {"config.json": b"{}", "README.md": b"# hello"}

    def openssl(self, *arguments):
        try:
            subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.folder)
        except FileNotFoundError:
            raise unittest.SkipTest("no openssl program to make certificates with") from None

    def make(self, name, arguments):
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", *arguments)
        return self.folder / f"{name}.pem"

    def serve(self, names="IP:127.0.0.1,DNS:localhost,DNS:" + NAME, days="30"):
        self.make("server", ["-subj", "/CN=server"])
        (self.folder / "names").write_text(f"subjectAltName={names}\n")
        self.openssl("x509", "-req", "-in", "server.pem", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial",
                     "-days", days, "-extfile", "names", "-out", "signed.pem")
        hub = Hub(certificate=(self.folder / "signed.pem", self.folder / "server.key"))
        self.addCleanup(hub.close)
        hub.add(ID, self.files)
        return hub

    def env(self, **more):
        return super().env(**{"SSL_CERT_FILE": "", "SSL_CERT_DIR": "", "CURL_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "", **more})

    def test_an_authority_of_our_own(self):
        hub = self.serve()
        for variable in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
            self.check_snapshot(self.download(ID, "--force", HF_ENDPOINT=hub.endpoint, **{variable: self.authority}), self.files)
        hub.log.clear()
        self.refused(69, "download", ID, "--force", HF_ENDPOINT=hub.endpoint, HF_TOKEN="hf_good", says="certificate")
        self.refused(69, "download", ID, "--force", HF_ENDPOINT=hub.endpoint, SSL_CERT_FILE=self.home / "none.pem")
        self.assertEqual(hub.log, [])

    def test_the_name_of_another(self):
        hub = self.serve("DNS:other.example")
        self.refused(69, "download", ID, HF_ENDPOINT=hub.endpoint, SSL_CERT_FILE=self.authority)
        self.assertEqual(hub.log, [])

    def test_an_expired_one(self):
        hub = self.serve(days="-1")
        self.refused(69, "download", ID, HF_ENDPOINT=hub.endpoint, SSL_CERT_FILE=self.authority)
        self.assertEqual(hub.log, [])

    def test_through_a_proxy(self):
        hub = self.serve()
        proxy = Proxy({NAME: ("127.0.0.1", hub.servers["hub"].server_address[1])})
        self.addCleanup(proxy.close)
        for variable in ("https_proxy", "HTTPS_PROXY"):
            self.check_snapshot(self.download(ID, "--force", HF_ENDPOINT=f"https://{NAME}", SSL_CERT_FILE=self.authority,
                                              HF_TOKEN="hf_good", **{variable: proxy.url}), self.files)
        self.assertEqual(set(proxy.log), {f"CONNECT {NAME}:443"})
        self.assertEqual({r.token for r in hub.log}, {"hf_good"})
        self.refused(69, "download", ID, "--force", HF_ENDPOINT=f"https://{NAME}", https_proxy=proxy.url, says="certificate")

    def test_no_way_down_to_http(self):
        hub = self.serve()
        plain = self.hub
        plain.add(ID, self.files)

        def rule(handler, request):
            if "/resolve/" in request.path:
                handler.reply(302, b"", {"Location": plain.endpoint + request.path})
                return True
            return False
        hub.rules.append(rule)
        self.refused(69, "download", ID, HF_ENDPOINT=hub.endpoint, SSL_CERT_FILE=self.authority)
        self.assertEqual(plain.log, [])


if __name__ == "__main__":
    hub_test.main()
