"""The table [notifications]: which messages go where, and how hard the desk tries. Secret addresses stay in the environment."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fks_assets.settings.sections import Section, require

SEVERITIES = ("INFO", "WARN", "HIGH", "URGENT")
# Every desk has this channel: a file in its home.
LOG_CHANNEL = "log"
Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,99}$")]
Address = Annotated[str, Field(pattern=r"^[^\s@<>,;]{1,64}@[^\s@<>,;]{1,255}$")]


class _Channel(Section):
    """What all channels have. `per_minute` bounds the messages to its address; a `backup` gets only what others could not say."""

    kinds: tuple[str, ...] = Field(("*",), min_length=1)
    severity: Literal["INFO", "WARN", "HIGH", "URGENT"] = "INFO"
    backup: bool = False
    per_minute: int = Field(30, ge=6, le=600)

    def takes(self, kind: str, severity: str) -> bool:
        """Return whether a message goes here at first: a kind that matches, and severe enough."""
        severe = SEVERITIES.index(severity) >= SEVERITIES.index(self.severity)
        return severe and any(fnmatchcase(kind, pattern) for pattern in self.kinds)


class DiscordChannel(_Channel):
    """A webhook of Discord; the variable `url_env` holds its address. Discord takes 30 messages a minute."""

    type: Literal["discord"]
    url_env: Variable


class SlackChannel(_Channel):
    """An incoming webhook of Slack; the variable `url_env` holds its address."""

    type: Literal["slack"]
    url_env: Variable


class WebhookChannel(_Channel):
    """A server of one's own; `url_env` holds its address, `secret_env` the key with which each message is signed."""

    type: Literal["webhook"]
    url_env: Variable
    secret_env: Variable


class TelegramChannel(_Channel):
    """A bot of Telegram; `token_env` holds its token. A group takes 20 messages a minute."""

    type: Literal["telegram"]
    token_env: Variable
    chat_id: Annotated[str, Field(pattern=r"^(-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64})$")]
    api_url: str = Field("https://api.telegram.org", pattern=r"^https?://[^\s/?#@]+$")
    per_minute: int = Field(20, ge=6, le=600)


class EmailChannel(_Channel):
    """A mail server; `password_env` holds the password of `user`."""

    type: Literal["email"]
    host: str = Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password_env: Variable | None = None
    sender: Address
    recipients: tuple[Address, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_bare_password(self) -> "EmailChannel":
        require((self.user is None) == (self.password_env is None), "user and password_env belong together: give both or none")
        require(
            self.user is None or self.security != "none", "a password is not sent without encryption: security tls or starttls"
        )
        return self


class SmsChannel(_Channel):
    """Text messages over a service that apprise knows; `url_env` holds its apprise URL, such as twilio://SID:TOKEN@FROM/TO."""

    type: Literal["sms"]
    url_env: Variable
    per_minute: int = Field(6, ge=6, le=600)


Channel = Annotated[
    DiscordChannel | SlackChannel | WebhookChannel | TelegramChannel | EmailChannel | SmsChannel, Field(discriminator="type")
]


class NotificationSettings(Section):
    """Who is told what. The order of the channels is the order in which a message goes on from one to the next."""

    hand_on_seconds: int = Field(30, ge=5, le=50)
    escalate_minutes: float = Field(15, ge=0.1, le=1440)
    escalations: int = Field(4, ge=0, le=100)
    digest_above: int = Field(10, ge=1, le=1000)
    insecure_loopback: bool = False
    channels: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], Channel] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> "NotificationSettings":
        require(
            LOG_CHANNEL not in self.channels, f"channels.{LOG_CHANNEL}: every desk has this channel already; use another name"
        )
        return self

    def variables(self) -> list[str]:
        """Return the names of the environment variables in which the channels' secrets are."""
        named = ("url_env", "secret_env", "token_env", "password_env")
        found = (getattr(channel, name, None) for channel in self.channels.values() for name in named)
        return sorted({name for name in found if name is not None})
