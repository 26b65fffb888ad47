"""A program: clients that write through proxies and note what was acknowledged.

    writers.py PORT:COUNT[:PAUSE_MS]...

Runs COUNT writers on each port until its standard input ends. Each inserts row
after row, with a pause in between, and reconnects after an error, unless it is that
of a standby. Lines on standard output, JSON:
["ack", proxy port, writer, row, sent, server's time, received, server's port]
["error", proxy port, writer, row, sent, noticed, text]
All times are time.time(); the server's is taken inside the statement, before it
is committed, so an acknowledgement is later than that in any case."""

import json
import sys
import threading
import time

import psycopg2
import psycopg2.errors

_INSERT = ("insert into writes values (%s, %s) "
           "returning extract(epoch from clock_timestamp())::float8, inet_server_port()")
_RETRY_S = 0.002

_stopping = threading.Event()
_lock = threading.Lock()


def _note(*values):
    line = json.dumps(values) + "\n"
    with _lock:
        sys.stdout.write(line)


def _write(port, writer, pause_s):
    connection = None
    row = 0
    while not _stopping.is_set():
        row += 1
        sent = time.time()
        try:
            if connection is None:
                connection = psycopg2.connect(
                    host="127.0.0.1", port=port, user="postgres", dbname="postgres",
                    application_name=f"writer-{writer}")
                connection.autocommit = True
                sent = time.time()
            with connection.cursor() as cursor:
                cursor.execute(_INSERT, (writer, row))
                server_time, server_port = cursor.fetchone()
            _note("ack", port, writer, row, sent, server_time, time.time(), server_port)
            if pause_s > 0:
                _stopping.wait(pause_s)
        except psycopg2.Error as error:
            _note("error", port, writer, row, sent, time.time(), str(error).strip())
            read_only = isinstance(error, psycopg2.errors.ReadOnlySqlTransaction)
            if connection is not None and not read_only:
                connection.close()
                connection = None
            _stopping.wait(_RETRY_S)


def main():
    writer = 0
    for argument in sys.argv[1:]:
        port, count, pause_ms = [*map(int, argument.split(":")), 0][:3]
        for _ in range(count):
            writer += 1
            threading.Thread(target=_write, args=(port, writer, pause_ms / 1000),
                             daemon=True).start()
    sys.stdin.read()
    _stopping.set()
    time.sleep(0.05)  # the lines of writes that are just ending
    with _lock:
        sys.stdout.flush()


if __name__ == "__main__":
    main()
