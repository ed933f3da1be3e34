"""TLS on the clients' and the admin listener, with certificates from files that change."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.fakes.certificates import CertificateAuthority, Identity, NodeTls
from tests.gateway.process import GatewayProcess
from tests.waiting import eventually
from tests.xds_server.tls.pems import written

CA = CertificateAuthority()


def flags(directory: Path, identity: Identity, *, client_ca: str = "") -> list[str]:
    files = written(directory, identity, client_ca=client_ca)
    given = ["--tls-cert", str(files.certificate), "--tls-key", str(files.key)]
    return [*given, "--tls-client-ca", str(files.client_ca)] if files.client_ca else given


def asked(url: str, context: ssl.SSLContext, path: str, *, key: str = "") -> tuple[int, bytes]:
    """Returns status and body of `GET path` from the listener of `url`, which is `localhost` by its
    certificate.
    """
    port = int(url.removeprefix("https://").partition("/")[0].rpartition(":")[2])
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def shown(gateway: GatewayProcess) -> str:
    """Returns the certificate (PEM) that the clients' listener presents."""
    return ssl.get_server_certificate(gateway.address, timeout=60)


def status(gateway: GatewayProcess) -> dict[str, object]:
    found = json.loads(gateway.run("status", "--output", "json").stdout)["certificate"]
    assert isinstance(found, dict)
    return found


class Https:
    """A gateway with TLS, and the directory of its certificate."""

    def __init__(self, gateway: GatewayProcess, directory: Path) -> None:
        self.gateway = gateway
        self.directory = directory
        self.context = NodeTls(CA.pem).client()


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Https]:
    directory = tmp_path_factory.mktemp("tls")
    given = flags(directory / "pem", CA.issue("localhost", days=30))
    with GatewayProcess(directory / "data", arguments=given) as gateway:
        yield Https(gateway, directory / "pem")


def test_clients_and_operators_are_served_over_tls(https: Https) -> None:
    gateway = https.gateway
    assert gateway.base_url.startswith("https://")
    assert gateway.admin_url.startswith("https://")
    assert f"base_url={gateway.base_url}" in gateway.ready_line
    code, body = asked(gateway.base_url, https.context, "/v1/models", key=gateway.api_key)
    assert (code, json.loads(body)) == (200, {"object": "list", "data": []})
    assert asked(gateway.admin_url, https.context, "/readyz")[0] == 200


