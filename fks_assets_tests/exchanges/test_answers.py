import orjson
import pytest

from fks_assets.errors import ExchangeError, ExchangeRefused, ExchangeUnavailable, InvalidResponse, RateLimited
from fks_assets.exchanges.answers import LONGEST_BAN_SECONDS, Answer, AnswerJudge, ban_seconds, excerpt, used_weight
from fks_assets.exchanges.ccxt_loader import load_errors, load_exchange_class
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets_tests.shared_data import SHARED, requires_shared

DATE = "Fri, 12 Aug 2022 10:00:30 GMT"
DATE_SECONDS = 1_660_298_430


def answer(status: int = 200, body: object = b"", **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(status, "Reason", {name.replace("_", "-"): value for name, value in headers.items()}, content, 0.0, 0.1)


@pytest.fixture(scope="module")
def judges() -> dict[str, AnswerJudge]:
    return {
        name: AnswerJudge(name, dialect, load_exchange_class(dialect.ccxt_id)(), load_errors())
        for name, dialect in DIALECTS.items()
    }


def raised(judge: AnswerJudge, given: Answer) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        judge.decode(given, "klines")
    return caught.value


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, ExchangeRefused),
        (401, ExchangeRefused),
        (403, RateLimited),
        (404, ExchangeRefused),
        (408, ExchangeUnavailable),
        (418, RateLimited),
        (429, RateLimited),
        (451, ExchangeRefused),
        (500, ExchangeUnavailable),
        (502, ExchangeUnavailable),
        (503, ExchangeUnavailable),
        (504, ExchangeUnavailable),
        (520, ExchangeUnavailable),
        (599, ExchangeUnavailable),
        (302, InvalidResponse),
        (204, InvalidResponse),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html><title>Down</title></html>", b"null", b"[]", b"{", b"\xff\xfe", b'"text"', b"0", b"{}"]
)
def test_every_status_with_any_body_is_one_of_our_errors(judges: dict, dialect: str, status: int, expected: type, body: bytes):
    """The status speaks when the body reports nothing. A JSON object under 403 is no firewall page."""
    error = raised(judges[dialect], answer(status, body))
    if status == 403 and body == b"{}":
        expected = ExchangeRefused
    assert type(error) is expected
    assert (error.exchange, error.endpoint) == (dialect, "klines")
    assert str(status) in str(error)


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
@pytest.mark.parametrize("body", [b"", b"null", b"{", b"<html>", b"[1,", b"NaN", b"\x00", b"[[1,NaN]]"])
def test_a_200_that_is_not_json_is_an_invalid_response(judges: dict, dialect: str, body: bytes):
    assert "not JSON" in str(raised(judges[dialect], answer(200, body)))


@pytest.mark.parametrize(
    ("dialect", "status", "body", "expected"),
    [
        ("binance", 400, {"code": -1121, "msg": "Invalid symbol."}, ExchangeRefused),
        ("binance", 400, {"code": -1120, "msg": "Invalid interval."}, ExchangeRefused),
        ("binance", 400, {"code": -1003, "msg": "Too many requests."}, RateLimited),
        ("binance", 429, {"code": -1003, "msg": "Too much request weight used"}, RateLimited),
        ("binance", 200, {"code": -1003, "msg": "Too many requests."}, RateLimited),
        ("binance", 500, {"code": -1000, "msg": "An unknown error occurred"}, ExchangeUnavailable),
        ("binance", 503, {"code": -1008, "msg": "Server is currently overloaded"}, ExchangeUnavailable),
        ("binance", 403, {"code": -2015, "msg": "Invalid API-key"}, ExchangeRefused),
        ("kraken", 200, {"error": ["EQuery:Unknown asset pair"]}, ExchangeRefused),
        ("kraken", 200, {"error": ["EGeneral:Invalid arguments"]}, ExchangeRefused),
        ("kraken", 200, {"error": ["EAPI:Rate limit exceeded"]}, RateLimited),
        ("kraken", 200, {"error": ["EGeneral:Too many requests"]}, RateLimited),
        ("kraken", 200, {"error": ["EService:Unavailable"]}, ExchangeUnavailable),
        ("kraken", 200, {"error": ["EService:Busy"]}, ExchangeUnavailable),
        ("kraken", 200, {"error": ["EService: Throttled: 1660298460"]}, RateLimited),
        ("kraken", 200, {"error": ["EGeneral:Temporary lockout"]}, RateLimited),
        ("kraken", 200, {"error": 7}, InvalidResponse),
        ("kraken", 200, {"error": None}, InvalidResponse),
        ("kraken", 200, {"error": [{}]}, ExchangeError),
    ],
)
def test_what_the_body_reports_becomes_the_matching_error(judges: dict, dialect: str, status: int, body: object, expected: type):
    error = raised(judges[dialect], answer(status, body, Date=DATE))
    assert isinstance(error, expected)
    if status == 200 and expected is not InvalidResponse and isinstance(body["error" if dialect == "kraken" else "msg"], str):
        assert body["msg"] in str(error)


