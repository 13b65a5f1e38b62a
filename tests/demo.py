"""What ./demo shows: trap mailboxes on a local Dovecot, the broker, a subscriber, one pass of the
collector, and the mails as they arrive. All of it on loopback, in a directory that goes away."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

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
    encoded = body.encode("iso-8859-15") if number % 3 == 1 else body.encode()
    return (f"From: sender{number}@example.org\nTo: trap@example.net\n"
            f"Subject: Offer number {number}\nMessage-ID: <demo{number}@example.org>\n"
            "\n").encode() + encoded * 20


def say(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def command(*argv):
    """Shows a command and returns it as it can be run."""
    print("$", *argv, flush=True)
    return [program(argv[0]), *argv[1:]]


def configure(directory, dovecot, broker):
    """Writes both files where the collector looks for them: in the directory it is started in."""
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


def collect(directory, *options):
    as_root = ["--user", "root"] if os.geteuid() == 0 else []
    subprocess.run(command("imap-collector", *as_root, *options, "-s", "state/state.db"),
                   cwd=directory, check=True)


def subscribe(broker, count):
    """Starts the subscriber; returns when it is subscribed."""
    process = subprocess.Popen(
        command("hpfeeds", "subscribe", "-p", str(broker.port), "-i", "reader", "-c", "spam.mails",
                "--mail", "--confirm", "--count", str(count)),
        env={**os.environ, "HPFEEDS_SECRET": "readersecret"}, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "subscribed" in line:
            return process
    raise RuntimeError("the subscriber could not subscribe")


def show(directory, started):
    say("A local IMAP server with three trap mailboxes of four mails each, and a broker.")
    dovecot = Dovecot(directory / "dovecot", Certs(directory / "certs"), TRAPS)
    started.callback(dovecot.stop)
    broker = Broker(directory / "broker")
    started.callback(broker.stop)
    for number, user in enumerate(TRAPS):
        dovecot.fill(user, [sample(4 * number + index) for index in range(4)])
    configure(directory, dovecot, broker)

    say("First look: can everything be reached? Nothing is changed by this.")
    collect(directory, "--check")

    say("The subscriber stands for the analysis backend. Then one pass of the collector:")
    subscriber = subscribe(broker, 12)
    started.callback(subscriber.kill)
    collect(directory)
    subscriber.wait(30)

    say("A second pass finds nothing new: what the broker has is marked and remembered.")
    collect(directory)


def main():
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="imap-collector-demo-") as name:
        with contextlib.ExitStack() as started:
            show(pathlib.Path(name), started)
    say("That was all of it; its servers and files are gone. Next: put your own broker and "
        "mailboxes into\ncopies of the files in examples/, and run build/imap-collector --check.")


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, subprocess.SubprocessError) as problem:
        sys.exit(f"The demonstration failed: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