def test_the_sessions_cookie_is_for_https_and_this_host_alone(https: Https) -> None:
    link = https.gateway.setup_link()
    assert link.startswith("https://")
    port = int(https.gateway.admin_url.rpartition(":")[2])
    connection = http.client.HTTPSConnection("localhost", port, context=https.context, timeout=60)
    body = {
        "token": link.partition("#setup=")[2],
        "email": "alice@example.org",
        "password": "correct horse battery",
    }
    headers = {"x-trunkline-csrf": "1", "origin": f"https://localhost:{port}", "sec-fetch-site": "same-origin"}
    # Envoy states the scheme, whatever a client claims.
    headers["x-forwarded-proto"] = "http"
    try:
        connection.request("POST", "/admin/v1/setup:redeem", json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-trunkline_session=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {each.strip() for each in cookie.split(";")}
    assert "Domain" not in cookie


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_the_client_chooses_its_http_by_alpn(https: Https, protocol: str) -> None:
    context = NodeTls(CA.pem).client(protocol)
    with (
        socket.create_connection(https.gateway.address, timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert secured.selected_alpn_protocol() == protocol


def test_admin_verbs_reach_it_by_url_with_a_ca_of_ones_own(https: Https, tmp_path: Path) -> None:
    gateway = https.gateway
    (tmp_path / "ca.pem").write_text(CA.pem)
    port = gateway.admin_url.rpartition(":")[2]
    known = {"TRUNKLINE_CONTROL": f"https://localhost:{port}"}
    done = gateway.run("orgs", "list", "--control-ca-file", str(tmp_path / "ca.pem"), environment=known)
    assert "default" in done.stdout
    trusting = known | {"TRUNKLINE_CA_FILE": str(tmp_path / "ca.pem")}
    assert "default" in gateway.run("orgs", "list", environment=trusting).stdout
    refused = gateway.run("orgs", "list", environment=known, check=False)
    assert refused.returncode != 0
    assert "--control-ca-file" in refused.stderr


def test_its_end_is_in_status_and_in_the_metrics(https: Https) -> None:
    found = status(https.gateway)
    assert found["names"] == ["localhost"]
    assert found["problem"] is None
    assert "certificate: localhost, expires" in https.gateway.run("status").stdout
    _, body = asked(https.gateway.admin_url, https.context, "/metrics")
    named = [line for line in body.decode().splitlines() if "expiration_unix_time_seconds" in line]
    ends = {float(line.rpartition(" ")[2]) for line in named if "listeners" in line}
    expires = x509.load_pem_x509_certificate(shown(https.gateway).encode()).not_valid_after_utc
    assert ends == {expires.timestamp()}, named


def test_a_replaced_pair_is_shown_without_a_restart_and_a_broken_one_is_not(https: Https) -> None:
    gateway = https.gateway
    fresh = CA.issue("localhost", "fresh.example", days=40)
    written(https.directory, fresh)
    eventually(lambda: shown(gateway) == fresh.certificate)
    written(https.directory, Identity(CA.issue("localhost", days=50).certificate, fresh.key))
    eventually(lambda: status(gateway)["problem"] is not None)
    assert "is not the key of the first certificate" in str(status(gateway)["problem"])
    assert shown(gateway) == fresh.certificate
    assert asked(gateway.base_url, https.context, "/v1/models", key=gateway.api_key)[0] == 200
    written(https.directory, fresh)
    eventually(lambda: status(gateway)["problem"] is None)


def test_with_a_ca_for_clients_all_but_health_needs_a_certificate(tmp_path: Path) -> None:
    clients = CertificateAuthority()
    given = flags(tmp_path / "pem", CA.issue("localhost", days=30), client_ca=clients.pem)
    nobody = NodeTls(CA.pem).client()
    member = NodeTls(CA.pem, clients.issue("a-client")).client()
    stranger = NodeTls(CA.pem, CA.issue("a-client")).client()
    with GatewayProcess(tmp_path / "data", arguments=given) as gateway:
        key = gateway.api_key
        assert asked(gateway.base_url, member, "/v1/models", key=key)[0] == 200
        for other in (nobody, stranger):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                asked(gateway.base_url, other, "/v1/models", key=key)
        assert asked(gateway.admin_url, nobody, "/readyz")[0] == 200
        assert asked(gateway.admin_url, nobody, "/healthz")[0] == 200
        assert asked(gateway.admin_url, member, "/metrics")[0] == 200
        for path in ("/metrics", "/metrics/translator", "/admin/v1/organisations", "/anything"):
            code, body = asked(gateway.admin_url, nobody, path, key=gateway.credentials["admin_token"])
            assert code == 403
            assert json.loads(body)["error"]["code"]


def test_a_pair_that_does_not_match_is_no_start(tmp_path: Path) -> None:
    given = flags(tmp_path / "pem", Identity(CA.issue("localhost").certificate, CA.issue("localhost").key))
    with pytest.raises(AssertionError, match="is not the key of the first certificate"):
        GatewayProcess(tmp_path / "data", arguments=given).start()


@pytest.mark.parametrize(("listen", "warned"), [("0.0.0.0:0", True), ("127.0.0.1:0", False)])
def test_a_public_address_without_tls_is_worth_a_line(tmp_path: Path, listen: str, warned: bool) -> None:
    with GatewayProcess(tmp_path / "data", arguments=["--listen", listen]) as gateway:
        eventually(lambda: "Ctrl-C stops the gateway" in gateway.errors_file.read_text())  # the last line
        lines = [each for each in gateway.errors_file.read_text().splitlines() if "without TLS" in each]
    assert len(lines) == (1 if warned else 0)
    assert all("--tls-cert" in each for each in lines)
