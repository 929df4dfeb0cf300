"""Owns how tests speak EST to a live service: curl sends, OpenSSL makes requests and reads answers."""

import base64
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

from tests.support.clients.aws import AccessKey, Live
from tests.support.machine.required import required_program


@dataclass(frozen=True)
class EstAnswer:
    """What curl got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body of a refusal."""
        return self.body.decode()


def run(*command: str | Path, stdin: bytes = b"") -> bytes:
    """Return what a command prints; it must succeed."""
    finished = subprocess.run([*map(str, command)], input=stdin, capture_output=True, check=False, timeout=60)
    assert finished.returncode == 0, finished.stderr.decode()
    return finished.stdout


@dataclass(frozen=True)
class EstClient:
    """A device's folder with its keys, and the service that it asks."""

    live: Live
    folder: Path

    def key(self, name: str) -> Path:
        """Return the file of a key, made where it is missing."""
        path = self.folder / f"{name}.key"
        if not path.exists():
            run("openssl", "ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", path)
        return path

    def request(self, name: str, subject: str = "", *options: str) -> bytes:
        """Return a signing request of a key in DER."""
        subject = subject or f"/CN={name}"
        return run("openssl", "req", "-new", "-key", self.key(name), "-subj", subject, "-outform", "DER", *options)

    def ask(
        self,
        path: str,
        der: bytes | None = None,
        *,
        key: AccessKey | None = None,
        identity: str | None = None,
        options: Sequence[str] = (),
    ) -> EstAnswer:
        """Return the answer to a request with an access key, or with the certificate and key of an identity."""
        endpoints = self.live.service.endpoints
        command = [required_program("curl"), "-sS", "-i", "--cacert", str(self.live.ca_file), "--config", "-"]
        config = "" if key is None else f'user = "{key.access_key_id}:{key.secret_access_key}"\n'
        if identity is not None:
            command += ["--cert", str(self.folder / f"{identity}.pem"), "--key", str(self.key(identity))]
        if der is not None:
            body = self.folder / "request.b64"
            body.write_bytes(run("openssl", "base64", stdin=der))
            command += ["-H", "Content-Type: application/pkcs10", "--data-binary", f"@{body}"]
        answered = run(*command, *options, f"{endpoints.est}/{path}", stdin=config.encode())
        head, _, content = answered.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return EstAnswer(int(first.split()[1]), headers, content)

    def certificate(self, name: str, answer: EstAnswer) -> bytes:
        """Return the certificate that was issued, in DER, and keep it under a name."""
        assert answer.status == 200, answer.text
        assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificates_of(answer.body))
        return run("openssl", "x509", "-in", path, "-outform", "DER")

    def key_and_certificate(self, name: str, answer: EstAnswer) -> bytes:
        """Keep the key and the certificate that was made for it; return the certificate in DER."""
        assert answer.status == 200, answer.text
        head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
        pkcs8, certs_only = (part for part in message_from_bytes(head + answer.body).walk() if not part.is_multipart())
        assert (pkcs8.get_content_type(), certs_only.get_content_type()) == (
            "application/pkcs8",
            "application/pkcs7-mime",
        )
        key = base64.b64decode(str(pkcs8.get_payload()))
        run("openssl", "pkey", "-inform", "DER", "-out", self.folder / f"{name}.key", stdin=key)
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificates_of(str(certs_only.get_payload()).encode()))
        return run("openssl", "x509", "-in", path, "-outform", "DER")


def certificates_of(body: bytes) -> bytes:
    """Return the certificates of a certs-only message in PEM."""
    der = run("openssl", "base64", "-d", "-A", stdin=body)
    return run("openssl", "pkcs7", "-inform", "DER", "-print_certs", stdin=der)
