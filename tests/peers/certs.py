"""Certificates for tests: a CA of their own and what it signed, made with openssl(1)."""
import pathlib
import subprocess


def _openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


def _new_key(kind):
    return ["-newkey", kind] if kind != "ec" else \
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


class Certs:
    """A CA in `directory`, and server certificates signed by it."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca = self.directory / "ca.pem"
        self.ca_key = self.directory / "ca.key"
        _openssl("req", "-x509", *_new_key("ec"), "-nodes", "-days", "30",
                 "-subj", "/CN=imap-collector test CA", "-keyout", self.ca_key, "-out", self.ca)
        self.cert, self.key = self.issue("server", "DNS:localhost,IP:127.0.0.1,IP:::1")

    def issue(self, name, alt_names, more="", days=30, key="ec", digest="sha256", signer=None):
        """Returns (certificate, key) for the subject alternative names given; `name` is its CN,
        `more` are further lines of extensions, `signer` a (certificate, key) in the CA's place."""
        made = self.directory / f"{name}.key"
        request = self.directory / f"{name}.csr"
        cert = self.directory / f"{name}.pem"
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alt_names}\n{more}\n")
        _openssl("req", *_new_key(key), "-nodes", "-subj", f"/CN={name}", "-keyout", made,
                 "-out", request)
        ca, ca_key = signer or (self.ca, self.ca_key)
        _openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
                 "-days", days, f"-{digest}", "-extfile", extensions, "-out", cert)
        return cert, made
