"""What ./demo shows: trap mailboxes on a local Dovecot, the broker, a subscriber, one pass of the
collector, and the mails as they arrive. All of it on loopback, in a directory that goes away."""
import json
import pathlib
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from peers.certs import Certs  # noqa: E402
from peers.dovecot import Dovecot  # noqa: E402
from peers.hpfeeds import Broker  # noqa: E402
from peers.process import program  # noqa: E402

TRAPS = {f"trap{number}": f"demo-password-{number}" for number in (1, 2, 3)}


def sample(number):
    """Mails as a trap gets them, one of them not in UTF-8."""
    body = ["You have won a prize.\n", "Günstige Uhren, heute nur 99 €!\n",
            "Your parcel waits, please pay the fee.\n"][number % 3]
    encoded = body.encode("latin-1", "replace") if number % 3 == 1 else body.encode()
    return (f"From: sender{number}@example.org\nTo: trap@example.net\n"
            f"Subject: Offer number {number}\nMessage-ID: <demo{number}@example.org>\n"
            "\n").encode() + encoded * 20


def say(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def show(argv, **options):
    print("$", " ".join(str(arg) for arg in argv), flush=True)
    return subprocess.run(argv, **options)


def configuration(directory, dovecot, broker):
    feed = directory / "feed_config.yml"
    feed.write_text(json.dumps({
        "broker": "127.0.0.1", "port": broker.port, "identity": "writer",
        "secret": "writersecret", "channels": ["spam.mails"]}, indent=2) + "\n")
    mailboxes = directory / "mailbox_credentials.yml"
    mailboxes.write_text(json.dumps([{
        "username": user, "password": password, "protocol": "imap", "host": "localhost",
        "port": dovecot.tls_port, "tls_ca": str(dovecot.certs.ca)}
        for user, password in TRAPS.items()], indent=2) + "\n")
    feed.chmod(0o600)
    mailboxes.chmod(0o600)
    return ["-f", feed, "-m", mailboxes, "-s", directory / "state.db"]


def subscribe(broker, count):
    """Starts the subscriber; returns when it is subscribed."""
    argv = [program("hpfeeds"), "subscribe", "--host", "127.0.0.1", "-p", str(broker.port),
            "-i", "reader", "-s", "readersecret", "-c", "spam.mails", "--mail", "--confirm",
            "--count", str(count)]
    print("$", " ".join(argv).replace("readersecret", "***"), "&", flush=True)
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    ready = threading.Event()

    def read():
        for line in process.stderr:
            if "subscribed" in line:
                ready.set()

    threading.Thread(target=read, daemon=True).start()
    ready.wait(30)
    return process


def main():
    with tempfile.TemporaryDirectory(prefix="imap-collector-demo-") as name:
        directory = pathlib.Path(name)
        say("A local IMAP server with three trap mailboxes of four mails each, and a broker.")
        dovecot = Dovecot(directory / "dovecot", Certs(directory / "certs"), TRAPS)
        broker = Broker(directory / "broker")
        try:
            for number, user in enumerate(TRAPS):
                dovecot.fill(user, [sample(4 * number + index) for index in range(4)])
            options = configuration(directory, dovecot, broker)
            say("First look: can everything be reached? Nothing is changed by this.")
            show([program("imap-collector"), "--check", *options], check=True)
            say("The subscriber stands for the analysis backend. Then one pass of the collector:")
            subscriber = subscribe(broker, 12)
            show([program("imap-collector"), *options], check=True)
            subscriber.wait(30)
            say("A second pass finds nothing new: what the broker has is marked and remembered.")
            show([program("imap-collector"), *options], check=True)
        finally:
            broker.stop()
            dovecot.stop()
    say("That was all of it. Next: put your own broker and mailboxes into copies of the files in "
        "examples/, and run build/imap-collector --check.")


if __name__ == "__main__":
    main()
