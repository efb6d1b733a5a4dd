"""The running web server's GraphQL, as far as the command line needs it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fks_assets.errors import InvalidInput, TradingError
from fks_assets.supervisor.health import post_json

LOCATION = "fks_assets"
REPOSITORY = "__repository__"
TIMEOUT_SECONDS = 60.0


class DeskError(TradingError):
    """The running desk could not do what was asked; nothing was started."""


class RunStatus(StrEnum):
    """Where a run stands, in the four words of the desk's interfaces."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"

    @classmethod
    def of(cls, dagster_status: str) -> "RunStatus":
        return _STATUS[dagster_status]

    @property
    def dagster_statuses(self) -> list[str]:
        return [theirs for theirs, ours in _STATUS.items() if ours is self]


_STATUS = {
    "QUEUED": RunStatus.PENDING,
    "NOT_STARTED": RunStatus.PENDING,
    "MANAGED": RunStatus.PENDING,
    "SUSPENDED": RunStatus.PENDING,
    "STARTING": RunStatus.PENDING,
    "STARTED": RunStatus.STARTED,
    "CANCELING": RunStatus.STARTED,
    "SUCCESS": RunStatus.SUCCESS,
    "FAILURE": RunStatus.FAILURE,
    "CANCELED": RunStatus.FAILURE,
}

_JOBS = """query($selector: RepositorySelector!) {
  workspaceOrError {
    ... on Workspace { locationEntries { locationOrLoadError { ... on PythonError { message causes { message } } } } }
  }
  repositoryOrError(repositorySelector: $selector) { __typename ... on Repository { jobs { name } } }
}"""
_LAUNCH = """mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId status } }
    ... on PythonError { message }
    ... on InvalidSubsetError { message }
    ... on RunConflict { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}"""
_RUN = """query($id: ID!) { runOrError(runId: $id) { __typename ... on Run { runId status } } }"""
_RUN_COUNT = """query($job: String!) { runsOrError(filter: {pipelineName: $job}) { ... on Runs { count } } }"""
_ACTIVITY = """query($after: Float!, $selector: RepositorySelector!) {
  failed: runsOrError(filter: {statuses: [FAILURE, CANCELED], createdAfter: $after}) { ... on Runs { count } }
  succeeded: runsOrError(filter: {statuses: [SUCCESS], createdAfter: $after}) { ... on Runs { count } }
  active: runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING]}) { ... on Runs { count } }
  schedulesOrError(repositorySelector: $selector) {
    ... on Schedules { results { name scheduleState { status ticks(afterTimestamp: $after) { status } } } }
  }
}"""


@dataclass(frozen=True, slots=True)
class LaunchedRun:
    run_id: str
    job: str
    status: RunStatus


@dataclass(frozen=True, slots=True)
class Activity:
    """What happened since a moment: runs and schedule ticks by outcome, and the schedules that are not running."""

    runs: Mapping[str, int]
    ticks: Mapping[str, int]
    stopped_schedules: Sequence[str]


class DeskApi:
    """One running desk, by the address of its web server."""

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout_seconds

    def job_names(self) -> list[str]:
        """Return the names of the desk's jobs; raise DeskError with the cause when its code does not load."""
        answer = self._ask(_JOBS, selector=_SELECTOR)
        repository = answer["repositoryOrError"]
        if repository["__typename"] != "Repository":
            entries = answer["workspaceOrError"].get("locationEntries", [])
            errors = [entry["locationOrLoadError"] for entry in entries if (entry["locationOrLoadError"] or {}).get("message")]
            cause = _innermost(errors[0]) if errors else "the code server does not answer yet"
            raise DeskError(f"the desk's code is not loaded: {cause}")
        return sorted(job["name"] for job in repository["jobs"] if not job["name"].startswith("__"))

    def launch(self, job: str, tags: Mapping[str, str], assets: Iterable[str] | None = None) -> LaunchedRun:
        """Start a run of the job, or of some of its assets; raise InvalidInput that lists the jobs for an unknown one."""
        known = self.job_names()
        if job not in known:
            raise InvalidInput(f"job {job!r} is unknown; known: {', '.join(known)}")
        selector: dict[str, Any] = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "jobName": job}
        if assets is not None:
            selector["assetSelection"] = [{"path": [name]} for name in assets]
        params = {
            "selector": selector,
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self._ask(_LAUNCH, params=params)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            reasons = [error["message"] for error in answer.get("errors", [])] or [answer.get("message", answer["__typename"])]
            raise DeskError(f"job {job!r} could not be launched: {' '.join(reasons).strip().splitlines()[-1]}")
        return LaunchedRun(answer["run"]["runId"], job, RunStatus.of(answer["run"]["status"]))

    def run_status(self, run_id: str) -> RunStatus:
        answer = self._ask(_RUN, id=run_id)["runOrError"]
        if answer["__typename"] != "Run":
            raise InvalidInput(f"run {run_id!r} is unknown")
        return RunStatus.of(answer["status"])

    def has_run(self, job: str) -> bool:
        """Return whether a run of the job was ever started."""
        return bool(self._ask(_RUN_COUNT, job=job)["runsOrError"].get("count"))

    def activity(self, since_seconds: float) -> Activity:
        """Return what happened since the moment, in seconds since the epoch."""
        answer = self._ask(_ACTIVITY, after=since_seconds, selector=_SELECTOR)
        ticks = {"SUCCESS": 0, "SKIPPED": 0, "FAILURE": 0}
        stopped: list[str] = []
        for schedule in answer["schedulesOrError"].get("results", []):
            if schedule["scheduleState"]["status"] != "RUNNING":
                stopped.append(schedule["name"])
            for tick in schedule["scheduleState"]["ticks"]:
                ticks[tick["status"]] = ticks.get(tick["status"], 0) + 1
        runs = {name: int(answer[name].get("count", 0)) for name in ("succeeded", "failed", "active")}
        return Activity(runs, {name.lower(): count for name, count in ticks.items()}, stopped)

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        try:
            answer = post_json(f"{self.url}/graphql", {"query": query, "variables": variables}, self._timeout)
        except (OSError, ValueError) as error:
            raise DeskError(f"the web server at {self.url} does not answer: {error}") from None
        if answer.get("errors") or answer.get("data") is None:
            raise DeskError(f"the web server at {self.url} refused: {(answer.get('errors') or [{}])[0].get('message', answer)}")
        return answer["data"]


_SELECTOR = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}


def _innermost(error: Mapping[str, Any]) -> str:
    messages = [error["message"], *(cause["message"] for cause in error.get("causes") or [])]
    return messages[-1].strip().splitlines()[0]
