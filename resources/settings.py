"""Every setting of the platform, from the environment (prefix ``SHOPSPHERE_``) or a ``.env`` file.

One typed class; nothing else reads the environment. A source or store that is not set is embedded: it is
simulated or kept under :attr:`Settings.home`.
"""

from __future__ import annotations

from email.errors import HeaderParseError
from email.headerregistry import Address
from pathlib import Path
from typing import Literal, Self
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from resources.errors import PermanentError


class Settings(BaseSettings):
    """The platform's settings. URLs may hold passwords and are therefore secret."""

    model_config = SettingsConfigDict(
        env_prefix="SHOPSPHERE_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Field(Path("var"), description="Folder of all state.")

    shop_db_url: SecretStr | None = Field(
        None, description="The shop's database: mysql://, postgresql:// or sqlite://."
    )
    shop_db_capture: Literal["poll", "log"] = Field(
        "poll",
        description="How changes of the shop's database are found: `poll` asks for changed rows, `log` reads its "
        "change log (MySQL's and MariaDB's binlog, PostgreSQL's WAL).",
    )
    change_log_name: str = Field(
        "shopsphere",
        pattern=r"^[a-z0-9_]{1,63}$",
        description="Name of the publication and the replication slot in PostgreSQL; two platforms that read the log "
        "of one server need two names.",
    )
    catalogue_db_url: SecretStr | None = Field(None, description="The catalogue's database, likewise.")
    hubspot_url: str | None = Field(None, description="HubSpot's API: https://.")
    hubspot_token: SecretStr | None = Field(None, description="HubSpot private-app token.")
    reviews_url: str | None = Field(None, description="The reviews service's API: https://.")
    reviews_token: SecretStr | None = Field(None, description="Bearer token of the reviews service.")
    web_logs_url: str | None = Field(None, description="Folder of the web logs.")
    crm_files_url: str | None = Field(None, description="Folder of the legacy CRM's exports.")
    support_url: str | None = Field(None, description="Folder of the help desk's exports.")

    sources_file: Path | None = Field(None, description="YAML file that maps another company's tables.")

    warehouse_url: SecretStr | None = Field(None, description="duckdb:///file or postgresql://.")
    lake_url: str | None = Field(None, description="Folder of the lake.")
    dagster_storage_url: SecretStr | None = Field(None, description="PostgreSQL database of Dagster's own records.")

    reporting_time_zone: str = Field("UTC", description="Time zone in which a sale's date is counted.")
    requests_per_second: float = Field(8, gt=0, description="How often an HTTP API is asked, at most.")
    lookback_hours: int = Field(
        48, ge=0, description="How far behind the watermark rows committed late are looked for."
    )
    quarantine_limit: float = Field(
        0.25, gt=0, le=1, description="Share of a batch's rows in quarantine above which its readers wait."
    )
    kept_publications: int = Field(5, ge=2, description="How many publications are kept.")

    alert_smtp_url: SecretStr | None = Field(
        None, description="Mail server for alerts: smtp://user:password@host:587 (STARTTLS) or smtps://."
    )
    alert_email_to: str | None = Field(None, description="Who gets alerts by e-mail; several with commas between.")
    alert_email_from: str | None = Field(None, description="The address that they come from.")
    alert_webhook_url: SecretStr | None = Field(None, description="Where alerts are posted as JSON: https://.")
    alert_away_minutes: int = Field(30, ge=1, description="How long a source may be away before it is an alert.")
    dagster_ui_url: str = Field("http://127.0.0.1:3000", description="Where people open Dagster's UI; for links.")
    steward_url: str = Field("http://127.0.0.1:3002", description="Where people open the steward's pages; for links.")

    @field_validator("reporting_time_zone")
    @classmethod
    def _known_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError) as error:
            raise ValueError(f"'{value}' is not a time zone of the IANA database, such as Europe/Berlin") from error
        return value

    @field_validator("*")
    @classmethod
    def _readable_url(cls, value: object, info: ValidationInfo) -> object:
        if (info.field_name or "").endswith("_url") and value is not None:
            try:
                _ = urlsplit(value.get_secret_value() if isinstance(value, SecretStr) else str(value)).port
            except ValueError:
                raise ValueError(
                    "the URL cannot be read: write the port as a number, and special characters of user and "
                    "password in percent-encoding (such as %5B for [)"
                ) from None
        return value

    @field_validator("alert_smtp_url", "alert_webhook_url", "dagster_ui_url", "steward_url")
    @classmethod
    def _known_scheme(cls, value: SecretStr | str | None, info: ValidationInfo) -> SecretStr | str | None:
        if value is None:
            return None
        parts = urlsplit(value.get_secret_value() if isinstance(value, SecretStr) else value)
        schemes = ("smtp", "smtps") if info.field_name == "alert_smtp_url" else ("http", "https")
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"write it as {' or '.join(f'{scheme}://host' for scheme in schemes)}")
        return value

    @field_validator("alert_email_to", "alert_email_from")
    @classmethod
    def _known_address(cls, value: str | None) -> str | None:
        for address in _addresses(value):
            try:
                known = Address(addr_spec=address)
            except (ValueError, IndexError, HeaderParseError):
                raise ValueError("this is not an e-mail address, or several with commas between") from None
            if not known.domain or not address.isascii() or not address.isprintable():
                raise ValueError("this is not an e-mail address, or several with commas between")
        return value

    @model_validator(mode="after")
    def _complete_mail(self) -> Self:
        if self.alert_smtp_url is not None and not (self.alert_recipients and self.alert_email_from):
            raise ValueError(
                "SHOPSPHERE_ALERT_SMTP_URL needs SHOPSPHERE_ALERT_EMAIL_TO and SHOPSPHERE_ALERT_EMAIL_FROM"
            )
        return self

    @property
    def alert_recipients(self) -> list[str]:
        """The addresses that alerts are sent to."""
        return _addresses(self.alert_email_to)

    @property
    def state(self) -> Path:
        """:attr:`home` as an absolute path."""
        return self.home.expanduser().absolute()

    @property
    def warehouse(self) -> str:
        """URL of the warehouse; embedded: a DuckDB file."""
        if self.warehouse_url is not None:
            return self.warehouse_url.get_secret_value()
        return f"duckdb:///{self.state / 'warehouse' / 'shopsphere.duckdb'}"

    @property
    def lake(self) -> Path:
        """Folder of the lake."""
        if self.lake_url is None:
            return self.state / "lake"
        return folder_of(self.lake_url)

    def source_url(self, source: str) -> str | None:
        """URL of a source system, or None where it is not set."""
        value = getattr(self, f"{source}_url")
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    def capture(self, source: str) -> Literal["poll", "log"]:
        """How changes of a source system are found."""
        return "log" if getattr(self, f"{source}_capture", "poll") == "log" else "poll"

    def source_token(self, source: str) -> str | None:
        """Token of a source system, or None."""
        value: SecretStr | None = getattr(self, f"{source}_token", None)
        return value.get_secret_value() if value else None


def load_settings() -> Settings:
    """The settings of this process. Raises :class:`PermanentError` naming each wrong variable."""
    try:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise PermanentError(
            f"the settings cannot be read: {reason}",
            where=str(Path(".env").absolute()),
            remedy="correct the file, or remove it and set the variables in the environment",
        ) from None
    except ValidationError as error:
        wrong = "; ".join(
            ": ".join([f"SHOPSPHERE_{'_'.join(str(p) for p in e['loc']).upper()}"] * bool(e["loc"]) + [e["msg"]])
            for e in error.errors()
        )
        raise PermanentError(
            wrong, where="environment or .env", remedy="correct the variables named; docs/settings.md lists all"
        ) from None


def _addresses(value: str | None) -> list[str]:
    return [address.strip() for address in (value or "").split(",") if address.strip()]


def folder_of(url: str) -> Path:
    """The folder that a plain path or a ``file://`` URL names; raises :class:`PermanentError` otherwise."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    if "://" in url:
        raise PermanentError(
            f"'{url.split('://')[0]}://' is not a place this platform stores or reads files in",
            where=url.split("?")[0],
            remedy="name a folder, or mount the bucket as one",
        )
    return Path(url).expanduser().absolute()
