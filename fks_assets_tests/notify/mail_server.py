"""A mail server over real sockets that answers by plan."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage


class MailServer:
    """Runs in its own thread. `plan` says what the next mails are answered with; afterwards they are taken.

    `refused` says what is answered to a recipient, always.
    """

    def __init__(self) -> None:
        self.plan: list[tuple[str, str]] = []
        self.refused: dict[str, str] = {}
        self.mails: list[EmailMessage] = []
        self.port = 0
        self.sessions = 0
        self.drip = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        at, answer = self.plan.pop(0) if self.plan else ("", "")

        async def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())
            await writer.drain()

        try:
            while self.drip:
                writer.write(b"2")
                await writer.drain()
                await asyncio.sleep(0.2)
            await say(answer if at == "CONNECT" else "220 mail.test ready")
            while line := (await reader.readline()).decode().strip():
                verb = line.split(" ")[0].upper()
                refusal = next((words for address, words in self.refused.items() if verb == "RCPT" and address in line), None)
                if refusal is not None:
                    await say(refusal)
                elif verb == at:
                    await say(answer)
                elif verb == "DATA":
                    await say("354 go on")
                    body = (await reader.readuntil(b"\r\n.\r\n"))[:-5]
                    if at == "BODY":
                        await say(answer)
                        continue
                    self.mails.append(message_from_bytes(body, policy=policy.default))  # type: ignore[arg-type]
                    await say("250 taken")
                elif verb == "QUIT":
                    await say("221 bye")
                    return
                else:
                    await say("250 fine")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run a server on a free port of 127.0.0.1."""
    server = MailServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
