"""What HTTP/1.1 says about requests in pieces, in rows, with offers, with too much and with contradictions."""

import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from conformance.wire import QUERY, exchange, request

JSON = "Content-Type: application/json"
ANSWER = b'{"data":{"__typename":"Query"}}'


def chunked(*chunks: str) -> bytes:
    """A request whose body comes in chunks."""
    head = f"POST /graphql HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head + "".join(f"{len(chunk):x}\r\n{chunk}\r\n" for chunk in chunks) + "0\r\n\r\n").encode()


def test_requests_in_a_row_are_answered_in_their_order(demo_server: str) -> None:
    row = b"".join(request(JSON, body=f'{{"query":"{{{name}:__typename}}"}}') for name in "abcdef")

    answers = exchange(demo_server, row, responses=6)

    assert [answer.json for answer in answers] == [{"data": {name: "Query"}} for name in "abcdef"]


@pytest.mark.parametrize("pieces", [(QUERY,), (QUERY[:5], QUERY[5:]), tuple(QUERY)])
def test_a_body_may_come_in_chunks(demo_server: str, pieces: tuple[str, ...]) -> None:
    (answer,) = exchange(demo_server, chunked(*pieces))

    assert answer.body == ANSWER


def test_a_request_may_come_byte_by_byte(demo_server: str) -> None:
    (answer,) = exchange(demo_server, *(bytes([byte]) for byte in request(JSON)))

    assert answer.body == ANSWER


def test_who_asks_whether_to_go_on_is_told_so_or_why_not(demo_server: str) -> None:
    expecting = request(JSON, "Expect: 100-continue").removesuffix(QUERY.encode())

    going_on, answer = exchange(demo_server, expecting, QUERY.encode(), responses=2)
    (not_json,) = exchange(demo_server, expecting.replace(b"application/json", b"text/plain"))
    (too_much,) = exchange(demo_server, expecting.replace(b"Content-Length: 24", b"Content-Length: 99999999"))

    assert (going_on.status, answer.body) == (100, ANSWER)
    assert (not_json.status, too_much.status) == (415, 413)


@pytest.mark.parametrize("offer", ["h2c", "TLS/1.3", "nonsense"])
def test_an_offer_of_another_protocol_is_passed_over_and_the_body_read(demo_server: str, offer: str) -> None:
    offering = request(JSON, "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {offer}", "HTTP2-Settings: AAMAAABk")

    answers = exchange(demo_server, offering + request(JSON) + offering, responses=3)
    (in_pieces,) = exchange(demo_server, offering[:60], offering[60:-5], offering[-5:])

    assert [answer.body for answer in (*answers, in_pieces)] == [ANSWER] * 4


def test_curl_offers_http2_and_is_answered(demo_server: str, tool: Callable[[str], str]) -> None:
    command = [tool("curl"), "--silent", "--http2", "--header", JSON, "--data", QUERY, f"{demo_server}/graphql"]

    assert subprocess.run(command, capture_output=True, check=True, timeout=30).stdout == ANSWER


def test_http_1_0_is_answered_and_the_connection_ends(demo_server: str) -> None:
    (answer,) = exchange(demo_server, request(JSON, first="POST /graphql HTTP/1.0"), responses=2)

    assert answer.body == ANSWER
    assert "connection: close" in answer.head


