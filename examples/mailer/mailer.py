#!/usr/bin/env python3
"""Delivers pg_auth's mail by SMTP.

Logs in to PostgreSQL as a member of auth_mailer, waits for NOTIFY auth_messages, and sends what auth.claim_messages hands out. Any
number of these may run. Everything is set by the environment; see README.md beside this file.
"""

import argparse
import logging
import os
import signal
import smtplib
import ssl
import sys
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from string import Template

import psycopg

log = logging.getLogger("mailer")

# So many, each with so long a timeout, fit into the lease of a minute: nobody else sends them meanwhile.
BATCH = 5
SMTP_TIMEOUT = 10
# A message that failed is due again after a while, and nothing notifies of that.
POLL_SECONDS = 30


def setting(name, default=None):
    value = os.environ.get(name, default)
    if value is None:
        sys.exit(f"mailer: {name} is not set")
    return value


class Mailer:
    def __init__(self):
        self.database = os.environ.get("DATABASE_URL", "")  # empty: libpq's own PGHOST, PGDATABASE, …
        self.host = setting("SMTP_HOST")
        self.port = int(setting("SMTP_PORT", "587"))
        self.tls = setting("SMTP_TLS", "starttls")
        self.user = os.environ.get("SMTP_USER")
        self.password = os.environ.get("SMTP_PASSWORD")
        self.sender = setting("MAIL_FROM")
        self.app = setting("APP_NAME")
        # Behind "#" a browser keeps the token to itself: no server's log and no Referer has it.
        self.links = {
            "verify-email": setting("VERIFY_URL"),
            "change-email": setting("VERIFY_URL"),
            "reset-password": setting("RESET_URL"),
        }
        if not all(link.startswith(("https://", "http://")) and "#" not in link for link in self.links.values()):
            sys.exit("mailer: VERIFY_URL and RESET_URL are addresses of pages of yours, which find the token behind #token=")
        if self.tls not in ("starttls", "tls", "none"):
            sys.exit("mailer: SMTP_TLS is starttls, tls or none")
        self.templates = Path(os.environ.get("TEMPLATES", Path(__file__).parent / "templates"))
        self.stopping = self.idle = False

    def stop(self, *_):
        self.stopping = True
        if self.idle:
            raise SystemExit(0)

    def smtp(self):
        context = ssl.create_default_context()
        if self.tls == "tls":
            server = smtplib.SMTP_SSL(self.host, self.port, timeout=SMTP_TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=SMTP_TIMEOUT)
            if self.tls == "starttls":
                server.starttls(context=context)
        if self.user:
            server.login(self.user, self.password or "")
        return server

    def compose(self, kind, recipient, token, payload):
        name = {"already-registered": "already-registered", "address-taken": "address-taken"}.get(payload.get("reason"), kind)
        if kind == "email-changed" and not payload.get("completed"):
            name = "email-change-requested"
        values = {"app": self.app, "recipient": recipient, "new_email": payload.get("new_email", "")}
        values["expires_at"] = payload.get("expires_at", "")
        values["link"] = f"{self.links[kind]}#token={token}" if token else ""
        subject, _, body = (self.templates / f"{name}.txt").read_text("utf-8").partition("\n")
        message = EmailMessage()
        message["Subject"] = Template(subject.removeprefix("Subject: ")).substitute(values)
        message["From"] = self.sender
        message["To"] = recipient
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2].strip("> "))
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: vacation programs do not answer
        message.set_content(Template(body.lstrip("\n")).substitute(values))
        return message

    def drain(self, db):
        """Sends what is due; how many were sent and how many failed."""
        sent = failed = 0
        while not self.stopping:
            claimed = db.execute("select id, kind, recipient, token, payload from auth.claim_messages(%s)", [BATCH]).fetchall()
            if not claimed:
                break
            server = None
            for id, kind, recipient, token, payload in claimed:
                try:
                    message = self.compose(kind, recipient, token, payload)
                    server = server or self.smtp()
                    server.send_message(message)
                except Exception as error:
                    failed += 1
                    # What kind of error, never its text: a server may repeat the mail, and with it the token.
                    why = f"{type(error).__name__} {getattr(error, 'smtp_code', getattr(error, 'errno', None)) or ''}".strip()
                    db.execute("select auth.fail_message(%s, %s)", [id, why])
                    log.warning("%s %s: %s", kind, id, why)
                    server = None
                else:
                    sent += 1
                    db.execute("select auth.complete_message(%s)", [id])
                    log.info("%s %s: sent", kind, id)
            if server:
                try:
                    server.quit()
                except smtplib.SMTPException:
                    pass
        return sent, failed

    def run(self, once):
        pause = 1
        while not self.stopping:
            try:
                with psycopg.connect(self.database, autocommit=True) as db:
                    db.execute("listen auth_messages")
                    while not self.stopping:
                        _, failed = self.drain(db)
                        pause = 1
                        if once:
                            return 1 if failed else 0
                        self.idle = True
                        if self.stopping:
                            break
                        for _ in db.notifies(timeout=POLL_SECONDS, stop_after=1):
                            pass
                        self.idle = False
            except psycopg.OperationalError as error:
                if once:
                    raise
                log.warning("the database: %s; again in %s s", type(error).__name__, pause)
                time.sleep(pause)
                pause = min(2 * pause, 60)
        return 0


def main():
    parser = argparse.ArgumentParser(description="Delivers pg_auth's mail by SMTP.")
    parser.add_argument("--once", action="store_true", help="send what is due and end; 1 when something failed")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    mailer = Mailer()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, mailer.stop)
    sys.exit(mailer.run(arguments.once))


if __name__ == "__main__":
    main()
