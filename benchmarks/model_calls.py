"""How much the client costs beside the model server: `python benchmarks/model_calls.py [--requests 200000]`.

A server in another process gives every prompt of 1,800 bytes the same answer of 1,500, after a second or at once. The
client that is measured has a process of its own, so that its memory is that of nothing else.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from lakehouse.generate import Endpoint, Request, generate

IN_FLIGHT = 256
RAMP = 1_000  # calls, after which the server is asked as much at once as it may be


@dataclass
class Measured:
    """Calls a second (all of them, and after the ramp) and a second of this process's processor time; its memory."""

    rate: float
    rate_after_ramp: float
    rate_of_processor: float
    peak_mb: float


def serve(connection: Connection, delay: float) -> None:
    """Answer for ever; the port is told through `connection`."""
    import asyncio

    from aiohttp import web

    message = {"role": "assistant", "content": "words " * 250}
    usage = {"prompt_tokens": 450, "completion_tokens": 375}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        if delay:
            await asyncio.sleep(delay)
        return web.Response(body=body, content_type="application/json")

    async def run() -> None:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        connection.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


@contextmanager
def server(delay: float) -> Iterator[str]:
    """The server's address."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, delay), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def requests(count: int) -> Iterator[Request]:
    """Requests of 1,800 bytes."""
    for place in range(count):
        yield Request(
            request_id=f"{place:032x}",
            doc_id=f"d{place}",
            snapshot="S",
            recipe="plain",
            recipe_version="1",
            step="rewrite",
            endpoint="default",
            model="m",
            messages=[{"role": "user", "content": f"{place:06d}" + "hello there " * 150}],
            params={"temperature": 0.5, "max_tokens": 400},
            prompt_hash=f"{place:032x}",
            params_hash="0",
        )


def measure(base_url: str, count: int, in_flight: int, processes: int) -> Measured:
    """Make that many calls, and write each row as a line of JSON, as the journal does."""
    ended: list[float] = []

    with open(os.devnull, "w") as journal:

        def record(rows: list[dict[str, object]]) -> None:
            journal.writelines(json.dumps(row, default=str) + "\n" for row in rows)
            journal.flush()
            ended.extend([time.perf_counter()] * len(rows))

        endpoint = Endpoint((base_url,), "m", max_in_flight=in_flight, processes=processes)
        started, worked = time.perf_counter(), time.process_time()
        report = generate(requests(count), {"default": endpoint}, record=record)
    assert report.succeeded == count
    seconds = time.perf_counter() - started
    # Whole rounds of calls, because those that began together end together.
    rounds = (count - RAMP - 1) // IN_FLIGHT
    after = rounds * IN_FLIGHT / (ended[RAMP + rounds * IN_FLIGHT] - ended[RAMP])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return Measured(count / seconds, after, count / (time.process_time() - worked), peak)


def main() -> None:
    """Print a line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000, help="of the measurement of memory")
    wanted = parser.parse_args().requests
    runs = [
        ("256 in flight, answers after 1 s", 1.0, 6_000, IN_FLIGHT, 1),
        ("64 in flight, answers at once", 0.0, 8_000, 64, 1),
        ("256 in flight, answers at once", 0.0, 8_000, 256, 1),
        ("64 in flight, answers at once, two processes", 0.0, 8_000, 64, 2),
        (f"{wanted:,} requests", 0.0, wanted, 64, 1),
    ]
    for name, delay, count, in_flight, processes in runs:
        if not count:
            continue
        load = os.getloadavg()[0]
        context = multiprocessing.get_context("spawn")
        with server(delay) as base_url, ProcessPoolExecutor(1, mp_context=context) as pool:
            found = pool.submit(measure, base_url, count, in_flight, processes).result()
        print(
            f"{name}: {found.rate_after_ramp:,.0f} calls/s after the ramp, {found.rate:,.0f} calls/s in all, "
            f"{found.rate_of_processor:,.0f} a processor second, peak {found.peak_mb:,.0f} MB (load {load:.1f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