CONTRADICTIONS = {
    "two lengths": request(JSON, "Content-Length: 3"),
    "a length and chunks": request(JSON, "Transfer-Encoding: chunked", body="0\r\n\r\n"),
    "an unknown transfer coding": request(JSON, "Transfer-Encoding: gzip"),
    "a negative length": request(JSON).replace(b"Content-Length: 24", b"Content-Length: -24"),
    "a chunk without length": chunked().replace(b"0\r\n\r\n", b"zz\r\n"),
    "two hosts": request(JSON, "Host: evil.example"),
    "two content types": request(JSON, "Content-Type: text/plain"),
    "a control character": request(JSON, "X-Request-Id: a\x01b"),
    "lines that end in LF alone": request(JSON).replace(b"\r\n", b"\n"),
    "a space before the colon": request(JSON, "X-Some : thing"),
    "a folded header": request(JSON, "X-Some: thing\r\n more"),
    "an unknown method": request(first="FOO /graphql HTTP/1.1"),
    "an unknown version": request(JSON, first="POST /graphql HTTP/3.7"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a greeting of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10,
    "a URL that is too long": b"GET /graphql?query=" + b"%20" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("contradiction", CONTRADICTIONS)
def test_what_two_readers_could_read_differently_is_refused(demo_server: str, contradiction: str) -> None:
    answers = exchange(demo_server, CONTRADICTIONS[contradiction])

    assert [answer.status for answer in answers] == [400]


def test_what_stands_behind_a_body_is_no_header(demo_server: str) -> None:
    trailers = b"0\r\nHost: evil.example\r\nAccept: image/png\r\nX-Request-Id: behind\r\n\r\n"
    row = chunked(QUERY).replace(b"0\r\n\r\n", trailers) + request(JSON)

    answers = exchange(demo_server, row, responses=2)

    assert [answer.body for answer in answers] == [ANSWER] * 2
    assert "behind" not in answers[0].head


@pytest.mark.parametrize("begin", ["0\r\nX-Some: a", "0\r\n", "5;a="])
@pytest.mark.parametrize("kind", [JSON, "Content-Type: text/plain"])
def test_what_stands_between_and_behind_pieces_of_a_body_has_an_end(demo_server: str, begin: str, kind: str) -> None:
    head = chunked(QUERY).replace(JSON.encode(), kind.encode()).removesuffix(b"0\r\n\r\n") + begin.encode()
    piece = b"X-Some: thing\r\n" * 1_000 if begin == "0\r\n" else b"a" * 16_000

    address = urlsplit(demo_server)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        sent = [_is_sent(connection, part) for part in (head, *[piece] * 1_000)]

    assert not sent[-1]


def _is_sent(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
    except ConnectionError:
        return False
    return True


@pytest.mark.parametrize(("target", "host", "status"), [("evil.example", "localhost", 421), ("localhost", "evil", 200)])
def test_the_host_of_an_absolute_target_counts(demo_server: str, target: str, host: str, status: int) -> None:
    (answer,) = exchange(demo_server, request(JSON, first=f"POST http://{target}/graphql HTTP/1.1", host=host))

    assert answer.status == status


def test_a_coding_of_bodies_that_we_do_not_speak_is_not_implemented(demo_server: str) -> None:
    (answer,) = exchange(demo_server, chunked(QUERY).replace(b": chunked", b": gzip, chunked"))

    assert answer.status == 501


def test_an_offer_of_a_socket_does_not_overtake_an_answer(demo_server: str) -> None:
    slow = request(JSON, body='{"query": "{ creditMemos { nodes { availableActions { reason } } } }"}')
    offer = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {'a' * 22}==",
    ]
    socket = request(*offer, "Accept: application/json", body="", first="GET /graphql HTTP/1.1")

    answers = exchange(demo_server, slow + socket, responses=2)

    assert b"availableActions" in answers[0].body
    assert [answer.status for answer in answers] == [200, 400]


@pytest.mark.parametrize("wrong", ["by POST", "with a body", "with too many headers"])
def test_what_offers_a_socket_and_is_no_request_for_one_is_not_left_waiting(demo_server: str, wrong: str) -> None:
    offer = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {'a' * 22}==",
    ]
    many = [f"X-{number}: x" for number in range(200)] if wrong == "with too many headers" else []
    first = "POST" if wrong == "by POST" else "GET"

    (answer,) = exchange(
        demo_server, request(*offer, *many, first=f"{first} /graphql HTTP/1.1", body="" if many else QUERY)
    )

    assert answer.status == 400


@pytest.mark.parametrize("pattern", ["X-Some: {}\r\n", "{}"])
def test_headers_without_end_are_cut_off(demo_server: str, pattern: str) -> None:
    head = request(JSON).removesuffix(b"\r\n\r\n" + QUERY.encode()) + b"\r\nX-Long: a"
    piece = (pattern.format("a" * 1_000) * 16).encode()

    (answer,) = exchange(demo_server, head, *([piece] * 400))

    assert answer.status == 431
    assert "connection: close" in answer.head


def test_who_says_nothing_or_never_ends_their_headers_is_not_waited_for(demo_server: str) -> None:
    beginning = request(JSON)[:40]
    with ThreadPoolExecutor() as pool:
        silent, slow = pool.map(lambda pieces: exchange(demo_server, *pieces, seconds=40), ([], [beginning]))

    assert [answer.status for answer in (*silent, *slow)] == [408, 408]


def test_who_never_ends_their_body_is_not_waited_for(demo_server: str) -> None:
    form = "Content-Type: multipart/form-data; boundary=b"
    part = b'--b\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{'
    begun = request(form, "GraphQL-Require-Preflight: 1", body=part + b" " * 9_000)[:-8_000]
    with ThreadPoolExecutor() as pool:
        json, upload = pool.map(
            lambda pieces: exchange(demo_server, *pieces, seconds=50), ([request(JSON)[:-5]], [begun, b" ", b" "])
        )

    assert [answer.status for answer in (*json, *upload)] == [408, 408]


def test_strange_names_of_hosts_and_strange_bytes_in_headers_are_no_mistake_of_ours(demo_server: str) -> None:
    for headers in ((JSON, "Accept: \xe9\xff"), (JSON, "Accept-Language: \xff"), (JSON, "Authorization: \xff")):
        (answer,) = exchange(demo_server, request(*headers))
        assert answer.status in (200, 406)
    for host in ("", "evil.example", "localhost.evil.example", "[::", "local host", "localhost:1:2", "\xff"):
        (answer,) = exchange(demo_server, request(JSON, host=host))
        assert answer.status in (400, 421), host