def test_an_answer_without_an_error_is_decoded(judges: dict):
    assert judges["binance"].decode(answer(200, [[1, "2"]]), "klines") == [[1, "2"]]
    assert judges["kraken"].decode(answer(200, {"error": [], "result": {"a": 1}}), "OHLC") == {"error": [], "result": {"a": 1}}


@requires_shared
@pytest.mark.parametrize("dialect", ["binance", "kraken"])
def test_every_recorded_error_body_is_understood_as_an_error(judges: dict, dialect: str):
    recorded = orjson.loads((SHARED / f"data/api/{dialect}/errors.json").read_bytes())
    assert len(recorded) > 5
    for case in recorded:
        body = case["body"].encode() if isinstance(case["body"], str) else case["body"]
        status = int(str(case.get("status", 200)).replace("x", "0"))
        error = raised(judges[dialect], answer(status, body, Date=DATE))
        is_limit = any(
            text in str(case["body"])
            for text in ("IP banned", "Too much request weight", "Rate limit exceeded", "Too many requests")
        )
        assert isinstance(error, RateLimited) or not is_limit, case


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (answer(429, Retry_After="7"), 7),
        (answer(429, Retry_After="7.5"), 7.5),
        (answer(429, Date=DATE, Retry_After="Fri, 12 Aug 2022 10:01:00 GMT"), 30),
        (answer(429, Retry_After="soon"), 60),
        (answer(429, Retry_After="-5"), 60),
        (answer(429, Retry_After="nan"), 60),
        (answer(429, Retry_After="1e12"), LONGEST_BAN_SECONDS),
        (answer(429), 60),
        (answer(418), 120),
        (answer(418, {"msg": f"IP banned until {DATE_SECONDS + 600}000."}, Date=DATE, Retry_After="5"), 600),
        (answer(418, {"msg": f"IP banned until {DATE_SECONDS + 600}000."}, Retry_After="5"), 5),
    ],
)
def test_the_length_of_a_ban_is_the_longest_that_the_answer_states(given: Answer, seconds: float):
    assert ban_seconds(given, DIALECTS["binance"]) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [("EAPI:Rate limit exceeded", 10), (f"EService: Throttled: {DATE_SECONDS + 45}", 45), ("EGeneral:Temporary lockout", 900)],
)
def test_krakens_texts_say_how_long_to_wait(body: str, seconds: float):
    assert ban_seconds(answer(200, {"error": [body]}, Date=DATE), DIALECTS["kraken"]) == seconds


def test_used_weight_is_read_with_the_time_left_of_the_servers_minute():
    binance = DIALECTS["binance"]
    assert used_weight(answer(**{"X-MBX-USED-WEIGHT-1M": "123", "Date": DATE}), binance) == (123, 31.0)
    assert used_weight(answer(**{"X-MBX-USED-WEIGHT-1M": "123"}), binance) == (123, 60.0)
    for nonsense in ("", "-5", "1e9", "12345678901", "١٢"):
        assert used_weight(answer(**{"X-MBX-USED-WEIGHT-1M": nonsense}), binance) is None
    assert used_weight(answer(), binance) is None
    assert used_weight(answer(), DIALECTS["kraken"]) is None


def test_error_texts_carry_no_query_no_tags_and_no_control_characters(judges: dict):
    body = b"<html><b>Denied</b>\x1b[31m https://api.example.com/x?apiKey=SECRET&signature=CANARY next</html>"
    text = str(raised(judges["binance"], answer(400, body)))
    assert "SECRET" not in text
    assert "CANARY" not in text
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "https://api.example.com/x?…" in text
    assert len(excerpt(b"x" * 5000)) == 201
