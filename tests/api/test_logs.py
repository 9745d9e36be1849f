"""What the log looks like where a machine reads it: a line of JSON for each entry, ours and those of libraries."""

import json
import subprocess
import sys

ENTRIES = """
import asyncio, logging, os, structlog
from cm_graphql.api import logs

logs.configure("info", "json")
ours, library = structlog.get_logger("ours"), logging.getLogger("library")

async def turn():
    ours.info("first", outcomes={"DONE": 1})
    logs.note_request("id-1", "POST", "/graphql", 200, "key_1", 1.5)
    ours.debug("not heard")
    with structlog.contextvars.bound_contextvars(request_id="id-2"):
        try:
            1 / 0
        except ZeroDivisionError:
            ours.exception("third", reason=ValueError("odd"))
    await asyncio.to_thread(ours.info, "fourth")
    library.warning("fifth")
    ours.info("waits for the next")
    library.info("waits as well")
    library.warning("sixth")
    ours.info("waits again")
    ours.warning("last")
    os._exit(0)

ours.info("before")
asyncio.run(turn())
"""


def test_entries_are_lines_of_json_in_their_order_and_none_that_tells_what_went_wrong_is_kept_back() -> None:
    done = subprocess.run([sys.executable, "-c", ENTRIES], capture_output=True, text=True, check=True)

    entries = [json.loads(line) for line in done.stderr.splitlines()]
    stamps = [entry.pop("timestamp") for entry in entries]
    assert all(len(stamp) == len("2026-01-01T00:00:00.000000Z") and stamp.endswith("Z") for stamp in stamps)
    failure = entries[3].pop("exception")
    assert failure.startswith("Traceback")
    assert failure.endswith("ZeroDivisionError: division by zero")
    request = {"method": "POST", "path": "/graphql", "status": 200, "viewer": "key_1", "milliseconds": 1.5}
    said = {"level": "info", "logger": "ours"}
    assert entries == [
        {"event": "before", **said},
        {"outcomes": {"DONE": 1}, "event": "first", **said},
        {"request_id": "id-1", **request, "event": "request", "level": "info", "logger": "cm_graphql.access"},
        {"reason": "ValueError('odd')", "event": "third", "request_id": "id-2", "level": "error", "logger": "ours"},
        {"event": "fourth", **said},
        {"event": "fifth", "level": "warning", "logger": "library"},
        {"event": "waits for the next", **said},
        {"event": "waits as well", "level": "info", "logger": "library"},
        {"event": "sixth", "level": "warning", "logger": "library"},
        {"event": "waits again", **said},
        {"event": "last", "level": "warning", "logger": "ours"},
    ]


STOPPED = """
import asyncio, structlog
from cm_graphql.api import logs

logs.configure("info", "json")
ours = structlog.get_logger("ours")

def stopped_as_it_says(entry):
    loop = asyncio.new_event_loop()
    loop.call_soon(lambda: (ours.info(entry), loop.stop()))
    loop.run_forever()
    loop.close()

async def turn():
    ours.info("by another loop")

stopped_as_it_says("by a loop that was stopped")
asyncio.run(turn())
stopped_as_it_says("at the very end")
"""


def test_no_entry_is_lost_with_a_loop_that_stops() -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, check=True)

    said = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert said == ["by a loop that was stopped", "by another loop", "at the very end"]
