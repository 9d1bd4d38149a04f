#!/usr/bin/env python3
"""Somebody else for attackers to attack: as patient as a run's endpoint, in a process of its own. Says its port.

It accepts a connection a millisecond, keeps 64, reads 8 KiB of each at most, and hangs up.
"""

import asyncio
import json
import resource
import signal

MOST, BETWEEN_S, LONGEST = 64, 0.001, 8192


async def main():
    kept = []
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    places = asyncio.Lock()

    async def serve(reader, writer):
        async with places:
            await asyncio.sleep(BETWEEN_S)
        kept.append(writer)
        if len(kept) > MOST:
            kept.pop(0).close()
        try:
            await reader.readexactly(LONGEST)
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()
        if writer in kept:
            kept.remove(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await over.wait()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime}), flush=True)


asyncio.run(main())
